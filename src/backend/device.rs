//! Choosing where to run: a GPU, a software adapter, or the CPU reference.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::backend::peak::Peak;
use crate::backend::runtime::Runtime;
use crate::backend::wait::block_on;
use crate::gpu::{
    AdapterDescription, AdapterFilter, AdapterKind, Checks, Executor, Gpu, GpuError, Tune,
};
use crate::graph::Graph;
use crate::plan::{Plan, PlanError, PlanOptions};
use crate::reference::{self, CpuPlan, Reference};

/// Errors of naming a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// No such device.
    #[error("unknown device `{0}`; use auto, gpu, gpu:N (see --list-devices), software or cpu")]
    Unknown(String),
}

/// Errors of giving a graph memory on a device.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The graph does not fit the device's limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// What to run on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best hardware GPU, else the CPU; or the adapter that [`AdapterFilter::name`] names, even a software one.
    #[default]
    Auto,
    /// The best hardware GPU.
    Gpu,
    /// The n-th adapter of [`Gpu::list`].
    Adapter(usize),
    /// The first software adapter.
    Software,
    /// The CPU reference.
    Cpu,
}

impl FromStr for DeviceChoice {
    type Err = DeviceError;

    fn from_str(s: &str) -> Result<Self, DeviceError> {
        let unknown = || DeviceError::Unknown(s.to_owned());
        Ok(match s {
            "auto" => Self::Auto,
            "gpu" => Self::Gpu,
            "software" => Self::Software,
            "cpu" => Self::Cpu,
            _ => {
                let index = s.strip_prefix("gpu:").ok_or_else(unknown)?;
                Self::Adapter(index.parse().map_err(|_| unknown())?)
            }
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Gpu => f.write_str("gpu"),
            Self::Adapter(n) => write!(f, "gpu:{n}"),
            Self::Software => f.write_str("software"),
            Self::Cpu => f.write_str("cpu"),
        }
    }
}

/// An open device.
#[derive(Clone, Debug)]
pub enum Device {
    /// All CPU cores.
    Cpu,
    /// The same by precise convolutions; see [`Device::precise`].
    PreciseCpu,
    /// An adapter.
    Gpu(Gpu),
}

impl Device {
    /// Opens a device, any of this machine's.
    ///
    /// # Errors
    /// [`GpuError`] if an adapter was asked for and there is none, or it does not open.
    pub fn open(choice: DeviceChoice) -> Result<Self, GpuError> {
        Self::open_among(&AdapterFilter::default(), choice)
    }

    /// The same among the adapters that `filter` lets through.
    ///
    /// # Errors
    /// As [`Device::open`], and if there are adapters, but none of the filter's name.
    pub fn open_among(filter: &AdapterFilter, choice: DeviceChoice) -> Result<Self, GpuError> {
        block_on(Self::open_among_async(filter, choice))
    }

    /// [`Device::open_among`] to be awaited.
    ///
    /// # Errors
    /// As [`Device::open_among`].
    pub async fn open_among_async(
        filter: &AdapterFilter,
        choice: DeviceChoice,
    ) -> Result<Self, GpuError> {
        let told = |error| tracing::warn!(%error, "not used; the next device is tried");
        Self::open_telling_async(filter, choice, told).await
    }

    /// [`Device::open_among`] that tells of every adapter that [`DeviceChoice::Auto`] wanted and that did not open, so that a program
    /// can show why it runs on another, or on the CPU.
    ///
    /// # Errors
    /// As [`Device::open_among`].
    pub fn open_telling(
        filter: &AdapterFilter,
        choice: DeviceChoice,
        told: impl FnMut(GpuError),
    ) -> Result<Self, GpuError> {
        block_on(Self::open_telling_async(filter, choice, told))
    }

    async fn open_telling_async(
        filter: &AdapterFilter,
        choice: DeviceChoice,
        told: impl FnMut(GpuError),
    ) -> Result<Self, GpuError> {
        let open = async |wants: &str, wanted: &dyn Fn(usize, &AdapterDescription) -> bool| {
            Gpu::open_async(filter, wants, wanted).await.map(Self::Gpu)
        };
        let hardware = |_, d: &AdapterDescription| d.kind == AdapterKind::Hardware;
        match choice {
            DeviceChoice::Cpu => Ok(Self::Cpu),
            DeviceChoice::Auto => {
                let named = filter.name.is_some();
                let wanted = |i, d: &AdapterDescription| named || hardware(i, d);
                let (opened, failed) = Gpu::open_any(filter, "hardware GPU", wanted).await;
                failed.into_iter().for_each(told);
                match opened {
                    Err(error @ GpuError::Name { .. }) => Err(error),
                    opened => Ok(opened.map_or(Self::Cpu, Self::Gpu)),
                }
            }
            DeviceChoice::Gpu => open("hardware GPU", &hardware).await,
            DeviceChoice::Adapter(n) => open(&format!("adapter gpu:{n}"), &|i, _| i == n).await,
            DeviceChoice::Software => {
                let software = |_, d: &AdapterDescription| d.kind == AdapterKind::Software;
                open("software adapter", &software).await
            }
        }
    }

    /// The same device with convolutions by sums of all terms as they are. Else 3x3 and 5x5 take Winograd's method
    /// where it is faster, which rounds a few times more, well within the tolerance of every op.
    /// On a GPU this holds for all clones of the device.
    #[must_use]
    pub fn precise(self) -> Self {
        match self {
            Self::Cpu | Self::PreciseCpu => Self::PreciseCpu,
            Self::Gpu(gpu) => {
                gpu.set_precise(true);
                Self::Gpu(gpu)
            }
        }
    }

    /// Sets whether a GPU measures which kernels suit it best when a graph is loaded; see [`Gpu::set_tune`].
    pub fn set_tune(&self, mode: Tune) {
        if let Self::Gpu(gpu) = self {
            gpu.set_tune(mode);
        }
    }

    /// Sets the folder in which a GPU keeps what it measured; see [`Gpu::set_tune_cache`].
    pub fn set_tune_cache(&self, folder: impl Into<PathBuf>) {
        if let Self::Gpu(gpu) = self {
            gpu.set_tune_cache(folder);
        }
    }

    /// Sets the folder in which a GPU keeps what its driver compiled; see [`Gpu::set_pipeline_cache`].
    pub fn set_pipeline_cache(&self, folder: impl Into<PathBuf>) {
        if let Self::Gpu(gpu) = self {
            gpu.set_pipeline_cache(folder);
        }
    }

    /// Sets which run-time checks a GPU's kernels have; see [`Gpu::set_checks`].
    pub fn set_checks(&self, checks: Checks) {
        if let Self::Gpu(gpu) = self {
            gpu.set_checks(checks);
        }
    }

    /// Whether a graph keeps within this device's limits, by the kernels usual for it.
    ///
    /// # Errors
    /// [`PlanError`] if it does not.
    pub fn check(&self, graph: &Graph) -> Result<(), PlanError> {
        match self {
            Self::Cpu | Self::PreciseCpu => Ok(()),
            Self::Gpu(gpu) => Plan::new(graph.clone(), &gpu.plan_options()).map(drop),
        }
    }

    /// Bytes of the machine's memory that a graph takes; `None` for a GPU with memory of its own, and for what it cannot run.
    pub fn host_bytes(&self, graph: &Graph) -> Option<u64> {
        match self {
            Self::Cpu => Some(CpuPlan::new(graph, false).bytes()),
            Self::PreciseCpu => Some(CpuPlan::new(graph, true).bytes()),
            Self::Gpu(gpu) if self.is_software() => {
                let plan = Plan::new(graph.clone(), &gpu.plan_options()).ok()?;
                Some(plan.bytes())
            }
            Self::Gpu(_) => None,
        }
    }

    /// Gives a graph memory on this device, ready to run.
    ///
    /// # Errors
    /// [`LoadError::Plan`] if it exceeds the device's limits, [`LoadError::Gpu`] if the device fails.
    pub fn load(&self, graph: Graph) -> Result<Box<dyn Runtime>, LoadError> {
        block_on(self.load_async(graph))
    }

    /// [`Device::load`] to be awaited.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub async fn load_async(&self, graph: Graph) -> Result<Box<dyn Runtime>, LoadError> {
        self.load_by(graph, Gpu::tuned_options).await
    }

    /// [`Device::load_async`] by the kernels usual for the device's kind, with nothing measured or noted.
    pub(crate) async fn load_usual_async(
        &self,
        graph: Graph,
    ) -> Result<Box<dyn Runtime>, LoadError> {
        self.load_by(graph, |gpu, _| Ok(gpu.plan_options())).await
    }

    async fn load_by(
        &self,
        graph: Graph,
        options: impl Fn(&Gpu, &Graph) -> Result<PlanOptions, GpuError>,
    ) -> Result<Box<dyn Runtime>, LoadError> {
        Ok(match self {
            Self::Cpu => Box::new(Reference::<f32>::new(graph)),
            Self::PreciseCpu => Box::new(Reference::<f32>::new(graph).precise()),
            Self::Gpu(gpu) => {
                let options = options(gpu, &graph)?;
                let plan = Plan::new(graph, &options)?;
                Box::new(Executor::new_async(gpu, plan).await?)
            }
        })
    }

    /// Measures what the device computes and copies at most, in a second or so. Other work on it lowers the figures.
    ///
    /// # Errors
    /// [`GpuError`] if the device fails.
    pub fn peak(&self) -> Result<Peak, GpuError> {
        Ok(match self {
            Self::Cpu | Self::PreciseCpu => reference::peak(),
            Self::Gpu(gpu) => gpu.peak()?,
        })
    }

    /// Whether work runs on CPU cores, by a software adapter or by the reference.
    pub fn is_software(&self) -> bool {
        match self {
            Self::Cpu | Self::PreciseCpu => true,
            Self::Gpu(gpu) => gpu.description().kind == AdapterKind::Software,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu | Self::PreciseCpu => {
                let cores = rayon::current_num_threads();
                write!(
                    f,
                    "CPU, {cores} thread{}{}",
                    if cores == 1 { "" } else { "s" },
                    if matches!(self, Self::PreciseCpu) {
                        ", precise"
                    } else {
                        ""
                    }
                )
            }
            Self::Gpu(gpu) => write!(f, "{}", gpu.description()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_round_trip() {
        for name in ["auto", "gpu", "gpu:3", "software", "cpu"] {
            assert_eq!(
                name.parse::<DeviceChoice>().map(|d| d.to_string()),
                Ok(name.to_owned())
            );
        }
        for name in ["", "gpu:", "gpu:x", "cuda"] {
            assert_eq!(
                name.parse::<DeviceChoice>(),
                Err(DeviceError::Unknown(name.into()))
            );
        }
    }
}
