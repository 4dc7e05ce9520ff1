//! Flags of `train` for the learning rate and for what a step is.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use nin_wgpu::models::Schedule;

use crate::values::{at_least_one, share};

#[derive(Debug, Args)]
pub(crate) struct Tuning {
    /// How the learning rate goes on: it stays; falls to 0 along half a cosine; falls every --step-every epochs; rises and
    /// falls in one cycle; or falls, twice at most, when --patience-lr epochs brought no better accuracy [default: the
    /// recipe's]
    #[arg(long, value_enum, help_heading = "How to train")]
    pub(crate) schedule: Option<ScheduleName>,
    /// Epochs after which --schedule step lowers the learning rate, each time
    #[arg(long, value_name = "EPOCHS", value_parser = at_least_one::<u64>, help_heading = "How to train")]
    pub(crate) step_every: Option<u64>,
    /// Epochs without a better accuracy, on the held-out images (on the test images without --val-split), after which
    /// --schedule plateau lowers the learning rate [default: 5]
    #[arg(long, value_name = "EPOCHS", value_parser = at_least_one::<u64>, help_heading = "How to train")]
    pub(crate) patience_lr: Option<u64>,
    /// What --schedule step and plateau multiply the learning rate by [default: 0.1]
    #[arg(long, value_name = "FACTOR", value_parser = share, help_heading = "How to train", allow_negative_numbers = true)]
    pub(crate) gamma: Option<f64>,
    /// Add the gradients of N batches up for a step: but for rounding it is one on a batch of N times --batch-size, in the
    /// memory of one
    #[arg(long, value_name = "N", value_parser = at_least_one::<usize>, default_value_t = 1, help_heading = "How to train")]
    pub(crate) accumulate: usize,
    /// Find a learning rate instead of training: a hundred steps at rates from 1e-6 to 1 (Smith, arXiv:1506.01186); prints
    /// one to train with, and writes the losses as a picture and a table to the run folder
    #[arg(long, help_heading = "How to train", conflicts_with_all = ["plan", "profile", "dump", "export"])]
    pub(crate) find_lr: bool,
}

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScheduleName {
    Constant,
    Cosine,
    Step,
    OneCycle,
    Plateau,
}

impl Tuning {
    /// The schedule that the flags name, or that of the recipe with their numbers.
    pub(crate) fn schedule(&self, recipe: Schedule) -> Result<Schedule> {
        let mut schedule = match self.schedule {
            None => recipe,
            Some(ScheduleName::Constant) => Schedule::Constant,
            Some(ScheduleName::Cosine) => Schedule::Cosine,
            Some(ScheduleName::OneCycle) => Schedule::OneCycle,
            Some(ScheduleName::Step) => match self.step_every {
                Some(every) => Schedule::Step { every, gamma: 0.1 },
                None => bail!("--schedule step: say when, by --step-every EPOCHS"),
            },
            Some(ScheduleName::Plateau) => Schedule::Plateau {
                patience: 5,
                gamma: 0.1,
                drops: 2,
            },
        };
        // A number of another schedule would be without effect, and not what was meant.
        let is_step = matches!(schedule, Schedule::Step { .. });
        let is_plateau = matches!(schedule, Schedule::Plateau { .. });
        for (flag, given, fits, wants) in [
            ("--step-every", self.step_every.is_some(), is_step, "step"),
            (
                "--patience-lr",
                self.patience_lr.is_some(),
                is_plateau,
                "plateau",
            ),
            (
                "--gamma",
                self.gamma.is_some(),
                is_step || is_plateau,
                "step or plateau",
            ),
        ] {
            if given && !fits {
                bail!(
                    "{flag} is for --schedule {wants}, but the schedule is {schedule}; add it or leave {flag} out"
                );
            }
        }
        if let Schedule::Step { gamma, .. } | Schedule::Plateau { gamma, .. } = &mut schedule {
            *gamma = self.gamma.unwrap_or(*gamma);
        }
        if let Schedule::Plateau { patience, .. } = &mut schedule {
            *patience = self.patience_lr.unwrap_or(*patience);
        }
        Ok(schedule)
    }
}
