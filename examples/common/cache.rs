//! The user's cache folder, and what lies where in it.

#![allow(dead_code, reason = "each program uses the part that it needs")]

use std::path::PathBuf;

use nin_wgpu::device::Device;
use nin_wgpu::gpu::Gpu;

/// The user's cache folder, there or not.
pub(crate) fn folder() -> Option<PathBuf> {
    dirs::cache_dir()
}

/// The folder of downloads and decoded pictures, there or not; `None` if the user has no cache folder.
pub(crate) fn data() -> Option<PathBuf> {
    folder().map(|cache| cache.join("nin-wgpu"))
}

/// The folder of what was measured of adapters.
pub(crate) fn tune() -> Option<PathBuf> {
    folder().map(|cache| Gpu::tune_dir(&cache))
}

/// Has a device keep there what its driver compiled.
pub(crate) fn of_pipelines(device: &Device) {
    if let Some(folder) = folder() {
        device.set_pipeline_cache(folder);
    }
}
