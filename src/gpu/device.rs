//! An open device: what runs on it, what it was asked to do, and what became of it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::GpuError;
use super::adapter::{
    AdapterDescription, AdapterFilter, AdapterKind, adapters, device_limits, dispatch_flops,
    no_adapter, plan_limits, subgroup,
};
use super::pace::LONGEST;
use super::pipeline::Pipelines;
use super::pipeline_cache::PipelineCache;
use super::tune::Tuner;
use crate::backend::wait::block_on;
use crate::plan::{Conv2dChoices, PlanLimits, PlanOptions};

/// A lost device or a failed command, kept until the next call can report it.
type Fault = Arc<Mutex<Option<GpuError>>>;

/// What wgpu says of a device that it gave up because the driver had no memory for something small.
const OUT_OF_MEMORY: &str = "Out of memory";

/// Work given to a device since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Compute passes encoded.
    pub passes: u64,
    /// Command buffers submitted.
    pub submits: u64,
}

/// Objects that a device holds now. All zero unless wgpu is built with its feature `counters`, as the tests do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Objects {
    /// Buffers.
    pub buffers: isize,
    /// Bind groups.
    pub bind_groups: isize,
    /// Compute pipelines.
    pub pipelines: isize,
}

/// An open device.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: Arc<Mutex<Pipelines>>,
    pub(super) driver_cache: Arc<Mutex<Option<PipelineCache>>>,
    description: Arc<AdapterDescription>,
    limits: PlanLimits,
    fault: Fault,
    work: Arc<Mutex<Work>>,
    pub(super) tuner: Arc<Mutex<Tuner>>,
    precise: Arc<AtomicBool>,
    longest_submission: Arc<Mutex<Duration>>,
}

impl Gpu {
    /// The adapters that `filter` lets through, best first.
    ///
    /// # Errors
    /// [`GpuError::Name`] if there are adapters, but none of that name.
    pub fn list(filter: &AdapterFilter) -> Result<Vec<AdapterDescription>, GpuError> {
        block_on(async {
            let adapters = adapters(filter).await?.into_iter();
            Ok(adapters.map(|(_, description)| description).collect())
        })
    }

    /// Opens the best adapter of [`Gpu::list`] that `wanted` accepts, at WebGPU's default limits or the adapter's own if
    /// those are lower, but with buffers as large as the adapter has them, up to 2 GiB. Of optional features it takes the device's
    /// clock, for profiles, subgroup operations and the driver's cache of pipelines, if there are any.
    ///
    /// `wants` says in words what is wanted, for the error.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] or [`GpuError::Name`] if there is none, [`GpuError::NoDevice`] if it does not open.
    pub fn open(
        filter: &AdapterFilter,
        wants: &str,
        wanted: impl Fn(usize, &AdapterDescription) -> bool,
    ) -> Result<Self, GpuError> {
        block_on(Self::open_async(filter, wants, wanted))
    }

    /// [`Gpu::open`] to be awaited.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub async fn open_async(
        filter: &AdapterFilter,
        wants: &str,
        wanted: impl Fn(usize, &AdapterDescription) -> bool,
    ) -> Result<Self, GpuError> {
        Self::open_at(filter, wants, wanted, true).await
    }

    /// The same, with buffers no larger than WebGPU's default limits let them be: what every browser has.
    ///
    /// # Errors
    /// As [`Gpu::open`].
    pub fn open_at_default_limits(
        filter: &AdapterFilter,
        wants: &str,
        wanted: impl Fn(usize, &AdapterDescription) -> bool,
    ) -> Result<Self, GpuError> {
        block_on(Self::open_at(filter, wants, wanted, false))
    }

    async fn open_at(
        filter: &AdapterFilter,
        wants: &str,
        wanted: impl Fn(usize, &AdapterDescription) -> bool,
        roomy: bool,
    ) -> Result<Self, GpuError> {
        let (opened, _) = Self::open_first(filter, wants, wanted, [roomy, false]).await;
        opened
    }

    /// Opens the first adapter that `wanted` accepts; with `on`, the next one where that does not open. With what was tried in
    /// vain.
    async fn open_first(
        filter: &AdapterFilter,
        wants: &str,
        wanted: impl Fn(usize, &AdapterDescription) -> bool,
        [roomy, on]: [bool; 2],
    ) -> (Result<Self, GpuError>, Vec<GpuError>) {
        let adapters = match adapters(filter).await {
            Ok(adapters) => adapters,
            Err(error) => return (Err(error), Vec::new()),
        };
        let mut failed = Vec::new();
        for (i, (adapter, description)) in adapters.iter().enumerate() {
            if !wanted(i, description) {
                continue;
            }
            match Self::from_adapter(adapter, description.clone(), roomy).await {
                Err(error) if on => failed.push(error),
                opened => return (opened, failed),
            }
        }
        let described: Vec<_> = adapters.iter().map(|(_, each)| each).collect();
        (Err(no_adapter(filter, wants, &described)), failed)
    }

    /// Opens the first of the adapters that opens, and says which did not, and why.
    pub(crate) async fn open_any(
        filter: &AdapterFilter,
        wants: &str,
        wanted: impl Fn(usize, &AdapterDescription) -> bool,
    ) -> (Result<Self, GpuError>, Vec<GpuError>) {
        Self::open_first(filter, wants, wanted, [true, true]).await
    }

    async fn from_adapter(
        adapter: &wgpu::Adapter,
        description: AdapterDescription,
        roomy: bool,
    ) -> Result<Self, GpuError> {
        let mut limits = device_limits(&adapter.limits(), roomy);
        let plan_limits = plan_limits(&limits, subgroup(adapter), dispatch_flops(adapter));
        // One more for the counter of kernels that are watched.
        limits.max_storage_buffers_per_shader_stage = adapter
            .limits()
            .max_storage_buffers_per_shader_stage
            .min(limits.max_storage_buffers_per_shader_stage + 1);
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("nin-wgpu"),
            required_features: adapter.features()
                & (wgpu::Features::TIMESTAMP_QUERY
                    | wgpu::Features::SUBGROUP
                    | wgpu::Features::PIPELINE_CACHE),
            required_limits: limits,
            ..Default::default()
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|error| GpuError::NoDevice {
            adapter: description.to_string(),
            message: error.to_string(),
        })?;
        let fault: Fault = Arc::default();
        let keep = |fault: &Fault, error: GpuError| {
            // The first fault is the cause; later ones follow from it.
            fault
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(error);
        };
        let uncaptured = fault.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let error = match error {
                wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory("running".into()),
                other => GpuError::Refused(other.to_string()),
            };
            keep(&uncaptured, error);
        }));
        let lost = fault.clone();
        device.set_device_lost_callback(move |reason, message| {
            // A program's own device is destroyed when it is dropped; a browser's never is by this crate.
            if message == OUT_OF_MEMORY {
                keep(&lost, GpuError::OutOfMemory("running".into()));
            } else if reason != wgpu::DeviceLostReason::Destroyed || cfg!(target_family = "wasm") {
                keep(&lost, GpuError::Lost(message));
            }
        });
        Ok(Self {
            device,
            queue,
            pipelines: Arc::default(),
            driver_cache: Arc::default(),
            description: Arc::new(description),
            limits: plan_limits,
            fault,
            work: Arc::default(),
            tuner: Arc::default(),
            precise: Arc::default(),
            longest_submission: Arc::new(Mutex::new(LONGEST)),
        })
    }

    /// The adapter behind the device.
    pub fn description(&self) -> &AdapterDescription {
        &self.description
    }

    /// Options that suit the device: its limits and its kind's default kernels.
    pub fn plan_options(&self) -> PlanOptions {
        let conv2d = match self.description.kind {
            AdapterKind::Hardware => Conv2dChoices::of_hardware(&self.limits),
            AdapterKind::Software => Conv2dChoices::SOFTWARE,
        };
        PlanOptions {
            limits: self.limits,
            conv2d: if self.is_precise() {
                conv2d.precise()
            } else {
                conv2d
            },
        }
    }

    /// Sets whether convolutions are computed by sums alone, without Winograd's algorithm: it multiplies less, and rounds 2 to 6
    /// times as much, of which the tolerance of the op allows far more.
    pub fn set_precise(&self, precise: bool) {
        self.precise.store(precise, Ordering::Relaxed);
    }

    /// Has runs that take longer than this cut into several submissions, between their dispatches, by what runs took before: half a
    /// second unless told. A driver may reset a GPU that is busy with one submission for longer than its time-out (Windows: two
    /// seconds), and all that is on it is lost.
    pub fn set_longest_submission(&self, longest: Duration) {
        let held = self.longest_submission.lock();
        *held.unwrap_or_else(PoisonError::into_inner) = longest;
    }

    pub(super) fn longest_submission(&self) -> Duration {
        let held = self.longest_submission.lock();
        *held.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_precise(&self) -> bool {
        self.precise.load(Ordering::Relaxed)
    }

    /// Work given to the device so far, by all its executors.
    pub fn work(&self) -> Work {
        *self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Objects that the device holds now.
    pub fn objects(&self) -> Objects {
        let hal = self.device.get_internal_counters().hal;
        Objects {
            buffers: hal.buffers.read(),
            bind_groups: hal.bind_groups.read(),
            pipelines: hal.compute_pipelines.read(),
        }
    }

    /// Opens a compute pass, and counts it; a profile has the device's clock read around it.
    pub(super) fn begin_pass<'e>(
        &self,
        encoder: &'e mut wgpu::CommandEncoder,
        timestamp_writes: Option<wgpu::ComputePassTimestampWrites<'_>>,
    ) -> wgpu::ComputePass<'e> {
        self.work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .passes += 1;
        encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
            label: None,
            timestamp_writes,
        })
    }

    /// Submits commands, and counts them.
    pub(super) fn submit(&self, encoder: wgpu::CommandEncoder) {
        self.work
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .submits += 1;
        self.queue.submit([encoder.finish()]);
    }

    /// Destroys the device, as a driver does that is reset: whatever is asked of it from now on ends in [`GpuError::Lost`]. For tests.
    pub fn destroy(&self) {
        self.fault
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(GpuError::Lost("it was destroyed".into()));
        self.device.destroy();
    }

    pub(super) fn limits(&self) -> &PlanLimits {
        &self.limits
    }

    /// Reports a fault that the device noticed since it was opened.
    pub(super) fn check(&self) -> Result<(), GpuError> {
        match &*self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// Waits until everything submitted is done.
    pub(super) fn wait(&self) -> Result<(), GpuError> {
        if cfg!(target_family = "wasm") {
            return Err(GpuError::CannotWait);
        }
        self.poll(true)
    }

    /// Handles callbacks; with `wait`, until everything submitted is done. A browser handles them by itself, and does neither
    /// here.
    pub(super) fn poll(&self, wait: bool) -> Result<(), GpuError> {
        let kind = if wait {
            wgpu::PollType::wait_indefinitely()
        } else {
            wgpu::PollType::Poll
        };
        self.check()?;
        // wgpu has no error for a loss that it finds here, but panics.
        let polled = catch_unwind(AssertUnwindSafe(|| self.device.poll(kind)));
        self.check()?;
        polled
            .unwrap_or_else(|panic| resume_unwind(panic))
            .map(drop)
            .map_err(|error| GpuError::Lost(error.to_string()))
    }
}
