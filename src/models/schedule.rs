//! How the learning rate goes on over a training.

use std::f64::consts::PI;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How the learning rate goes on, after the warm-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Schedule {
    /// It stays.
    #[default]
    Constant,
    /// It falls along half a cosine, to 0 after the last epoch (Loshchilov, Hutter, arXiv:1608.03983, without restarts).
    Cosine,
    /// It is multiplied by `gamma` after every `every` epochs, as by PyTorch's `StepLR`.
    Step {
        /// Epochs of one rate.
        every: u64,
        /// What it is multiplied by.
        gamma: f64,
    },
    /// One cycle (Smith, Topin, arXiv:1708.07120): over the first 0.3 of all steps it rises from a 25th to its full value, and
    /// then falls to a 10,000th of that 25th, both along half a cosine. It is the rate of PyTorch's `OneCycleLR`; momentum
    /// stays as it is. It needs no warm-up, and has none.
    OneCycle,
    /// It is multiplied by `gamma` whenever `patience` epochs brought no better accuracy on the images held out (those that
    /// [`Trainer`](crate::train::Trainer) chooses the best epoch by), `drops` times at most; then it stays. With 0.1, twice,
    /// it is the schedule of Lin, Chen, Yan (arXiv:1312.4400, section 4), who watched the training set's accuracy.
    Plateau {
        /// Epochs without a better accuracy.
        patience: u64,
        /// What the rate is multiplied by.
        gamma: f64,
        /// How many times at most.
        drops: u64,
    },
}

/// Where a training is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// The step, from 1.
    pub step: u64,
    /// Steps of an epoch.
    pub per_epoch: u64,
    /// Steps of all epochs.
    pub steps: u64,
    /// How many times [`Schedule::Plateau`] has lowered the rate.
    pub drops: u64,
}

/// Part of a cycle in which the rate rises.
const RISE: f64 = 0.3;
/// The full rate over the first.
const FIRST: f64 = 25.0;
/// The first rate over the last.
const LAST: f64 = 1e4;

/// From `from` to `to` along half a cosine, `done` of the way.
fn cosine(from: f64, to: f64, done: f64) -> f64 {
    to + (from - to) / 2.0 * (1.0 + (PI * done.min(1.0)).cos())
}

impl Schedule {
    /// What the full learning rate is multiplied by after a warm-up of `warmup` steps.
    pub(crate) fn factor(self, at: At, warmup: u64) -> f64 {
        match self {
            Self::Constant => 1.0,
            Self::Cosine => {
                let rest = at.steps.saturating_sub(warmup).max(1) as f64;
                cosine(1.0, 0.0, at.step.saturating_sub(warmup) as f64 / rest)
            }
            Self::Step { every, gamma } => {
                let epochs = (at.step - 1) / at.per_epoch.max(1);
                gamma.powf((epochs / every.max(1)) as f64)
            }
            Self::OneCycle => {
                let steps = at.steps as f64;
                // PyTorch counts steps from 0.
                let (step, top) = ((at.step - 1) as f64, RISE * steps - 1.0);
                if step <= top {
                    return cosine(1.0 / FIRST, 1.0, step / top);
                }
                cosine(1.0, 1.0 / FIRST / LAST, (step - top) / (steps - 1.0 - top))
            }
            Self::Plateau { gamma, .. } => gamma.powf(at.drops as f64),
        }
    }

    /// Whether it has an end, so that more epochs are another schedule.
    pub fn ends(self) -> bool {
        matches!(self, Self::Cosine | Self::OneCycle)
    }

    /// Whether it begins with a rise of its own.
    pub fn rises(self) -> bool {
        matches!(self, Self::OneCycle)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => write!(to, "constant"),
            Self::Cosine => write!(to, "cosine"),
            Self::Step { every, gamma } => write!(to, "times {gamma} every {every} epochs"),
            Self::OneCycle => write!(to, "one cycle"),
            Self::Plateau {
                patience,
                gamma,
                drops,
            } => write!(
                to,
                "times {gamma} after {patience} epochs without progress, at most {drops} times"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, per_epoch: u64, steps: u64) -> Vec<f64> {
        let at = |step| At {
            step,
            per_epoch,
            steps,
            drops: 0,
        };
        (1..=steps)
            .map(|step| 0.1 * schedule.factor(at(step), 0))
            .collect()
    }

    fn close(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (step, (got, want)) in (1..).zip(got.iter().zip(want)) {
            assert!(
                (got / want - 1.0).abs() < 1e-9,
                "step {step}: {got}, {want}"
            );
        }
    }

    #[test]
    fn one_cycle_has_the_rates_of_pytorch() {
        // torch 2.15: OneCycleLR(SGD(lr=0.1, momentum=0.9), max_lr=0.1, total_steps=20).
        let want = [
            0.004,
            0.013167184270002533,
            0.037167184270002526,
            0.06683281572999747,
            0.09083281572999748,
            0.1,
            0.09874640062350874,
            0.09504846320134738,
            0.089091617757105,
            0.0811745653949763,
            0.07169430017913009,
            0.06112620219362893,
            0.0500002,
            0.03887419780637107,
            0.028306099820869922,
            0.0188258346050237,
            0.010908782242895003,
            0.004951936798652629,
            0.0012539993764912555,
            4e-7,
        ];
        close(&rates(Schedule::OneCycle, 5, 20), &want);
        for steps in 1..12 {
            let rates = rates(Schedule::OneCycle, 1, steps);
            let fine = |rate: &f64| *rate > 0.0 && *rate <= 0.1;
            assert!(rates.iter().all(fine), "{steps}: {rates:?}");
        }
    }

    #[test]
    fn steps_have_the_rates_of_pytorch() {
        let schedule = Schedule::Step {
            every: 2,
            gamma: 0.5,
        };
        // torch 2.15: StepLR(SGD(lr=0.1), step_size=2, gamma=0.5), stepped after each epoch.
        let epochs = [0.1, 0.1, 0.05, 0.05, 0.025, 0.025, 0.0125];
        let want: Vec<f64> = epochs.into_iter().flat_map(|rate| [rate; 3]).collect();
        close(&rates(schedule, 3, 21), &want);
    }

    #[test]
    fn a_cosine_has_the_rates_of_pytorch_a_step_later() {
        // torch 2.15: CosineAnnealingLR(SGD(lr=0.1), T_max=10), whose first step has the full rate.
        let want = [
            0.09755282581475769,
            0.09045084971874738,
            0.07938926261462367,
            0.06545084971874739,
            0.05,
            0.03454915028125264,
            0.020610737385376353,
            0.009549150281252635,
            0.002447174185242324,
        ];
        let rates = rates(Schedule::Cosine, 5, 10);
        close(&rates[..9], &want);
        assert!(rates[9].abs() < 1e-12, "{}", rates[9]);
    }

    #[test]
    fn schedules_without_numbers_are_saved_as_before() {
        for (schedule, text) in [
            (Schedule::Constant, r#""constant""#),
            (Schedule::Cosine, r#""cosine""#),
        ] {
            assert_eq!(serde_json::to_string(&schedule).expect("JSON"), text);
            let read: Schedule = serde_json::from_str(text).expect("JSON");
            assert_eq!(read, schedule);
        }
    }
}
