//! What a plan may depend on besides its graph.

use super::Tile;

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
}

impl Default for PlanLimits {
    fn default() -> Self {
        Self {
            max_binding: 128 << 20,
            max_workgroups: 65_535,
            offset_alignment: 256,
            max_invocations: 256,
            workgroup_memory: 16 << 10,
        }
    }
}

/// How convolutions are computed on the GPU. Every algorithm yields the same result within the op's tolerance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conv2dAlgorithm {
    /// One invocation per output, no reuse: the baseline of the benches.
    Naive,
    /// One invocation per column and 16 rows, no barriers: for devices that run lanes on CPU cores.
    Direct,
    /// Implicit GEMM over tiles in workgroup memory: for hardware GPUs.
    ImplicitGemm(Tile),
}

impl Conv2dAlgorithm {
    /// Every algorithm and tile that can be chosen, for tests and benches.
    pub const ALL: [Self; 4] = [
        Self::Naive,
        Self::Direct,
        Self::ImplicitGemm(Tile {
            m: 64,
            n: 64,
            k: 16,
        }),
        Self::ImplicitGemm(Tile { m: 32, n: 32, k: 8 }),
    ];

    /// The default for a hardware GPU.
    pub const HARDWARE: Self = Self::ImplicitGemm(Tile {
        m: 64,
        n: 64,
        k: 16,
    });

    /// The default for a software adapter.
    pub const SOFTWARE: Self = Self::Direct;
}

/// Everything a plan depends on besides its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanOptions {
    /// Limits of the device.
    pub limits: PlanLimits,
    /// How convolutions are computed.
    pub conv2d: Conv2dAlgorithm,
}

impl Default for PlanOptions {
    fn default() -> Self {
        Self {
            limits: PlanLimits::default(),
            conv2d: Conv2dAlgorithm::HARDWARE,
        }
    }
}
