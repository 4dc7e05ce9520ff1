//! The device under test and how much work suits it.

use super::adapters::adapters;
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::Gpu;
use nin_wgpu::peak::Peak;

/// The device that `NIN_BENCH_DEVICE` names.
///
/// # Panics
/// If it names none of this machine.
fn named() -> Option<Device> {
    let name = std::env::var("NIN_BENCH_DEVICE").ok()?;
    let choice = name
        .parse::<DeviceChoice>()
        .unwrap_or_else(|error| panic!("NIN_BENCH_DEVICE: {error}"));
    Some(
        Device::open_among(&adapters(), choice)
            .unwrap_or_else(|error| panic!("NIN_BENCH_DEVICE: {error}")),
    )
}

fn best() -> Option<Device> {
    Gpu::open(&adapters(), "adapter", |_, _| true)
        .map(Device::Gpu)
        .ok()
}

/// The named device, else the best adapter, software too, else the CPU.
pub fn device() -> Device {
    named().or_else(best).unwrap_or(Device::Cpu)
}

/// The named device alone, else the best adapter and the CPU.
pub fn devices() -> Vec<Device> {
    match named() {
        Some(device) => vec![device],
        None => best().into_iter().chain([Device::Cpu]).collect(),
    }
}

/// What kind of device it is, in a word.
pub fn key(device: &Device) -> &'static str {
    match device {
        Device::Cpu | Device::PreciseCpu => "cpu",
        Device::Gpu(_) if device.is_software() => "software",
        Device::Gpu(_) => "gpu",
    }
}

/// Whether a few small cases will do.
pub fn is_quick() -> bool {
    std::env::var("NIN_BENCH_QUICK").is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

/// What of a bench fits its time on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// A GPU.
    Hardware,
    /// CPU cores, without a driver.
    Cpu,
    /// A driver that computes on CPU cores: ten times slower.
    Software,
    /// Any device in quick mode.
    Quick,
}

impl Power {
    pub fn of(device: &Device) -> Self {
        match key(device) {
            _ if is_quick() => Self::Quick,
            "cpu" => Self::Cpu,
            "software" => Self::Software,
            _ => Self::Hardware,
        }
    }
}

/// What the device was measured to do at most.
pub fn peak(device: &Device) -> Peak {
    device.peak().expect("the device runs")
}
