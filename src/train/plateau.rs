//! Whether a training still gets better: what [`Schedule::Plateau`] lowers the learning rate by.

use serde::{Deserialize, Serialize};

use crate::models::Schedule;

/// How the accuracy on the images held out went from epoch to epoch. It counts whole epochs only, so that a run in parts counts
/// as a run in one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plateau {
    /// The best accuracy.
    best: f64,
    /// Epochs since then, or since the rate was lowered.
    since: u64,
    /// How many times it was lowered.
    drops: u64,
}

impl Plateau {
    /// How many times the rate was lowered.
    pub fn drops(&self) -> u64 {
        self.drops
    }

    /// Takes the accuracy after an epoch; as PyTorch's `ReduceLROnPlateau(mode="max", threshold=0)`, whose patience is one less.
    pub(super) fn after_epoch(&mut self, accuracy: f64, schedule: Schedule) {
        let Schedule::Plateau {
            patience, drops, ..
        } = schedule
        else {
            return;
        };
        self.since += 1;
        if accuracy > self.best {
            (self.best, self.since) = (accuracy, 0);
        }
        if self.since >= patience && self.drops < drops {
            (self.since, self.drops) = (0, self.drops + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_lowered_when_pytorch_lowers_it() {
        let schedule = Schedule::Plateau {
            patience: 2,
            gamma: 0.1,
            drops: 2,
        };
        let accuracies = [0.5, 0.6, 0.6, 0.6, 0.7, 0.7, 0.65, 0.7, 0.7, 0.7, 0.7, 0.7];
        // torch 2.15: ReduceLROnPlateau(SGD(lr=0.1), mode="max", patience=1, threshold=0, min_lr=0.001), the rates of the
        // epochs behind each accuracy.
        let want = [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2];
        let mut plateau = Plateau::default();
        let drops = accuracies.map(|accuracy| {
            plateau.after_epoch(accuracy, schedule);
            plateau.drops()
        });
        assert_eq!(drops, want);
        let mut other = Plateau::default();
        other.after_epoch(0.5, Schedule::Cosine);
        assert_eq!(other, Plateau::default());
    }
}
