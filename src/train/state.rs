//! Where a run stands: what it needs, besides parameters and moments, to go on bit for bit.

use serde::{Deserialize, Serialize};

use super::{Plateau, TrainOptions};
use crate::program::Metrics;

/// Options and progress of a run. With the step, the parameters and the moments it is all that a run depends on: the
/// order of an epoch's images follows from seed and epoch, dropout from seed and step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Options that the run was started with.
    pub options: TrainOptions,
    /// Images of the training set.
    pub train_images: usize,
    /// Images of the validation set, 0 if there is none.
    pub val_images: usize,
    /// Images of the test set.
    pub test_images: usize,
    /// [`Split::names`](crate::data::Split::names) of the data.
    #[serde(default)]
    pub names: Option<u32>,
    /// Whether an epoch was trained to its end and could not be tested.
    #[serde(default)]
    pub untested: bool,
    /// Sums over the whole log intervals of the epoch so far.
    pub epoch_so_far: Metrics,
    /// Sums over the log interval that the run was stopped in, if it was.
    #[serde(default = "Metrics::empty")]
    pub interval_so_far: Metrics,
    /// Steps that were skipped in the whole log intervals so far ([`Training::skip_non_finite`]).
    ///
    /// [`Training::skip_non_finite`]: crate::program::Training::skip_non_finite
    #[serde(default)]
    pub skipped: u64,
    /// Steps of the last whole log intervals that had no other.
    #[serde(default)]
    pub skipped_in_a_row: u64,
    /// Best accuracy of a whole epoch so far on the validation set, or on the test set if there is none.
    pub best_accuracy: f64,
    /// Its epoch; 0 before the first.
    pub best_epoch: u64,
    /// What the learning rate was lowered by.
    #[serde(default)]
    pub plateau: Plateau,
}
