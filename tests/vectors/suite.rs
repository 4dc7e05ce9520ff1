//! The files that the exporters write (`vectors.py` says what they hold), and the verdict on what came out.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};

use crate::Failure;

/// One foreign suite.
#[derive(Deserialize)]
pub(crate) struct Suite {
    suite: String,
    #[serde(flatten)]
    tolerance: Tolerance,
    pub(crate) cases: Vec<Case>,
}

/// How far a result may be off.
#[derive(Deserialize)]
#[serde(untagged)]
enum Tolerance {
    /// Each element by `atol + rtol |element|`: ONNX's own rule.
    Element { rtol: f64, atol: f64 },
    /// Each by that part of the largest, and a little for what cancels.
    Largest { relative: f64, absolute: f64 },
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) build: Build,
    pub(crate) want: Vec<String>,
    pub(crate) gradients: Vec<String>,
}

/// What is computed, with its attributes.
#[derive(Deserialize)]
#[serde(tag = "build", content = "attributes", rename_all = "snake_case")]
pub(crate) enum Build {
    Activation {
        kind: String,
        negative_slope: Option<f32>,
    },
    Add {},
    AvgPool2d(Window),
    BatchNorm {
        training: bool,
        momentum: f32,
        eps: f32,
    },
    Concat {
        axis: usize,
    },
    Conv2d(Filter),
    CrossEntropy {
        reduction: Reduction,
        ignore_index: Option<i64>,
        label_smoothing: Option<f32>,
    },
    GlobalAvgPool {},
    GlobalMaxPool {},
    Linear {},
    LocalResponseNorm {
        size: usize,
        alpha: f32,
        beta: f32,
        k: f32,
    },
    MaxPool2d(Window),
    Reshape {},
    Softmax {
        axis: usize,
        log: bool,
    },
}

/// How a convolution's filters lie.
#[derive(Deserialize)]
pub(crate) struct Filter {
    pub(crate) stride: [usize; 2],
    /// Top, left, bottom, right.
    pub(crate) padding: [usize; 4],
    pub(crate) dilation: [usize; 2],
    pub(crate) groups: usize,
}

/// What becomes of the losses of the rows.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reduction {
    None,
    Sum,
    Mean,
}

/// The windows of a pooling.
#[derive(Deserialize)]
pub(crate) struct Window {
    pub(crate) window: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Top, left, bottom, right.
    pub(crate) padding: [usize; 4],
    pub(crate) dilation: [usize; 2],
    pub(crate) ceil_mode: bool,
    pub(crate) count_include_pad: Option<bool>,
    pub(crate) divisor: Option<i32>,
}

/// One tensor, every element widened.
pub(crate) struct Tensor {
    pub(crate) dims: Vec<usize>,
    pub(crate) values: Vec<f64>,
}

/// The tensors of a suite.
pub(crate) struct Tensors(HashMap<String, Tensor>);

impl Tensors {
    pub(crate) fn find(&self, case: &Case, name: &str) -> Option<&Tensor> {
        self.0.get(&format!("{}.{name}", case.name))
    }

    pub(crate) fn get(&self, case: &Case, name: &str) -> Result<&Tensor, Failure> {
        self.find(case, name)
            .ok_or_else(|| format!("the exporter wrote no {name}").into())
    }
}

/// What became of a case.
#[derive(Serialize)]
pub(crate) struct Outcome {
    pub(crate) name: String,
    pub(crate) failure: Option<String>,
}

#[derive(Serialize)]
struct Outcomes<'a> {
    adapter: Option<String>,
    outcomes: &'a [Outcome],
}

fn file(name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| "target".into(), PathBuf::from);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join(target).join("vectors").join(name)
}

fn read(name: &str) -> Vec<u8> {
    let path = file(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "{}: {error}; scripts/check-vectors makes it",
            path.display()
        )
    })
}

impl Suite {
    pub(crate) fn load(name: &str) -> (Self, Tensors) {
        let suite: Self =
            serde_json::from_slice(&read(&format!("{name}.json"))).expect("as vectors.py wrote it");
        let bytes = read(&format!("{name}.safetensors"));
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = file.iter().map(|(name, view)| {
            let data = view.data();
            let values = match view.dtype() {
                Dtype::F32 => words(data, |b| f32::from_le_bytes(b).into()),
                Dtype::F64 => words(data, f64::from_le_bytes),
                Dtype::U32 => words(data, |b| u32::from_le_bytes(b).into()),
                Dtype::I64 => words(data, |b| i64::from_le_bytes(b) as f64),
                other => panic!("{name} is {other:?}"),
            };
            let dims = view.shape().to_vec();
            (name.to_owned(), Tensor { dims, values })
        });
        let tensors = Tensors(tensors.collect());
        (suite, tensors)
    }

    /// Beside the vectors, for the table.
    pub(crate) fn save(&self, adapter: Option<String>, outcomes: &[Outcome]) {
        let outcomes = Outcomes { adapter, outcomes };
        let text = serde_json::to_string(&outcomes).expect("plain data");
        let path = file(&format!("{}.outcomes.json", self.suite));
        std::fs::write(&path, text).expect("the folder can be written");
    }

    /// Says what is wrong with a result of shape `dims`, if anything is.
    pub(crate) fn compare(&self, want: &Tensor, dims: &[usize], got: &[f32]) -> Result<(), String> {
        if want.dims != dims {
            return Err(format!("has shape {dims:?}, expected {:?}", want.dims));
        }
        let finite = want.values.iter().filter(|x| x.is_finite());
        let largest = finite.fold(0f64, |most, x| most.max(x.abs()));
        for (i, (&got, &want)) in got.iter().zip(&want.values).enumerate() {
            let got = f64::from(got);
            let allowed = match self.tolerance {
                Tolerance::Element { rtol, atol } => atol + rtol * want.abs(),
                Tolerance::Largest { relative, absolute } => absolute + relative * largest,
            };
            let same = got == want || (got.is_nan() && want.is_nan());
            // Not-a-number is off by no amount.
            let near = (got - want).abs() <= allowed;
            if !(same || near) {
                return Err(format!(
                    "element {i} is {got}, expected {want} within {allowed:e}"
                ));
            }
        }
        Ok(())
    }
}

fn words<const N: usize>(data: &[u8], widen: impl Fn([u8; N]) -> f64) -> Vec<f64> {
    let (words, rest) = data.as_chunks();
    assert!(rest.is_empty(), "whole elements");
    words.iter().map(|&word| widen(word)).collect()
}
