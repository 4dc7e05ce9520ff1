//! What kernels without run-time checks deserve it by: no index of theirs is ever out of range, and their results are those
//! with all checks.

mod cases;

use cases::tables::{algorithms, trusted};
use cases::{assert_agreement, on_gpu};
use nin_wgpu::gpu::Checks;

#[test]
fn no_index_of_a_trusted_kernel_is_out_of_range_and_checks_change_no_result() {
    // No other test of this program uses the device.
    let Some(gpu) = cases::gpu() else { return };
    let limits = gpu.plan_options().limits;
    let cases = trusted();
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
