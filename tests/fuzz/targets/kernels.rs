//! `kernels.json` of a run, which is what the tuner keeps, and a training step that is planned by it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_wgpu::autodiff;
use nin_wgpu::gpu::kernels_of;
use nin_wgpu::graph::{Graph, GraphBuilder, Phase, Role};
use nin_wgpu::ops::Conv2d;
use nin_wgpu::plan::{Conv2dChoices, Plan, PlanLimits, PlanOptions};
use nin_wgpu::shape::DType;

/// A training step of three convolutions of different kinds.
fn step() -> Graph {
    let mut net = GraphBuilder::new(Phase::Train);
    let x = net.input("x", &[2, 4, 9, 8]).expect("valid");
    let conv = Conv2d::new(3, 1, 1).expect("valid");
    let y = net.conv2d("conv1", x, 8, conv).expect("fits");
    let y = net
        .conv2d("conv2", y, 8, conv.with_groups(8).expect("valid"))
        .expect("fits");
    let y = net
        .conv2d("conv3", y, 5, Conv2d::new(2, 2, 0).expect("valid"))
        .expect("fits");
    let mut graph = net.finish();
    let shape = graph.value(y).shape;
    let gradient = graph.add_value("gradient", shape, DType::F32, Role::Input);
    autodiff::backward(&mut graph, y, gradient).expect("every op has one");
    graph
}

fuzz_target!(|bytes: &[u8]| {
    let kernels = kernels_of(bytes);
    if kernels.is_empty() {
        return;
    }
    let limits = [PlanLimits::WEBGPU, PlanOptions::SOFTWARE.limits];
    for limits in limits {
        let mut options = PlanOptions {
            limits,
            conv2d: Conv2dChoices::HARDWARE,
        };
        let plan = Plan::new(step(), &options).expect("planned");
        for &(direction, geometry, algorithm) in &kernels {
            options.conv2d.set(direction, geometry, algorithm);
            // As if it were the geometry of the file.
            for &(own, geometry) in plan.convolutions() {
                if own == direction {
                    options.conv2d.set(direction, geometry, algorithm);
                }
            }
        }
        // A plan, or an error that names what the device lacks.
        let _ = Plan::new(step(), &options);
    }
});
