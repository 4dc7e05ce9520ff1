//! Finding an adapter and opening its device.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::GpuError;
use super::pipeline::Pipelines;
use super::tune::Tuner;
use crate::plan::{Conv2dChoices, PlanLimits, PlanOptions};

/// What an adapter runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A GPU.
    Hardware,
    /// A driver that computes on CPU cores.
    Software,
}

/// An adapter, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdapterDescription {
    /// Name of the device.
    pub name: String,
    /// Name and version of the driver.
    pub driver: String,
    /// Graphics API.
    pub backend: String,
    /// Hardware or software.
    pub kind: AdapterKind,
}

impl AdapterDescription {
    fn new(info: &wgpu::AdapterInfo) -> Self {
        let name = if info.name.is_empty() {
            "unnamed adapter"
        } else {
            &info.name
        };
        Self {
            name: name.to_owned(),
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
            backend: info.backend.to_string(),
            kind: match info.device_type {
                wgpu::DeviceType::Cpu => AdapterKind::Software,
                _ => AdapterKind::Hardware,
            },
        }
    }
}

impl fmt::Display for AdapterDescription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.name, self.backend)?;
        if !self.driver.is_empty() {
            write!(f, ", {}", self.driver)?;
        }
        let software = if self.kind == AdapterKind::Software {
            ", software"
        } else {
            ""
        };
        write!(f, "{software})")
    }
}

/// Adapters of all backends, best first: discrete, integrated, other, software; native APIs before OpenGL.
///
/// `WGPU_BACKEND` limits the backends.
fn adapters() -> Vec<wgpu::Adapter> {
    let descriptor = wgpu::InstanceDescriptor::new_without_display_handle_from_env();
    let backends = descriptor.backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = pollster::block_on(instance.enumerate_adapters(backends));
    adapters.retain(|adapter| {
        adapter
            .get_downlevel_capabilities()
            .flags
            .contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            wgpu::DeviceType::Cpu => 3,
            _ => 2,
        };
        (kind, info.backend == wgpu::Backend::Gl)
    });
    adapters
}

/// A lost device or a failed command, kept until the next call can report it.
type Fault = Arc<Mutex<Option<GpuError>>>;

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
    description: AdapterDescription,
    limits: PlanLimits,
    fault: Fault,
    work: Arc<Mutex<Work>>,
    pub(super) tuner: Arc<Mutex<Tuner>>,
}

impl Gpu {
    /// All adapters, best first; `Gpu::open(n)` opens the n-th.
    pub fn list() -> Vec<AdapterDescription> {
        adapters()
            .iter()
            .map(|adapter| AdapterDescription::new(&adapter.get_info()))
            .collect()
    }

    /// Opens the best adapter that `wanted` accepts, at WebGPU's default limits. Of optional features it takes
    /// the device's clock, for profiles, and subgroup operations, if there are any.
    ///
    /// `wants` says in words what is wanted, for the error.
    ///
    /// # Errors
    /// [`GpuError::NoAdapter`] if there is none, [`GpuError::NoDevice`] if it does not open.
    pub fn open(
        wants: &str,
        wanted: impl Fn(usize, &AdapterDescription) -> bool,
    ) -> Result<Self, GpuError> {
        let adapters = adapters();
        let described: Vec<_> = adapters
            .iter()
            .map(|adapter| AdapterDescription::new(&adapter.get_info()))
            .collect();
        let found = adapters.into_iter().zip(&described).enumerate();
        let Some((_, (adapter, description))) = found
            .into_iter()
            .find(|(i, (_, description))| wanted(*i, description))
        else {
            let found = if described.is_empty() {
                "no adapter at all: install a Vulkan driver, or use `--device cpu`".to_owned()
            } else {
                let list: Vec<_> = described
                    .iter()
                    .enumerate()
                    .map(|(i, d)| format!("gpu:{i} = {d}"))
                    .collect();
                format!(
                    "{}; name one of these, or use `--device cpu`",
                    list.join("; ")
                )
            };
            return Err(GpuError::NoAdapter {
                wanted: wants.to_owned(),
                found,
            });
        };
        Self::from_adapter(&adapter, description.clone())
    }

    fn from_adapter(
        adapter: &wgpu::Adapter,
        description: AdapterDescription,
    ) -> Result<Self, GpuError> {
        let limits = wgpu::Limits::default();
        let descriptor = wgpu::DeviceDescriptor {
            label: Some("nin-wgpu"),
            required_features: adapter.features()
                & (wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP),
            required_limits: limits.clone(),
            ..Default::default()
        };
        let (device, queue) =
            pollster::block_on(adapter.request_device(&descriptor)).map_err(|error| {
                GpuError::NoDevice {
                    adapter: description.to_string(),
                    message: error.to_string(),
                }
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
            if reason != wgpu::DeviceLostReason::Destroyed {
                keep(&lost, GpuError::Lost(message));
            }
        });
        let plan_limits = PlanLimits {
            max_binding: limits
                .max_storage_buffer_binding_size
                .min(limits.max_buffer_size),
            max_workgroups: limits.max_compute_workgroups_per_dimension,
            offset_alignment: limits.min_storage_buffer_offset_alignment.into(),
            max_invocations: limits.max_compute_invocations_per_workgroup,
            workgroup_memory: limits.max_compute_workgroup_storage_size,
            subgroup: if device.features().contains(wgpu::Features::SUBGROUP) {
                adapter.get_info().subgroup_min_size
            } else {
                0
            },
        };
        let pipelines = Arc::default();
        Ok(Self {
            device,
            queue,
            pipelines,
            description,
            limits: plan_limits,
            fault,
            work: Arc::default(),
            tuner: Arc::default(),
        })
    }

    /// The adapter behind the device.
    pub fn description(&self) -> &AdapterDescription {
        &self.description
    }

    /// Options that suit the device: its limits and its kind's default kernels.
    pub fn plan_options(&self) -> PlanOptions {
        let conv2d = match self.description.kind {
            AdapterKind::Hardware => Conv2dChoices::HARDWARE,
            AdapterKind::Software => Conv2dChoices::SOFTWARE,
        };
        PlanOptions {
            limits: self.limits,
            conv2d,
        }
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

    /// Handles callbacks; with `wait`, until everything submitted is done.
    pub(super) fn poll(&self, wait: bool) -> Result<(), GpuError> {
        let kind = if wait {
            wgpu::PollType::wait_indefinitely()
        } else {
            wgpu::PollType::Poll
        };
        let polled = self.device.poll(kind);
        self.check()?;
        polled
            .map(drop)
            .map_err(|error| GpuError::Lost(error.to_string()))
    }
}
