//! The self-test: it passes here, leaves no kernel out, and can fail.

mod cases;

use std::collections::BTreeSet;

use nin_wgpu::device::Device;
use nin_wgpu::ops::Op;
use nin_wgpu::plan::Conv2dAlgorithm;
use nin_wgpu::self_test::Check;

#[test]
fn the_cpu_agrees_with_the_reference_in_double_precision() {
    let checks: Vec<Check> = Device::Cpu.self_test().expect("prepared").collect();
    assert!(checks.len() > 30, "only {} checks", checks.len());
    for check in &checks {
        assert!(check.outcome.is_right(), "{check}");
        assert!(check.kernels.is_empty(), "{check}");
    }
}

#[test]
fn every_kernel_in_every_variant_is_run_and_agrees() {
    let Some(gpu) = cases::gpu() else { return };
    let test = Device::Gpu(gpu.clone()).self_test().expect("prepared");
    let of = test.len();
    let checks: Vec<Check> = test.collect();
    assert_eq!(checks.len(), of);
    for check in &checks {
        assert!(check.outcome.is_right(), "{check}");
    }
    let run: BTreeSet<_> = checks.into_iter().flat_map(|check| check.kernels).collect();
    let kernels = Op::kernels().into_iter();
    let mut all: BTreeSet<_> = kernels
        .map(|(kernel, variant)| kernel.name(variant))
        .collect();
    // Those of the one algorithm that not every device can run.
    let available = Conv2dAlgorithm::available(gpu.plan_options().limits);
    if !available.contains(&Conv2dAlgorithm::ColumnsSubgroup) {
        all.retain(|name| !name.ends_with("[32x32]"));
    }
    assert_eq!(run, all);
}
