//! Training: epochs, steps, learning rates, metrics. Emits events and prints nothing.

mod evaluate;
mod events;
mod fit;
mod folder;
mod options;
mod order;
mod profile;
mod program;
mod state;
mod supply;
mod trainer;

pub use evaluate::{evaluate, evaluate_telling};
pub use events::{Epoch, Event, Interval, Progress};
pub use fit::{Fitted, fit};
pub use folder::{Resumed, RunFolder};
pub use options::{Schedule, TrainOptions};
pub use profile::{Waiting, profile};
pub use program::{training_program, training_program_on};
pub use state::State;
pub use supply::{Home, OnBad};
pub use trainer::{Summary, Trainer};

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
    /// A batch larger than the data.
    #[error(
        "a batch of {batch} is larger than the {len} training images; use a smaller --batch-size or more data"
    )]
    Batch {
        /// Images of a batch.
        batch: usize,
        /// Images of the training set.
        len: usize,
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
    /// A checkpoint to resume from does not belong to this data or device.
    #[error("cannot resume: {0}")]
    Resume(String),
    /// A run was asked for what its program does not do.
    #[error("this program is not for {0}; build it with the matching constructor of `Program`")]
    WrongProgram(&'static str),
    /// Class maps were asked of a network that has none.
    #[error(
        "this network has no class maps; only one whose logits come from global average pooling of maps that lie on one grid has"
    )]
    NoMaps,
    /// A new run would overwrite another.
    #[error("{0} holds a run already; go on with it by --resume, or name another folder")]
    HoldsRun(std::path::PathBuf),
    /// A folder to go on with has none.
    #[error("{0} holds no run to go on with (no resume.safetensors), name the folder of one")]
    NoRun(std::path::PathBuf),
    /// A file of the run folder cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The run folder or a file in it cannot be written.
    #[error(transparent)]
    Write(#[from] crate::output::WriteError),
}
