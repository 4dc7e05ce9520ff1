//! One test for each fixed bug, named after its symptom.

mod cases;

use cases::{CaseBuilder, floats, on_gpu};
use nin_wgpu::ops::Relu;
use nin_wgpu::plan::Conv2dAlgorithm;

/// Another thread's poll could take a copy's callback and not yet have run it when the waiting thread looked.
#[test]
fn a_copy_to_the_host_arrives_while_other_threads_poll_the_same_device() {
    let Some(gpu) = cases::gpu() else { return };
    std::thread::scope(|scope| {
        for seed in 0..4 {
            scope.spawn(move || {
                for round in 0..50 {
                    let x = floats(1000, seed * 100 + round);
                    let want: Vec<f64> = x.iter().map(|x| x.max(0.0).into()).collect();
                    let mut case = CaseBuilder::new();
                    let x = case.input(&[1000], x);
                    case.op(Relu, &[x], &[]);
                    assert_eq!(
                        on_gpu(gpu, &case.case("relu"), Conv2dAlgorithm::Naive),
                        [want]
                    );
                }
            });
        }
    });
}
