//! Parameters that one binding does not hold: they lie in several slabs, and a large weight in several pieces.

mod cases;

use nin_wgpu::gpu::{Executor, Gpu};
use nin_wgpu::graph::{Graph, GraphBuilder, Phase};
use nin_wgpu::ops::Conv2d;
use nin_wgpu::plan::{Plan, PlanError, PlanLimits, PlanOptions};
use nin_wgpu::runtime::Runtime;

fn options(max_binding: u64, options: PlanOptions) -> PlanOptions {
    let limits = PlanLimits {
        max_binding,
        ..options.limits
    };
    PlanOptions { limits, ..options }
}

fn within(gpu: &Gpu, graph: Graph, max_binding: u64) -> Executor {
    let plan = Plan::new(graph, &options(max_binding, gpu.plan_options())).expect("fits");
    assert!(plan.slots().iter().all(|slot| slot.bytes <= max_binding));
    Executor::new(gpu, plan).expect("loads")
}

/// Runs cases of parameters of 1, 17, 64 and 1000 elements, 256 bytes each and 4000: in two slabs.
fn agree_over_two_slabs(cases: &[cases::Case], dispatches: usize) {
    let Some(gpu) = cases::gpu() else { return };
    assert!(!cases.is_empty());
    for case in cases {
        let mut executor = within(gpu, case.graph.clone(), 4096);
        let plan = executor.plan();
        assert_eq!(plan.dispatches().len(), dispatches);
        let labels: Vec<_> = plan.buffers().iter().map(|b| b.label.as_str()).collect();
        assert!(labels.contains(&"parameters 2 of 2"), "{labels:?}");
        cases::write(&mut executor, case);
        executor.run().expect("runs");
        let got = cases::results(&mut executor, case);
        let want = cases::on_reference::<f64>(case);
        cases::assert_agreement(case, "two slabs", &got, &want);
    }
}

#[test]
fn optimizers_and_averages_over_two_slabs_are_a_dispatch_each_and_agree_with_the_reference() {
    agree_over_two_slabs(&cases::optimizer::cases(), 2);
    agree_over_two_slabs(&cases::ema::cases(), 2);
}

#[test]
fn the_norm_of_gradients_in_two_slabs_is_that_of_all() {
    // The sums of squares of each, and the root of them all.
    agree_over_two_slabs(&cases::gradient_norm::in_two_slabs(), 3);
}

#[test]
fn filters_that_a_binding_does_not_hold_are_refused_by_name() {
    let mut net = GraphBuilder::new(Phase::Eval);
    let x = net.input("images", &[1, 20, 5, 5]).expect("valid");
    let conv = Conv2d::new(3, 1, 1).expect("valid");
    net.conv2d("wide", x, 10, conv).expect("fits");
    let error = Plan::new(net.finish(), &options(7000, PlanOptions::default()));
    let error = error.expect_err("too large");
    assert!(matches!(error, PlanError::Parameter { .. }));
    let says = error.to_string();
    assert!(
        says.starts_with(
            "parameter `wide.weight` needs 7200 bytes at once, but this device binds at most 6912"
        ),
        "{says}"
    );
}
