//! Errors of training and of checkpoints.

use std::io;
use std::path::{Path, PathBuf};

use crate::output::WriteError;

/// Errors of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The loss is no number any more.
    #[error(
        "the loss became {loss} in the {interval} steps before step {step} (epoch {epoch}); use a lower learning rate or a longer warm-up"
    )]
    NonFinite {
        /// The loss.
        loss: f64,
        /// Steps that the loss was averaged over.
        interval: u64,
        /// The last of them.
        step: u64,
        /// Its epoch.
        epoch: u64,
    },
    /// A parameter is no number any more, and is not written over a checkpoint that is whole.
    #[error(
        "`{name}` is no number any more after step {step}, and no checkpoint of it was written; use a lower learning rate or a \
         longer warm-up"
    )]
    NonFiniteParameter {
        /// The first of them.
        name: String,
        /// The last step.
        step: u64,
    },
    /// No learning rate of a range test made the loss less.
    #[error(
        "the loss fell at no learning rate between 1e-6 and 1; look at the data and at the initial parameters (--init)"
    )]
    NoRate,
    /// A batch larger than the data.
    #[error(
        "a batch of {batch} is larger than the {len} training images; use a smaller --batch-size or --accumulate, or more data"
    )]
    Batch {
        /// Images of a batch.
        batch: usize,
        /// Images of the training set.
        len: usize,
    },
    /// A training that takes more of the machine's memory than there is.
    #[error(
        "a training in batches of {batch} takes {} MB of memory, but {} MB are available; {}",
        need.div_ceil(1_000_000),
        available / 1_000_000,
        smaller(*fits)
    )]
    Memory {
        /// Images of a batch.
        batch: usize,
        /// Bytes that it takes.
        need: u64,
        /// Bytes that there are.
        available: u64,
        /// The largest batch that fits, 0 if none does.
        fits: usize,
    },
    /// An option outside its range.
    #[error("{option} is {got}, expected {want}")]
    Option {
        /// The option.
        option: &'static str,
        /// Its value.
        got: String,
        /// Its range.
        want: &'static str,
    },
    /// Weights of another number of classes than the data's.
    #[error(
        "{got} class weights for {classes} classes; give one for each, in the order of the labels, or `balanced`"
    )]
    ClassWeights {
        /// How many there are.
        got: usize,
        /// Classes of the data.
        classes: usize,
    },
    /// A checkpoint to resume from does not belong to this data or device.
    #[error("cannot resume: {0}")]
    Resume(String),
    /// A new run would overwrite another.
    #[error("{0} holds a run already; go on with it by --resume, or name another folder")]
    HoldsRun(PathBuf),
    /// Another training writes to the folder.
    #[error(
        "{0} is in use by another training; wait for its end, or stop it, or name another folder"
    )]
    InUse(PathBuf),
    /// The run folder went away, and was made again; what it held is lost but for what is written from now on.
    #[error("{0} was removed, and what it held; it was made again")]
    Removed(PathBuf),
    /// A folder to go on with has none.
    #[error("{0} holds no run to go on with (no resume.safetensors), name the folder of one")]
    NoRun(PathBuf),
    /// A file of the run folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The run folder or a file in it cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Errors of reading and writing checkpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be read.
    #[error("cannot read checkpoint {path}, check the path")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file is no whole safetensors file.
    #[error("{path} is not a whole safetensors file ({message}), copy it anew or take another")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The file is one of `torch.save`.
    #[error(
        "{path} is a file of torch.save, make it a safetensors file: {}",
        conversion(path)
    )]
    Pickle {
        /// The file.
        path: PathBuf,
    },
    /// None of the file's tensors is a parameter of the network.
    #[error(
        "{path}: none of its {tensors} tensors is one that the model needs, of its name and shape: `{name}` is {got}, but the \
         model needs {want}; is it a checkpoint of another model?"
    )]
    NothingFits {
        /// The file.
        path: PathBuf,
        /// How many tensors of floats it holds.
        tensors: usize,
        /// The model's first parameter.
        name: String,
        /// What the file has.
        got: String,
        /// What the model needs.
        want: String,
    },
    /// The file holds parameters but does not say of what model.
    #[error("{path} does not say which model it holds; pass a checkpoint that `train` wrote")]
    NoMetadata {
        /// The file.
        path: PathBuf,
    },
    /// A parameter is missing or has another shape.
    #[error(
        "{path}: parameter `{name}` is {got}, but the model needs {want}; is it a checkpoint of another model?"
    )]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The parameter.
        name: String,
        /// What the file has.
        got: String,
        /// What the model needs.
        want: String,
    },
}

fn smaller(fits: usize) -> String {
    match fits {
        0 => "not even a batch of one fits; use a smaller --model, --width or --image-size".into(),
        fits => format!("use --batch-size {fits} or less"),
    }
}

/// A line that makes a safetensors file of what `torch.save` wrote.
fn conversion(path: &Path) -> String {
    let (from, to) = (path.display(), path.with_extension("safetensors"));
    format!(
        r#"python -c "import torch, safetensors.torch as s; d = torch.load('{from}', map_location='cpu', weights_only=True); d = d.get('state_dict', d); s.save_file({{k: v.contiguous().clone() for k, v in d.items() if torch.is_tensor(v)}}, '{}')""#,
        to.display()
    )
}
