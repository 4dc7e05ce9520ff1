//! What a plan may depend on besides its graph.

use std::fmt;

use super::{Conv2dAlgorithm, Conv2dChoices};

/// Limits of a device that a plan must respect. The default is WebGPU's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanLimits {
    /// Largest storage binding in bytes.
    pub max_binding: u64,
    /// Most workgroups along each side of a dispatch.
    pub max_workgroups: u32,
    /// Alignment of a binding's offset in bytes.
    pub offset_alignment: u64,
    /// Most invocations of a workgroup.
    pub max_invocations: u32,
    /// Workgroup memory in bytes.
    pub workgroup_memory: u32,
    /// Most storage buffers of a kernel.
    pub storage_buffers: u32,
    /// Fewest lanes of a subgroup; 0 where kernels must do without subgroup operations.
    pub subgroup: u32,
    /// Most operations of a dispatch, where a layer can be cut into several: a driver may take a GPU that is busy with one for two
    /// seconds for hung, and reset it (Windows does).
    pub dispatch_flops: u64,
}

impl fmt::Display for PlanLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            max_binding,
            max_workgroups,
            offset_alignment,
            max_invocations,
            workgroup_memory,
            storage_buffers,
            subgroup,
            dispatch_flops,
        } = self;
        write!(
            f,
            "{} MiB a binding at multiples of {offset_alignment} bytes, {storage_buffers} storage buffers a kernel, \
             {max_invocations} invocations and {} KiB a workgroup, {max_workgroups} workgroups a side",
            max_binding >> 20,
            workgroup_memory >> 10,
        )?;
        match subgroup {
            0 => f.write_str(", no subgroups")?,
            lanes => write!(f, ", subgroups of {lanes} lanes")?,
        }
        match *dispatch_flops {
            u64::MAX => Ok(()),
            most => write!(f, ", {:.0} GFLOP a dispatch", most as f64 / 1e9),
        }
    }
}

impl PlanLimits {
    /// WebGPU's default limits.
    pub const WEBGPU: Self = Self {
        max_binding: 128 << 20,
        max_workgroups: 65_535,
        offset_alignment: 256,
        max_invocations: 256,
        workgroup_memory: 16 << 10,
        storage_buffers: 8,
        subgroup: 0,
        dispatch_flops: Self::INTEGRATED_FLOPS,
    };

    /// Most operations of a dispatch on a GPU that shares its memory with the CPU, or of an unknown kind: the slowest do some 50
    /// billion a second by these kernels.
    pub const INTEGRATED_FLOPS: u64 = 32_000_000_000;
    /// The same of one with memory of its own, some 200 billion a second; a large one is not full with less.
    pub const DISCRETE_FLOPS: u64 = 128_000_000_000;
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self::WEBGPU
    }
}

/// Everything a plan depends on besides its graph.
#[derive(Clone, Debug, PartialEq)]
pub struct PlanOptions {
    /// Limits of the device.
    pub limits: PlanLimits,
    /// How convolutions are computed.
    pub conv2d: Conv2dChoices,
}

impl PlanOptions {
    /// Those of a usual software adapter, to plan for one without opening it: Mesa's, at the limits that are asked of it.
    pub const SOFTWARE: Self = Self {
        limits: PlanLimits {
            subgroup: Conv2dAlgorithm::SUBGROUP,
            dispatch_flops: u64::MAX,
            ..PlanLimits::WEBGPU
        },
        conv2d: Conv2dChoices::SOFTWARE,
    };
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            limits: PlanLimits::default(),
            conv2d: Conv2dChoices::HARDWARE,
        }
    }
}
