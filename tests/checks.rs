//! What kernels without run-time checks deserve it by: no index of theirs is ever out of range, and their results are those
//! with all checks.

mod cases;

use cases::{Case, assert_agreement, on_gpu};
use nin_wgpu::gpu::Checks;
use nin_wgpu::ops::Conv2d;
use nin_wgpu::plan::{Conv2dAlgorithm, PlanLimits};

/// Every case of the tables whose kernels are trusted.
fn tables() -> Vec<Case> {
    [
        cases::conv2d::cases(),
        cases::linear::cases(),
        cases::max_pool2d::cases(),
        cases::avg_pool2d::cases(),
        cases::batch_norm::cases(),
        cases::local_response_norm::cases(),
        cases::global_avg_pool::cases(),
        cases::relu::cases(),
        cases::add::cases(),
        cases::concat::cases(),
        cases::reshape::cases(),
        cases::activation::cases(),
        cases::dropout::cases(),
        cases::softmax::cases(),
        cases::mean_squared_error::cases(),
        cases::gradient_norm::cases(),
        cases::ema::cases(),
    ]
    .concat()
}

/// The algorithms that a case is run by: all that serve it, if it is a convolution.
fn algorithms(case: &Case, limits: PlanLimits) -> Vec<Conv2dAlgorithm> {
    let mut nodes = case.graph.nodes().iter();
    match nodes.find_map(|node| Conv2d::of_node(&case.graph, node)) {
        None => vec![Conv2dAlgorithm::HARDWARE],
        Some((_, geometry)) => {
            let mut all = Conv2dAlgorithm::available(limits);
            all.retain(|algorithm| algorithm.serves(&geometry));
            all
        }
    }
}

#[test]
fn no_index_of_a_trusted_kernel_is_out_of_range_and_checks_change_no_result() {
    // No other test of this program uses the device.
    let Some(gpu) = cases::gpu() else { return };
    let limits = gpu.plan_options().limits;
    let cases = tables();
    let run = |checks| {
        gpu.set_checks(checks);
        let mut results = Vec::new();
        for case in &cases {
            for algorithm in algorithms(case, limits) {
                results.push((case, algorithm, on_gpu(gpu, case, algorithm)));
                if checks == Checks::Watched {
                    let strays = gpu.strays().expect("watched");
                    assert_eq!(strays, 0, "{} by {algorithm}", case.name);
                }
            }
        }
        results
    };
    let watched = run(Checks::Watched);
    let trusted = run(Checks::Trusted);
    assert!(watched.len() > 300, "only {} results", watched.len());
    for ((case, algorithm, with), (.., without)) in watched.iter().zip(&trusted) {
        assert_agreement(case, &format!("{algorithm} without checks"), without, with);
    }
}
