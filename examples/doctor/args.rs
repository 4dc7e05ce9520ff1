//! The command line of `doctor`.

use std::path::PathBuf;

use clap::Parser;
use nin_wgpu::device::DeviceChoice;

/// Say what this machine can do, and whether it computes right: run this first if a result looks wrong.
///
/// It lists each adapter with its driver, limits and features; runs every kernel of every op on it and compares the
/// results with those of plain loops on the CPU, as it is used and once more with all run-time checks, every index watched;
/// measures how fast it is; and says what to do next.
///
/// It ends with code 1 if a device computed something wrong, or cannot be opened though --device names it.
#[derive(Debug, Parser)]
#[command(name = "doctor", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Examine this device alone: gpu, gpu:N, software, cpu, or auto (what the other programs take by themselves)
    /// [default: every adapter and the CPU]
    #[arg(long)]
    pub(crate) device: Option<DeviceChoice>,
    /// Examine a GPU's kernels with all run-time checks alone, not without them first
    #[arg(long)]
    pub(crate) checked: bool,
    /// Write each check as a line of JSON: device, adapter, op, shapes, algorithm, kernels and outcome
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release --example doctor
      Every adapter and the CPU; some seconds for each GPU, a minute for a software adapter.
  cargo run --release --example doctor -- --device gpu:0
      The best adapter alone.
  WGPU_BACKEND=vulkan WGPU_ADAPTER_NAME=radeon cargo run --release --example doctor
      Only adapters of Vulkan (or dx12, metal, gl) whose name holds `radeon`. All programs heed these two variables.";
