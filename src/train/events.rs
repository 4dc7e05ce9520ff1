//! What a [`Trainer`](super::Trainer) tells of its work.

use serde::Serialize;

use super::State;
use crate::data::Bad;
use crate::program::Parameters;

/// How far a training is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Epoch, from 1.
    pub epoch: u64,
    /// Images done in this epoch.
    pub images: u64,
    /// Images of the epoch.
    pub of: u64,
    /// Whether these are images of the validation or the test set.
    pub testing: bool,
}

/// Means over a log interval.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Epoch, from 1.
    pub epoch: u64,
    /// Last step of the interval, from 1.
    pub step: u64,
    /// Mean loss, of the images that count; NaN, which is `null` in JSON, if all steps were skipped.
    pub loss: f64,
    /// Mean top-1 accuracy, likewise.
    pub accuracy: f64,
    /// Steps that moved nothing, since their gradients were not finite, if such are skipped ([`Training::skip_non_finite`]).
    ///
    /// [`Training::skip_non_finite`]: crate::program::Training::skip_non_finite
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Norm of all gradients of the last step before they were clipped, if they are ([`Training::clip_norm`]) or steps may be skipped:
    /// then it may be none or infinite, which is `null` in JSON.
    ///
    /// [`Training::clip_norm`]: crate::program::Training::clip_norm
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grad_norm: Option<f64>,
    /// Time since the interval before.
    pub seconds: f64,
    /// Part of that time in which the host waited for pictures to be loaded.
    pub waited: f64,
}

/// Means over an epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Epoch {
    /// Epoch, from 1.
    pub epoch: u64,
    /// Mean training loss, each step's before its update; NaN, which is `null` in JSON, if all steps were skipped.
    pub train_loss: f64,
    /// Mean training accuracy, likewise.
    pub train_accuracy: f64,
    /// Steps that were skipped, if such are ([`Training::skip_non_finite`](crate::program::Training::skip_non_finite)).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<u64>,
    /// Accuracy on the validation set after the epoch, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// Accuracy on the test set after the epoch, if there is no validation set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Time for training and testing.
    pub seconds: f64,
    /// Part of that time in which training waited for pictures to be loaded.
    pub waited: f64,
}

impl Epoch {
    /// The accuracy that epochs are compared by.
    pub fn accuracy(&self) -> f64 {
        self.val_accuracy.or(self.test_accuracy).unwrap_or(0.0)
    }
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The first step's logits and gradients, before its update, if they were asked for.
    FirstStep(&'a Parameters),
    /// Some images are done.
    Progress(Progress),
    /// A log interval is over.
    Interval(Interval),
    /// Classes whose logits were zero for every image of an interval: they no longer learn.
    DeadClasses(Vec<usize>),
    /// Pictures that could not be loaded, and count for nothing ([`OnBad::Skip`](super::OnBad)).
    BadPictures(&'a [Bad]),
    /// Something happened that people should know of.
    Notice(String),
    /// An epoch is over.
    Epoch(Epoch),
    /// Accuracy of the best epoch on the test set, which had no part in choosing it.
    Tested(f64),
    /// The parameters as they are now, to be saved.
    Checkpoint {
        /// Epochs finished.
        epoch: u64,
        /// Steps done.
        step: u64,
        /// Whether no epoch had a better accuracy on the validation set, or on the test set if there is none.
        best: bool,
        /// The parameters for use: the moving average of those that are trained, if there is one.
        parameters: &'a Parameters,
        /// The parameters that training goes on with.
        trained: &'a Parameters,
        /// What the optimizer keeps of them: moments, and the average.
        moments: &'a Parameters,
        /// Options and progress.
        state: &'a State,
    },
}
