//! Tensors from a safetensors file.

use anyhow::{Context, Result, ensure};
use burn::tensor::TensorData;
use safetensors::{Dtype, SafeTensors};

/// The first numbers of a tensor of 32-bit floats: as many as `shape` has.
pub fn read<const D: usize>(
    file: &SafeTensors<'_>,
    name: &str,
    shape: [usize; D],
) -> Result<TensorData> {
    let view = file.tensor(name).with_context(|| format!("no `{name}`"))?;
    let dtype = view.dtype();
    ensure!(dtype == Dtype::F32, "`{name}` is {dtype:?}, expected F32");
    let len = shape.iter().product();
    let numbers: Vec<f32> = view
        .data()
        .chunks_exact(4)
        .take(len)
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let got = numbers.len();
    ensure!(
        got == len,
        "`{name}` has {got} numbers, {shape:?} needs {len}"
    );
    Ok(TensorData::new(numbers, shape))
}
