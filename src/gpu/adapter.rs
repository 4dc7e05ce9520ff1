//! Finding adapters: which there are, what they can do, and which come first.

use std::fmt;

use super::GpuError;
use crate::plan::PlanLimits;

/// What an adapter runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A GPU.
    Hardware,
    /// A driver that computes on CPU cores.
    Software,
}

/// Which adapters are seen: all of them, unless told otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterFilter {
    /// Part of the names, in large or small letters, of the adapters that are seen.
    pub name: Option<String>,
    /// The backends that are searched, with commas between: `vulkan`, `dx12`, `metal`, `gl`.
    pub backends: Option<String>,
    /// Whether wgpu takes its other settings, such as layers that validate, from its own variables of the environment.
    pub wgpu_variables: bool,
}

impl AdapterFilter {
    fn instance(&self) -> wgpu::InstanceDescriptor {
        let plain = wgpu::InstanceDescriptor::new_without_display_handle();
        let backends = self.backends.as_deref();
        let backends = backends.map_or(plain.backends, wgpu::Backends::from_comma_list);
        let settings = match self.wgpu_variables {
            true => plain.with_env(),
            false => plain,
        };
        wgpu::InstanceDescriptor {
            backends,
            ..settings
        }
    }
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
    /// The most that it offers. A device is opened at WebGPU's default limits, or at these where they are lower, but with
    /// buffers as large as it has them.
    pub limits: PlanLimits,
    /// What it offers of the optional features that concern kernels, by WebGPU's names.
    pub features: Vec<&'static str>,
}

/// The optional features that concern kernels. The clock and the subgroups are used, where there are any.
const FEATURES: [(wgpu::Features, &str); 3] = [
    (wgpu::Features::TIMESTAMP_QUERY, "timestamp-query"),
    (wgpu::Features::SHADER_F16, "shader-f16"),
    (wgpu::Features::SUBGROUP, "subgroups"),
];

/// What drivers that compute on CPU cores call themselves or their device, whatever type they say that it has: Mesa's, Google's,
/// Microsoft's (behind WSL's D3D12 and as WARP), Apple's and those of wrappers around them.
const SOFTWARE: [&str; 9] = [
    "llvmpipe",
    "lavapipe",
    "softpipe",
    "swrast",
    "software rasterizer",
    "swiftshader",
    "microsoft basic render",
    "apple software renderer",
    "(warp)",
];

/// What an adapter runs on: by its type, and by the names of adapter, driver and the driver's version, since some call themselves integrated, virtual or
/// other GPUs.
fn kind_of(device_type: wgpu::DeviceType, names: [&str; 3]) -> AdapterKind {
    let names = names.map(str::to_lowercase);
    let is_named = |known: &&str| names.iter().any(|name| name.contains(*known));
    if device_type == wgpu::DeviceType::Cpu || SOFTWARE.iter().any(is_named) {
        return AdapterKind::Software;
    }
    AdapterKind::Hardware
}

fn kind_of_info(info: &wgpu::AdapterInfo) -> AdapterKind {
    kind_of(
        info.device_type,
        [&info.name, &info.driver, &info.driver_info],
    )
}

impl AdapterDescription {
    fn new(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        let name = if info.name.is_empty() {
            "unnamed adapter"
        } else {
            &info.name
        };
        let features = adapter.features();
        let offered = FEATURES
            .iter()
            .filter(|(feature, _)| features.contains(*feature));
        Self {
            name: name.to_owned(),
            driver: format!("{} {}", info.driver, info.driver_info)
                .trim()
                .to_owned(),
            backend: info.backend.to_string(),
            kind: kind_of_info(&info),
            limits: plan_limits(
                &adapter.limits(),
                subgroup(adapter),
                dispatch_flops(adapter),
            ),
            features: offered.map(|(_, name)| *name).collect(),
        }
    }

    /// Whether part of the adapter's name is `name`, in large or small letters.
    fn is_named(&self, name: &str) -> bool {
        self.name.to_lowercase().contains(&name.to_lowercase())
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

/// Fewest lanes of a subgroup; 0 without subgroup operations.
pub(super) fn subgroup(adapter: &wgpu::Adapter) -> u32 {
    if adapter.features().contains(wgpu::Features::SUBGROUP) {
        adapter.get_info().subgroup_min_size
    } else {
        0
    }
}

/// Most operations of a dispatch.
pub(super) fn dispatch_flops(adapter: &wgpu::Adapter) -> u64 {
    let info = adapter.get_info();
    dispatch_flops_of(kind_of_info(&info), info.device_type)
}

fn dispatch_flops_of(kind: AdapterKind, device_type: wgpu::DeviceType) -> u64 {
    match (kind, device_type) {
        // Nothing resets one for being slow.
        (AdapterKind::Software, _) => u64::MAX,
        (_, wgpu::DeviceType::DiscreteGpu) => PlanLimits::DISCRETE_FLOPS,
        _ => PlanLimits::INTEGRATED_FLOPS,
    }
}

/// What plans must know of a device's limits.
pub(super) fn plan_limits(limits: &wgpu::Limits, subgroup: u32, dispatch_flops: u64) -> PlanLimits {
    PlanLimits {
        max_binding: limits
            .max_storage_buffer_binding_size
            .min(limits.max_buffer_size),
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        offset_alignment: limits.min_storage_buffer_offset_alignment.into(),
        max_invocations: limits.max_compute_invocations_per_workgroup,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
        subgroup,
        dispatch_flops,
    }
}

/// Most bytes of a buffer that a device is asked for: signed offsets of 32 bits reach no further.
const MOST_BYTES: u64 = 1 << 31;

/// The limits to open a device at: WebGPU's default ones, but no more than the adapter offers. With `roomy`, buffers and
/// their bindings may be as large as the adapter has them, up to [`MOST_BYTES`]: kernels need no more than the defaults, but
/// large batches and data sets do.
pub(super) fn device_limits(offered: &wgpu::Limits, roomy: bool) -> wgpu::Limits {
    let limits = wgpu::Limits::default().or_worse_values_from(offered);
    if !roomy {
        return limits;
    }
    wgpu::Limits {
        max_buffer_size: offered.max_buffer_size.min(MOST_BYTES),
        max_storage_buffer_binding_size: offered.max_storage_buffer_binding_size.min(MOST_BYTES),
        ..limits
    }
}

/// Adapters that the filter lets through, best first: discrete, integrated, other, software; native APIs before OpenGL.
///
/// # Errors
/// [`GpuError::Name`] if there are adapters, but none of that name.
pub(super) async fn adapters(
    filter: &AdapterFilter,
) -> Result<Vec<(wgpu::Adapter, AdapterDescription)>, GpuError> {
    let descriptor = filter.instance();
    let backends = descriptor.backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut adapters = instance.enumerate_adapters(backends).await;
    adapters.retain(|adapter| {
        adapter
            .get_downlevel_capabilities()
            .flags
            .contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
    });
    adapters.sort_by_key(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            _ if kind_of_info(&info) == AdapterKind::Software => 3,
            wgpu::DeviceType::DiscreteGpu => 0,
            wgpu::DeviceType::IntegratedGpu => 1,
            _ => 2,
        };
        (kind, info.backend == wgpu::Backend::Gl)
    });
    let all = adapters.into_iter().map(|adapter| {
        let description = AdapterDescription::new(&adapter);
        (adapter, description)
    });
    let Some(name) = filter.name.clone() else {
        return Ok(all.collect());
    };
    let (named, others): (Vec<_>, Vec<_>) =
        all.partition(|(_, description)| description.is_named(&name));
    if named.is_empty() && !others.is_empty() {
        let found = list(others.iter().map(|(_, description)| description));
        return Err(GpuError::Name { name, found });
    }
    Ok(named)
}

/// That there is no such adapter, what there is, and the mend.
pub(super) fn no_adapter(
    filter: &AdapterFilter,
    wanted: &str,
    described: &[&AdapterDescription],
) -> GpuError {
    let found = if !described.is_empty() {
        let list = list(described.iter().copied());
        format!("{list}; name one of these, or use `--device cpu`")
    } else if let Some(backends) = &filter.backends {
        format!(
            "no adapter at all within WGPU_BACKEND={backends}: unset that, install a driver, or use `--device cpu`"
        )
    } else {
        "no adapter at all: install a Vulkan driver, or use `--device cpu`".to_owned()
    };
    GpuError::NoAdapter {
        wanted: wanted.to_owned(),
        found,
    }
}

fn list<'a>(described: impl Iterator<Item = &'a AdapterDescription>) -> String {
    let each = described
        .enumerate()
        .map(|(i, description)| format!("gpu:{i} = {description}"));
    each.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adapter_that_computes_on_cpu_cores_is_software_whatever_it_calls_itself() {
        use wgpu::DeviceType::{Cpu, DiscreteGpu, IntegratedGpu, Other, VirtualGpu};
        let software = [
            (
                "llvmpipe (LLVM 19.1.7, 256 bits)",
                "llvmpipe",
                "Mesa 25.0.7",
                Cpu,
            ),
            (
                "llvmpipe (LLVM 15.0.7, 256 bits)",
                "",
                "4.5 (Core Profile) Mesa 23.2.1",
                Other,
            ),
            ("softpipe", "", "3.3 (Core Profile) Mesa 24.0.5", Other),
            (
                "SwiftShader Device (Subzero)",
                "SwiftShader driver",
                "",
                IntegratedGpu,
            ),
            ("Google SwiftShader", "", "", VirtualGpu),
            (
                "Microsoft Basic Render Driver",
                "10.0.22621.1",
                "",
                IntegratedGpu,
            ),
            (
                "D3D12 (Microsoft Basic Render Driver)",
                "",
                "4.2 Mesa 23.2.1",
                Other,
            ),
            (
                "Microsoft Direct3D12 (Microsoft Basic Render Driver)",
                "Dozen",
                "Mesa 24.1",
                DiscreteGpu,
            ),
            (
                "ANGLE (Google, Vulkan 1.3.0 (SwiftShader Device (LLVM 10.0.0)), SwiftShader driver)",
                "",
                "",
                Other,
            ),
            ("Apple Software Renderer", "", "", Other),
            ("Software Rasterizer", "", "", Other),
            ("a virtual device", "lavapipe", "", VirtualGpu),
            ("some processor", "some driver", "1.0", Cpu),
        ];
        let hardware = [
            ("NVIDIA H100 80GB HBM3", "NVIDIA", "570.86", DiscreteGpu),
            (
                "AMD Radeon RX 7900 XTX (RADV NAVI31)",
                "radv",
                "Mesa 25.0.7 (LLVM 19.1.7)",
                DiscreteGpu,
            ),
            (
                "Intel(R) Iris(R) Xe Graphics (TGL GT2)",
                "Intel open-source Mesa driver",
                "Mesa 24.2",
                IntegratedGpu,
            ),
            (
                "Microsoft Direct3D12 (NVIDIA GeForce RTX 3060)",
                "Dozen",
                "Mesa 24.1",
                DiscreteGpu,
            ),
            (
                "D3D12 (Intel(R) UHD Graphics)",
                "",
                "4.2 Mesa 23.2.1",
                Other,
            ),
            ("Apple M2", "", "", IntegratedGpu),
            (
                "Virtio-GPU Venus (Apple M1)",
                "venus",
                "Mesa 24",
                VirtualGpu,
            ),
        ];
        for (kind, adapters) in [
            (AdapterKind::Software, &software[..]),
            (AdapterKind::Hardware, &hardware),
        ] {
            for &(name, driver, driver_info, device_type) in adapters {
                let found = kind_of(device_type, [name, driver, driver_info]);
                assert_eq!(found, kind, "{name}, {driver}");
                let most = match (kind, device_type) {
                    (AdapterKind::Software, _) => u64::MAX,
                    (AdapterKind::Hardware, DiscreteGpu) => 128_000_000_000,
                    (AdapterKind::Hardware, _) => 32_000_000_000,
                };
                assert_eq!(dispatch_flops_of(kind, device_type), most, "{name}");
            }
        }
    }

    #[test]
    fn a_device_is_opened_at_the_default_limits_or_at_lower_ones_if_the_adapter_has_no_more() {
        let default = wgpu::Limits::default();
        let large = wgpu::Limits {
            max_compute_workgroup_storage_size: 1 << 20,
            min_storage_buffer_offset_alignment: 16,
            ..default.clone()
        };
        assert_eq!(device_limits(&large, false), default);
        let small = wgpu::Limits::downlevel_defaults();
        let limits = device_limits(&small, true);
        assert!(limits.check_limits(&small), "{limits:?}");
        let plan = plan_limits(&limits, 0, 5);
        assert_eq!(
            (
                plan.storage_buffers,
                plan.workgroup_memory,
                plan.dispatch_flops
            ),
            (4, 16_352, 5)
        );
        let most = PlanLimits::INTEGRATED_FLOPS;
        assert_eq!(plan_limits(&default, 0, most), PlanLimits::default());

        let roomy = wgpu::Limits {
            max_buffer_size: 1 << 40,
            max_storage_buffer_binding_size: 1 << 30,
            ..large
        };
        let plan = plan_limits(&device_limits(&roomy, true), 0, most);
        assert_eq!(plan.max_binding, 1 << 30);
        let most = device_limits(&roomy, true).max_buffer_size;
        assert_eq!((most, device_limits(&roomy, false)), (MOST_BYTES, default));
    }
}
