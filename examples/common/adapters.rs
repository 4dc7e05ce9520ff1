//! Which adapters a program sees: what the environment says.

use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::{AdapterFilter, GpuError};

/// What `WGPU_ADAPTER_NAME` and `WGPU_BACKEND` say, and wgpu's other variables.
pub(crate) fn adapters() -> AdapterFilter {
    let said = |variable| std::env::var(variable).ok();
    AdapterFilter {
        name: said("WGPU_ADAPTER_NAME").filter(|name| !name.is_empty()),
        backends: said("WGPU_BACKEND"),
        wgpu_variables: true,
    }
}

/// Opens a device among them. An adapter that does not open is named on stderr where another device takes its place.
#[allow(
    dead_code,
    reason = "`doctor` and `shaders` report on each adapter by itself"
)]
pub(crate) fn open(choice: DeviceChoice) -> Result<Device, GpuError> {
    Device::open_telling(&adapters(), choice, |error| {
        eprintln!("warning: {error}; the next device is tried");
    })
}
