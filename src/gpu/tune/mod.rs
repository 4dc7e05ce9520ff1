//! Choosing the algorithm of each convolution by measurement, on the device at hand.
//!
//! An algorithm is timed only after its result, on this device and at this very shape, agreed with the reference. What
//! was measured is kept in a folder, if one is given, under adapter, driver and shaders, so that it is measured once.

mod clock;
mod store;
mod trial;

pub use store::KernelsError;
pub use trial::{Trial, Trials};

use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

use web_time::{Duration, Instant};

use self::clock::Clock;
use self::store::{Choices, Store};
use super::{AdapterKind, Gpu, GpuError};
use crate::graph::Graph;
use crate::ops::Geometry;
use crate::plan::cost::by_cost;
use crate::plan::{Conv2dAlgorithm, Direction, Plan, PlanLimits, PlanOptions};

/// Whether convolutions are measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tune {
    /// Never: a device of one kind always takes the same algorithms.
    #[default]
    Off,
    /// Take what was measured before; on a hardware GPU measure what was not, for two seconds at most.
    Cached,
    /// Measure every algorithm, whatever was measured before and however long it takes.
    Full,
}

/// Time for measuring before a run that did not ask for it. What is left over waits for the next run.
const BUDGET: Duration = Duration::from_secs(2);
/// Algorithms that are tried of each computation then, the likeliest to be fastest: the best of them took 0.2 % longer on an H100.
const LIKELY: usize = 3;

/// What a device knows of its algorithms.
#[derive(Debug, Default)]
pub(super) struct Tuner {
    mode: Tune,
    /// The folder that [`Gpu::tune_dir`] lies in, if there is one.
    cache: Option<PathBuf>,
    known: Option<Store>,
    trials: Vec<Trial>,
    /// What [`Gpu::set_kernels`] asks for.
    wanted: Choices,
    /// What serves the graphs that were loaded.
    chosen: Choices,
}

impl Gpu {
    fn tuner(&self) -> MutexGuard<'_, Tuner> {
        self.tuner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets whether convolutions are measured when a graph is loaded by [`Device::load`](crate::backend::device::Device::load).
    pub fn set_tune(&self, mode: Tune) {
        self.tuner().mode = mode;
    }

    /// The folder that measurements are kept in within a cache folder, there or not.
    pub fn tune_dir(cache: &Path) -> PathBuf {
        store::folder(cache)
    }

    /// The file in [`Gpu::tune_dir`] of what else was measured, under the names of what it holds for, and all shaders.
    pub(crate) fn tune_file(cache: &Path, of: &[&str]) -> PathBuf {
        store::file(cache, of)
    }

    /// Keeps what is measured in [`Gpu::tune_dir`] of `folder`, for instance the user's cache folder, and takes from there
    /// what was measured before. Without a folder it is forgotten when the device is closed.
    pub fn set_tune_cache(&self, folder: impl Into<PathBuf>) {
        self.tuner().cache = Some(folder.into());
    }

    /// What was measured since the device was opened.
    pub fn trials(&self) -> Trials {
        Trials(self.tuner().trials.clone())
    }

    /// The algorithms that serve the graphs loaded so far, with adapter, driver and a hash of all shaders: JSON for
    /// [`Gpu::set_kernels`], by which a later process computes the same bits.
    pub fn kernels(&self) -> Vec<u8> {
        store::to_json(&self.description().to_string(), &self.tuner().chosen)
    }

    /// Has the graphs that are loaded from now on served as those of [`Gpu::kernels`] were, whatever was measured. What they did
    /// not compute is chosen as ever.
    ///
    /// # Errors
    /// [`KernelsError`] if they are of another adapter, driver or version.
    pub fn set_kernels(&self, json: &[u8]) -> Result<(), KernelsError> {
        let wanted = store::from_json(&self.description().to_string(), json)?;
        self.tuner().wanted = wanted;
        Ok(())
    }

    /// [`Gpu::plan_options`] with the fastest algorithm of each convolution of `graph`, as far as that is known.
    ///
    /// # Errors
    /// [`GpuError::Lost`] if the device was lost meanwhile.
    pub fn tuned_options(&self, graph: &Graph) -> Result<PlanOptions, GpuError> {
        let mut options = self.plan_options();
        let mut tuner = self.tuner();
        let Tuner {
            mode,
            cache,
            known,
            trials,
            wanted,
            chosen,
        } = &mut *tuner;
        let known = known.get_or_insert_with(|| Store::load(cache.clone(), self.description()));
        let start = Instant::now();
        let mut clock = None;
        let hardware = self.description().kind == AdapterKind::Hardware;
        let allowed = |algorithm: &Conv2dAlgorithm| {
            !(self.is_precise() && matches!(algorithm, Conv2dAlgorithm::Winograd(_)))
        };
        // What cannot be planned is refused when it is loaded.
        let Ok(plan) = Plan::new(graph.clone(), &options) else {
            return Ok(options);
        };
        for (direction, geometry) in computations(&plan) {
            let wanted = wanted.get(&(direction, geometry)).filter(|a| allowed(a));
            let tried_now =
                |trial: &Trial| (trial.direction, trial.geometry) == (direction, geometry);
            let measures = wanted.is_none()
                && match mode {
                    Tune::Off => false,
                    Tune::Cached => {
                        hardware
                            && known.get(direction, &geometry).is_none()
                            && start.elapsed() < BUDGET
                    }
                    Tune::Full => !trials.iter().any(tried_now),
                };
            if measures {
                let algorithms = candidates(*mode, *self.limits(), direction, &geometry, allowed);
                let clock = match &mut clock {
                    Some(clock) => clock,
                    none => none.insert(Clock::new(self)?),
                };
                let tried = trial::try_all(self, clock, direction, &geometry, &algorithms)?;
                if let Some(best) = Trial::fastest(&tried) {
                    known.set(direction, geometry, best.algorithm);
                }
                trials.extend(tried);
            }
            let measured = match mode {
                Tune::Off => None,
                _ => known.get(direction, &geometry).filter(allowed),
            };
            if let Some(algorithm) = wanted.copied().or(measured) {
                options.conv2d.set(direction, geometry, algorithm);
            }
            let serves = options.conv2d.of(direction, &geometry, *self.limits());
            chosen.insert((direction, geometry), serves);
        }
        // What was measured without some algorithms is not what is fastest of all.
        if !self.is_precise() {
            known.save();
        }
        Ok(options)
    }
}

/// What a file of kernels says, whatever adapter and shaders it is of: for the fuzz targets, which have no device.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn kernels_of(json: &[u8]) -> Vec<(Direction, Geometry, Conv2dAlgorithm)> {
    let choices = store::of_any(json).unwrap_or_default().into_iter();
    choices
        .map(|((direction, geometry), algorithm)| (direction, geometry, algorithm))
        .collect()
}

/// The algorithms worth a trial: all but the baseline, if there is time, else those that are likely to be fastest on a hardware GPU.
fn candidates(
    mode: Tune,
    limits: PlanLimits,
    direction: Direction,
    geometry: &Geometry,
    allowed: impl Fn(&Conv2dAlgorithm) -> bool,
) -> Vec<Conv2dAlgorithm> {
    let available = Conv2dAlgorithm::available(limits).into_iter();
    let worth = available.filter(|algorithm| {
        *algorithm != Conv2dAlgorithm::Naive && algorithm.serves(geometry) && allowed(algorithm)
    });
    match mode {
        Tune::Full => worth.collect(),
        _ if geometry.is_depthwise() => vec![Conv2dAlgorithm::Depthwise, Conv2dAlgorithm::Direct],
        _ => {
            let mut likely = by_cost(worth, direction, geometry);
            likely.truncate(LIKELY);
            likely
        }
    }
}

/// Each different computation of a convolution, the largest first.
fn computations(plan: &Plan) -> Vec<(Direction, Geometry)> {
    let mut all = plan.convolutions().to_vec();
    all.sort_by_key(|(_, geometry)| std::cmp::Reverse(geometry.flops()));
    all
}
