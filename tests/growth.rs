//! Devices that are opened and dropped leave nothing behind. A process of its own, since its memory is measured.
//!
//! `NIN_TEST_DEVICES` says how many.

#![cfg(target_os = "linux")]

mod cases;

use nin_wgpu::device::Device;
use nin_wgpu::gpu::Gpu;
use nin_wgpu::graph::GraphError;
use nin_wgpu::init::Init;
use nin_wgpu::ops::{Adam, Conv2d};
use nin_wgpu::program::{Program, Source};

/// Devices that a test without orders opens.
const DEVICES: usize = 50;
/// What a process may grow by after the first fifth, in KiB, however many follow: free lists of allocators, and what a driver keeps.
const GROWTH: usize = 8 << 10;

/// KiB of memory that this process has.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("a number").parse().expect("a number")
}

/// A step of a network of one convolution.
fn step(device: &Device) -> f64 {
    let source = Source::new(4, [1, 8, 8]);
    let program: Result<_, GraphError> =
        Program::training(&source, [8, 8], 4, Adam::default(), |net, x| {
            let x = net.conv2d("conv", x, 2, Conv2d::new(3, 1, 1)?)?;
            net.global_avg_pool(x)
        });
    let program = program.expect("builds");
    let mut run = program.load(device).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), 1);
    run.set_parameters(&parameters.expect("drawn"))
        .expect("fit");
    run.set_data(&[7; 256], &[0, 1, 0, 1]).expect("fit");
    let metrics = run.train_step(&[0, 1, 2, 3], 0.01, 1).expect("trains");
    metrics.loss()
}

#[test]
fn devices_that_are_opened_and_dropped_leave_no_memory_behind() {
    let Some(gpu) = cases::gpu() else { return };
    let wanted = gpu.description();
    let told = std::env::var("NIN_TEST_DEVICES");
    let devices: usize = told.map_or(DEVICES, |told| told.parse().expect("a number"));
    // The first fifth fills what drivers and allocators keep.
    let warm = devices.div_ceil(5);
    let (mut loss, mut before) = (None, 0);
    for i in 0..devices {
        let own = Gpu::open(&cases::adapters(), "adapter", |_, found| found == wanted);
        let got = step(&Device::Gpu(own.expect("opens")));
        assert_eq!(*loss.get_or_insert(got), got, "device {i}");
        if i + 1 == warm {
            before = resident();
        }
        if (i + 1).is_multiple_of(warm) {
            eprintln!("{} devices: {} KiB", i + 1, resident());
        }
    }
    let after = resident();
    assert!(after <= before + GROWTH, "{before} KiB became {after} KiB");
}
