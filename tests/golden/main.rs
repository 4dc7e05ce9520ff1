//! Against PyTorch: a small Network in Network over ten Adam steps, and single ops, from `tests/fixtures`.
//!
//! `fixtures/make.py` wrote the reference values in `f64`, and beside them how far PyTorch's own `f32` lies from them.
//! Tolerances here are a few times that.

#[path = "../cases/mod.rs"]
mod cases;

mod adam;
mod branches;
mod conv2d;
mod layers;
mod nin;
mod norms;
mod pool2d;

use crate::cases::fixture::difference;
use crate::cases::{Case, on_gpu, on_reference};
use nin_wgpu::plan::Conv2dAlgorithm;

/// Runs a case in `f64`, in `f32` and on the GPU, and compares its results with PyTorch's.
pub(crate) fn check(case: &Case, relative: f64, want: &[&[f64]]) {
    let mut runs = vec![
        ("f64".to_owned(), on_reference::<f64>(case), 1e-7),
        ("f32".to_owned(), on_reference::<f32>(case), relative),
    ];
    if let Some(gpu) = cases::gpu() {
        for algorithm in Conv2dAlgorithm::available(gpu.plan_options().limits) {
            runs.push((
                format!("{algorithm:?}"),
                on_gpu(gpu, case, algorithm),
                relative,
            ));
        }
    }
    for (by, got, relative) in runs {
        assert_eq!(got.len(), want.len(), "{}", case.name);
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let (off, most) = difference(got, want);
            assert!(
                off <= relative * most.max(1.0),
                "{} result {i} by {by} is off by {off:e}",
                case.name
            );
        }
    }
}
