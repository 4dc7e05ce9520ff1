//! What PyTorch made of it: the files in `tests/fixtures`.

use std::collections::HashMap;
use std::path::PathBuf;

use nin_wgpu::device::Device;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

/// A fixture file, every tensor widened to `f64`.
pub struct Fixture {
    pub tensors: HashMap<String, (Vec<usize>, Vec<f64>)>,
    pub metadata: HashMap<String, String>,
}

impl Fixture {
    pub fn load(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(name);
        let bytes = std::fs::read(path).expect("the fixture is committed");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("safetensors");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = file.iter().map(|(name, view)| {
            let data = view.data();
            let words = |n| data.chunks_exact(n);
            let values = match view.dtype() {
                Dtype::F32 => words(4)
                    .map(|b| f32::from_le_bytes(b.try_into().expect("4")).into())
                    .collect(),
                Dtype::F64 => words(8)
                    .map(|b| f64::from_le_bytes(b.try_into().expect("8")))
                    .collect(),
                Dtype::I32 => words(4)
                    .map(|b| i32::from_le_bytes(b.try_into().expect("4")).into())
                    .collect(),
                Dtype::U8 => data.iter().map(|&b| b.into()).collect(),
                other => panic!("{name} is {other:?}"),
            };
            (name.to_owned(), (view.shape().to_vec(), values))
        });
        Self {
            tensors: tensors.collect(),
            metadata: header.metadata().clone().expect("metadata"),
        }
    }

    pub fn dims(&self, name: &str) -> &[usize] {
        &self
            .tensors
            .get(name)
            .unwrap_or_else(|| panic!("no tensor {name}"))
            .0
    }

    pub fn get(&self, name: &str) -> &[f64] {
        &self
            .tensors
            .get(name)
            .unwrap_or_else(|| panic!("no tensor {name}"))
            .1
    }

    pub fn f32(&self, name: &str) -> Vec<f32> {
        self.get(name).iter().map(|&x| x as f32).collect()
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        self.get(name).iter().map(|&x| x as u8).collect()
    }

    /// How far PyTorch's `f32` lies from its `f64`.
    pub fn own_difference(&self, what: &str) -> f64 {
        self.metadata[&format!("f32_vs_f64.{what}")]
            .parse()
            .expect("a number")
    }
}

/// The largest difference, and the largest magnitude of `want`.
pub fn difference(got: &[f64], want: &[f64]) -> (f64, f64) {
    assert_eq!(got.len(), want.len());
    let off = got
        .iter()
        .zip(want)
        .fold(0f64, |most, (a, b)| most.max((a - b).abs()));
    (off, want.iter().fold(0f64, |most, x| most.max(x.abs())))
}

pub fn widen(data: &[f32]) -> Vec<f64> {
    data.iter().map(|&x| x.into()).collect()
}

/// By sums of all terms, as PyTorch computes: by Winograd's method rounding is that of other numbers.
pub fn devices() -> Vec<Device> {
    let gpu = super::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    let all = std::iter::once(Device::Cpu).chain(gpu);
    all.map(Device::precise).collect()
}
