//! Training: epochs, steps, learning rates, metrics. Emits events and prints nothing.

mod adopt;
pub mod checkpoint;
mod claim;
mod class_weights;
pub(crate) mod error;
mod evaluate;
mod events;
mod extension;
mod find_lr;
mod fit;
mod folder;
pub mod init;
mod options;
mod order;
mod plateau;
mod profile;
mod program;
mod state;
mod supply;
mod trainer;

pub use crate::models::{At, Schedule};
pub use class_weights::balanced_class_weights;
pub use error::TrainError;
pub use evaluate::{evaluate, evaluate_telling};
pub use events::{Epoch, Event, Interval, Progress};
pub use find_lr::{RateStep, RateTest, find_lr};
pub use fit::{Fitted, fit};
pub use folder::{Resumed, RunFolder};
pub use options::TrainOptions;
pub use plateau::Plateau;
pub use profile::{Waiting, profile};
pub use program::{training_program, training_program_on};
pub use state::State;
pub use supply::{Home, OnBad};
pub use trainer::{Pause, Summary, Trainer};
