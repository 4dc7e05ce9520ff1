//! A training that goes on by itself after a fault: from its last checkpoint, or before the first one from its beginning.

use std::path::{Path, PathBuf};

use anyhow::Error;
use nin_wgpu::checkpoint;

use crate::args::Args;
use crate::values::OnNan;

/// Times that the learning rate is halved.
const ROLLBACKS: u32 = 5;

/// Where a training goes on, and how often it may.
pub(crate) struct Again {
    /// The run to go on with, if there is one.
    pub(crate) resume: Option<PathBuf>,
    /// Factor on its learning rate.
    pub(crate) rate: f64,
    /// Whether it is the first time.
    pub(crate) first: bool,
    lost: u32,
    diverged: u32,
    /// The step that it went back to.
    step: Option<u64>,
}

impl Again {
    pub(crate) fn new(args: &Args) -> Self {
        Self {
            resume: args.resume.clone(),
            rate: 1.0,
            first: true,
            lost: args.retries,
            diverged: match args.on_nan {
                Some(OnNan::Rollback) => ROLLBACKS,
                Some(OnNan::Stop | OnNan::Skip) | None => 0,
            },
            step: None,
        }
    }

    /// Whether the run in `out`, or one that got no folder yet, goes on after this error, which is told then.
    pub(crate) fn goes_on(&mut self, error: &Error, out: Option<&Path>) -> bool {
        let cause = error.downcast_ref::<nin_wgpu::Error>();
        let lost = cause.is_some_and(nin_wgpu::Error::is_lost);
        let diverged = cause.is_some_and(nin_wgpu::Error::is_divergence);
        let left = match (lost, diverged) {
            (true, _) => &mut self.lost,
            (_, true) => &mut self.diverged,
            _ => return false,
        };
        let Some(fewer) = left.checked_sub(1) else {
            return false;
        };
        let saved = out.map(|out| out.join("resume.safetensors"));
        let Some(saved) = saved.filter(|saved| saved.exists()) else {
            // At the same rate from the same beginning it would diverge again.
            if lost {
                *left = fewer;
                self.first = false;
                eprintln!(
                    "warning: {error:#}; beginning anew, the device is opened again ({fewer} more times)"
                );
            }
            return lost;
        };
        let Ok((_, saved)) = checkpoint::load_trained(&saved) else {
            return false;
        };
        *left = fewer;
        let step = saved.step;
        let how = if lost {
            "the device is opened again".to_owned()
        } else {
            // What was saved since has the lower rate already.
            self.rate = if self.step == Some(step) {
                self.rate
            } else {
                1.0
            } / 2.0;
            self.step = Some(step);
            "at half the learning rate".to_owned()
        };
        eprintln!("warning: {error:#}; going on after step {step}, {how} ({fewer} more times)");
        self.resume = out.map(Path::to_owned);
        self.first = false;
        true
    }
}
