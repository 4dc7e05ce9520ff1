//! Known traps of GPUs and of floats: numbers that are none, infinite or tiny, and sizes past what indices reach.
//!
//! What is decided here is what PyTorch does: nothing that is no number gets lost on its way to the loss.

#[path = "../cases/mod.rs"]
mod cases;

mod elementwise;
mod loss;
mod nonfinite;
mod numbers;
mod pools;
mod sizes;
mod sums;
mod unsafe_code;

use crate::cases::{Case, CaseBuilder, gpu, on_gpu, on_reference};
use nin_wgpu::ops::Op;
use nin_wgpu::plan::Conv2dAlgorithm;

pub(crate) const NAN: f32 = f32::NAN;
pub(crate) const INF: f32 = f32::INFINITY;
/// The smallest and the largest of the numbers that devices may take for zero.
pub(crate) const TINY: [f32; 2] = [1e-45, 1.1e-38];

/// Panics unless every element is the same kind of number as wanted, and close to it. Numbers below the smallest normal one
/// may be zero, those compared as well as those computed.
pub(crate) fn assert_same(case: &Case, by: &str, got: &[Vec<f64>], want: &[Vec<f64>]) {
    for (((id, tolerance), got), want) in case.results.iter().zip(got).zip(want) {
        let finite = want.iter().filter(|x| x.is_finite());
        let largest = finite.fold(0f64, |most, x| most.max(x.abs()));
        let allowed =
            tolerance.relative * largest + tolerance.absolute + 2.0 * f64::from(f32::MIN_POSITIVE);
        for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
            let same = if want.is_finite() {
                (got - want).abs() <= allowed
            } else {
                got == want || (got.is_nan() && want.is_nan())
            };
            let (name, value) = (&case.name, &case.graph.value(*id).name);
            assert!(
                same,
                "{name}: {value}[{i}] on {by} is {got}, expected {want}"
            );
        }
    }
}

/// What the reference makes of a case; the CPU backend and the GPU must agree with it.
pub(crate) fn agreed(case: &Case, algorithms: &[Conv2dAlgorithm]) -> Vec<Vec<f64>> {
    let want = on_reference::<f64>(case);
    assert_same(case, "the CPU", &on_reference::<f32>(case), &want);
    if let Some(gpu) = gpu() {
        let available = Conv2dAlgorithm::available(gpu.plan_options().limits);
        for &algorithm in algorithms.iter().filter(|a| available.contains(a)) {
            let by = format!("{} ({algorithm})", gpu.description());
            assert_same(case, &by, &on_gpu(gpu, case, algorithm), &want);
        }
    }
    want
}

pub(crate) const ANY: &[Conv2dAlgorithm] = &[Conv2dAlgorithm::HARDWARE];

/// Results of one op on one float input.
pub(crate) fn of(name: &str, op: impl Into<Op>, dims: &[usize], x: &[f32]) -> Vec<Vec<f64>> {
    let mut case = CaseBuilder::new();
    let x = case.input(dims, x.to_vec());
    case.op(op, &[x], &[]);
    agreed(&case.case(name), ANY)
}

/// Panics unless the elements are those, none being equal to none.
pub(crate) fn assert_are(got: &[f64], want: &[f32]) {
    let same =
        |(got, want): (&f64, &f32)| *got == f64::from(*want) || got.is_nan() && want.is_nan();
    assert!(
        got.len() == want.len() && got.iter().zip(want).all(same),
        "{got:?} are not {want:?}"
    );
}
