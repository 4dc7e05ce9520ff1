//! Which adapters a program sees: what the environment says.

use nin_wgpu::gpu::AdapterFilter;

/// What `WGPU_ADAPTER_NAME` and `WGPU_BACKEND` say, and wgpu's other variables.
pub(crate) fn adapters() -> AdapterFilter {
    let said = |variable| std::env::var(variable).ok();
    AdapterFilter {
        name: said("WGPU_ADAPTER_NAME").filter(|name| !name.is_empty()),
        backends: said("WGPU_BACKEND"),
        wgpu_variables: true,
    }
}
