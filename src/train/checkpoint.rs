//! Checkpoints: safetensors files under PyTorch's names, written beside the old one and renamed over it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::State;
pub use super::adopt::{Adopted, adopt};
pub use super::error::CheckpointError;
use crate::data::{Dataset, Preparation};
use crate::graph::Graph;
use crate::graph::shape::Shape;
use crate::graph::tensor::Tensor;
use crate::models::{Form, Model, ModelError};
use crate::output::{WriteError, write_whole};
use crate::program::Parameters;

/// What a checkpoint says of itself besides its parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metadata {
    /// Name of the preset.
    pub model: String,
    /// Its width, and whether it has batch norm.
    #[serde(default)]
    pub form: Form,
    /// Name of the data set it was trained on.
    pub dataset: String,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Channels, height and width of the data set's images.
    pub image: [usize; 3],
    /// Mean and standard deviation of each channel that the input is normalised by.
    pub normalize: Vec<(f32, f32)>,
    /// How pictures of any size became those of the data set.
    #[serde(default)]
    pub preparation: Preparation,
    /// Height and width of the network's input, if it is neither the model's own nor the data's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<[usize; 2]>,
    /// Epochs finished.
    pub epoch: u64,
    /// Steps done.
    pub step: u64,
    /// Seed of the run.
    pub seed: u64,
    /// What the run needs to go on; only in the file that also holds the optimizer's moments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume: Option<State>,
}

impl Metadata {
    /// Of a model that has not been trained yet on `data`, whose channels are normalised by these means and standard
    /// deviations (0 and 1 for none).
    pub fn new(model: &Model, data: &Dataset, normalize: Vec<(f32, f32)>, seed: u64) -> Self {
        Self {
            model: model.name.to_owned(),
            form: model.form,
            dataset: data.name().to_owned(),
            classes: data.classes().to_vec(),
            image: data.outline().image,
            normalize,
            preparation: data.preparation(),
            input: None,
            epoch: 0,
            step: 0,
            seed,
            resume: None,
        }
    }
}

impl Metadata {
    /// The preset that was trained, in its form.
    ///
    /// # Errors
    /// [`ModelError`] if there is none of this name.
    pub fn preset(&self) -> Result<Model, ModelError> {
        Model::find(&self.model)?.with_form(self.form)
    }
}

/// Key of the metadata in the safetensors header.
const KEY: &str = "nin-wgpu";

/// Writes tensors, and metadata if given, to a temporary file beside `path` and renames it.
///
/// # Errors
/// [`CheckpointError::Write`]; a file that was at `path` is then unchanged.
pub fn save(
    path: &Path,
    tensors: &Parameters,
    metadata: Option<&Metadata>,
) -> Result<(), CheckpointError> {
    save_as(path, tensors, Dtype::F32, floats_of(tensors), metadata)
}

/// The same in half the space: every number rounded to 16 bits. To be shipped, not to be trained on with.
///
/// # Errors
/// As [`save`], also if a number is beyond the range of 16 bits.
pub fn save_f16(
    path: &Path,
    tensors: &Parameters,
    metadata: Option<&Metadata>,
) -> Result<(), CheckpointError> {
    let mut bytes = Vec::new();
    for (name, tensor) in tensors {
        let halves: Vec<f16> = tensor.data.iter().map(|&x| f16::from_f32(x)).collect();
        if halves.iter().any(|x| !x.is_finite()) {
            let message = format!("tensor `{name}` has numbers beyond the range of 16 bits");
            return Err(WriteError::of(path)(io::Error::other(message)).into());
        }
        bytes.push(bytemuck::cast_slice(&halves).to_vec().into());
    }
    save_as(path, tensors, Dtype::F16, bytes, metadata)
}

/// PyTorch's count of the steps of a batch normalisation, which it misses in a file without: its name, beside that of a
/// running mean.
fn counter(name: &str) -> Option<String> {
    let layer = name.strip_suffix(".running_mean")?;
    Some(format!("{layer}.num_batches_tracked"))
}

/// Writes the bytes of each tensor as numbers of one type.
fn save_as(
    path: &Path,
    tensors: &Parameters,
    dtype: Dtype,
    bytes: Vec<Cow<'_, [u8]>>,
    metadata: Option<&Metadata>,
) -> Result<(), CheckpointError> {
    let error = WriteError::of(path);
    let bytes = serialize(tensors, dtype, bytes, metadata).map_err(error)?;
    Ok(write_whole(path, &bytes)?)
}

/// What [`save`] writes, where there are no files.
///
/// # Errors
/// None for tensors whose data fill their shapes.
pub fn to_bytes(tensors: &Parameters, metadata: Option<&Metadata>) -> io::Result<Vec<u8>> {
    serialize(tensors, Dtype::F32, floats_of(tensors), metadata)
}

fn floats_of(tensors: &Parameters) -> Vec<Cow<'_, [u8]>> {
    let tensors = tensors.iter();
    let bytes = tensors.map(|(_, tensor)| bytemuck::cast_slice(&tensor.data).into());
    bytes.collect()
}

fn serialize(
    tensors: &Parameters,
    dtype: Dtype,
    bytes: Vec<Cow<'_, [u8]>>,
    metadata: Option<&Metadata>,
) -> io::Result<Vec<u8>> {
    let steps = metadata.map_or(0, |metadata| metadata.step).to_le_bytes();
    let counters: Vec<String> = tensors
        .iter()
        .filter_map(|(name, _)| counter(name))
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, tensor), bytes)| {
        let view = TensorView::new(dtype, tensor.shape.dims().to_vec(), bytes);
        view.map(|view| (name.as_str(), view))
    });
    let counters = counters.iter().map(|name| {
        let view = TensorView::new(Dtype::I64, Vec::new(), &steps);
        view.map(|view| (name.as_str(), view))
    });
    let views = views
        .chain(counters)
        .map(|view| view.map_err(io::Error::other));
    let views = views.collect::<io::Result<Vec<_>>>()?;
    let header = metadata
        .map(|metadata| {
            serde_json::to_string(metadata).map(|json| HashMap::from([(KEY.to_owned(), json)]))
        })
        .transpose()?;
    safetensors::serialize(views, header).map_err(io::Error::other)
}

/// What a file holds.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Tensors of floats, sorted by name.
    pub parameters: Parameters,
    /// What it says of itself, if `train` wrote it.
    pub metadata: Option<Metadata>,
    /// Tensors that cannot be parameters, such as counters, with what they are.
    pub others: Vec<(String, String)>,
}

impl Checkpoint {
    /// Reads a file; tensors of 64 and of 16 bits become `f32`.
    ///
    /// # Errors
    /// [`CheckpointError::Read`], [`CheckpointError::Format`]; [`CheckpointError::Pickle`] if it is a file of `torch.save`.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_bytes(path, &bytes)
    }

    /// The bytes of a file called `path`.
    ///
    /// # Errors
    /// As [`Checkpoint::open`], but for those of reading it.
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let format = |message: String| CheckpointError::Format {
            path: path.to_owned(),
            message,
        };
        // A zip archive, or a pickle of protocol 2 to 5 as older versions wrote them.
        if bytes.starts_with(b"PK\x03\x04") || matches!(bytes, [0x80, 2..=5, ..]) {
            return Err(CheckpointError::Pickle {
                path: path.to_owned(),
            });
        }
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| format(e.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| format(e.to_string()))?;
        let (mut parameters, mut others) = (Parameters::new(), Vec::new());
        for (name, view) in file.iter() {
            match (floats(&view), Shape::new(view.shape())) {
                (Some(data), Ok(shape)) => {
                    parameters.push((name.to_owned(), Tensor { shape, data }));
                }
                (None, _) => others.push((name.to_owned(), format!("{:?}", view.dtype()))),
                (_, Err(error)) => others.push((name.to_owned(), error.to_string())),
            }
        }
        parameters.sort_by(|(a, _), (b, _)| a.cmp(b));
        others.sort();
        let metadata = header
            .metadata()
            .as_ref()
            .and_then(|all| all.get(KEY))
            .map(|json| serde_json::from_str(json).map_err(|e| format(format!("metadata: {e}"))))
            .transpose()?;
        Ok(Self {
            parameters,
            metadata,
            others,
        })
    }

    /// Parameters and metadata, if `train` wrote the file called `path`.
    ///
    /// # Errors
    /// [`CheckpointError::NoMetadata`] if it did not.
    pub fn trained(self, path: &Path) -> Result<(Parameters, Metadata), CheckpointError> {
        match self.metadata {
            Some(metadata) => Ok((self.parameters, metadata)),
            None => Err(CheckpointError::NoMetadata {
                path: path.to_owned(),
            }),
        }
    }
}

/// Parts what a run goes on from: parameters, and what the optimizer keeps of them.
pub fn part_moments(tensors: Parameters) -> [Parameters; 2] {
    let kinds = [".moment1", ".moment2", ".ema"];
    let is_moment = |(name, _): &(String, _)| kinds.iter().any(|kind| name.ends_with(kind));
    let (moments, parameters) = tensors.into_iter().partition(is_moment);
    [parameters, moments]
}

/// The numbers of a tensor; `None` if they are no floats.
fn floats(view: &TensorView<'_>) -> Option<Vec<f32>> {
    let bytes = view.data();
    let halves = || bytemuck::pod_collect_to_vec::<u8, u16>(bytes).into_iter();
    Some(match view.dtype() {
        Dtype::F32 => bytemuck::pod_collect_to_vec(bytes),
        Dtype::F64 => bytemuck::pod_collect_to_vec::<u8, f64>(bytes)
            .into_iter()
            .map(|x| x as f32)
            .collect(),
        Dtype::F16 => halves().map(|x| f16::from_bits(x).to_f32()).collect(),
        Dtype::BF16 => halves().map(|x| bf16::from_bits(x).to_f32()).collect(),
        _ => return None,
    })
}

/// A file's tensors of floats and, if `train` wrote it, its metadata.
///
/// # Errors
/// As [`Checkpoint::open`].
pub fn load(path: &Path) -> Result<(Parameters, Option<Metadata>), CheckpointError> {
    let file = Checkpoint::open(path)?;
    Ok((file.parameters, file.metadata))
}

/// A checkpoint that `train` wrote: parameters and metadata.
///
/// # Errors
/// As [`load`], and [`CheckpointError::NoMetadata`].
pub fn load_trained(path: &Path) -> Result<(Parameters, Metadata), CheckpointError> {
    Checkpoint::open(path)?.trained(path)
}

/// Whether two shapes are one but for ones at the end: a linear layer's `[K,C]` and the `[K,C,1,1]` of a 1x1 convolution hold
/// the same weights.
fn is_same(a: Shape, b: Shape) -> bool {
    let [a, b] = [&a, &b].map(|shape| {
        let dims = shape.dims();
        let end = dims.iter().rposition(|&side| side > 1);
        dims[..end.map_or(1, |last| last + 1)].to_vec()
    });
    a == b
}

/// Checks that `parameters`, read from `path`, are parameters and statistics of `graph`: all of them, each of its shape but
/// for ones at the end.
///
/// # Errors
/// [`CheckpointError::Mismatch`], which names the first that differs.
pub fn check(path: &Path, parameters: &Parameters, graph: &Graph) -> Result<(), CheckpointError> {
    let found: HashMap<&str, &Tensor> = parameters
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    let mismatch = |name: &str, got: String, want: String| CheckpointError::Mismatch {
        path: path.to_owned(),
        name: name.to_owned(),
        got,
        want,
    };
    let mut wanted = Vec::new();
    for id in graph.state() {
        let value = graph.value(id);
        wanted.push(value.name.as_str());
        let got = found.get(value.name.as_str()).map(|tensor| tensor.shape);
        if got.is_none_or(|got| !is_same(got, value.shape)) {
            let got = got.map_or_else(|| "missing".to_owned(), |shape| shape.to_string());
            return Err(mismatch(&value.name, got, value.shape.to_string()));
        }
    }
    match parameters
        .iter()
        .find(|(name, _)| !wanted.contains(&name.as_str()))
    {
        Some((name, tensor)) => Err(mismatch(
            name,
            tensor.shape.to_string(),
            "no such parameter".into(),
        )),
        None => Ok(()),
    }
}
