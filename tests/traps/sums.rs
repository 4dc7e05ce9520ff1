//! Sums of many terms: means of large maps, norms, statistics and metrics keep their digits on every backend.

use crate::cases::{CaseBuilder, floats, gpu, on_gpu, on_reference};
use crate::{ANY, agreed};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{
    AvgPool2d, BatchNorm, GlobalAvgPool, GradientNorm, MeanSquaredError, Op, Pool2d, Softmax,
    SoftmaxCrossEntropy,
};
use nin_wgpu::plan::Conv2dAlgorithm;

/// What both backends make of one op on one input, each result with the name of its backend.
fn results(op: impl Into<Op>, dims: &[usize], x: Vec<f32>) -> Vec<(String, Vec<f64>)> {
    let mut case = CaseBuilder::new();
    let x = case.input(dims, x);
    case.op(op, &[x], &[]);
    let case = case.case("sum");
    let mut results = vec![("CPU".to_owned(), on_reference::<f32>(&case)[0].clone())];
    if let Some(gpu) = gpu() {
        let of_gpu = on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE);
        results.push((gpu.description().to_string(), of_gpu[0].clone()));
    }
    results
}

#[test]
fn the_mean_of_a_constant_is_the_constant() {
    for side in [7, 224, 1024] {
        let x = vec![0.1f32; side * side];
        let pool = AvgPool2d::new(Pool2d::new(side, side).expect("valid"));
        for op in [Op::from(GlobalAvgPool::default()), pool.into()] {
            for (by, mean) in results(op.clone(), &[1, 1, side, side], x.clone()) {
                assert!(
                    (mean[0] - 0.1).abs() < 1e-6,
                    "{op:?} of {side}² by {by}: {}",
                    mean[0]
                );
            }
        }
    }
}

/// The head that pools, takes the loss and spreads its gradient in one kernel.
#[test]
fn the_fused_head_pools_large_maps_exactly_too() {
    let mut case = CaseBuilder::new();
    let x = case.input(
        &[1, 2, 224, 224],
        [vec![0.1; 224 * 224], vec![0.3; 224 * 224]].concat(),
    );
    let labels = case.input_u32(&[1], vec![1]);
    let metrics = case.with_role(&[6], Role::Accumulator, vec![0.0; 6]);
    let loss = SoftmaxCrossEntropy::default();
    case.op(
        nin_wgpu::ops::PooledCrossEntropy::new(loss),
        &[x, labels],
        &[metrics],
    );
    let logits = agreed(&case.case("pooled"), ANY)[0].clone();
    assert!(
        (logits[0] - 0.1).abs() < 1e-6 && (logits[1] - 0.3).abs() < 1e-6,
        "{logits:?}"
    );
    if let Some(gpu) = gpu() {
        let mut case = CaseBuilder::new();
        let x = case.input(&[1, 2, 224, 224], vec![0.1; 2 * 224 * 224]);
        let labels = case.input_u32(&[1], vec![1]);
        let metrics = case.with_role(&[6], Role::Accumulator, vec![0.0; 6]);
        let loss = SoftmaxCrossEntropy::default();
        case.op(
            nin_wgpu::ops::PooledCrossEntropy::new(loss),
            &[x, labels],
            &[metrics],
        );
        let logits = &on_gpu(gpu, &case.case("pooled"), Conv2dAlgorithm::HARDWARE)[0];
        assert!(
            logits.iter().all(|logit| (logit - 0.1).abs() < 1e-6),
            "{logits:?}"
        );
    }
}

#[test]
fn probabilities_of_many_equal_logits_are_their_share() {
    let classes = 50_000;
    for (by, p) in results(Softmax::default(), &[1, classes], vec![0.1; classes]) {
        let off = (p[7] * classes as f64 - 1.0).abs();
        assert!(off < 5e-5, "by {by}: off by {off}");
    }
}

#[test]
fn norms_statistics_and_losses_of_many_terms_keep_their_digits() {
    // Of one sign and size, so that a running sum would round to the same side again and again.
    let near = |len, seed| {
        floats(len, seed)
            .iter()
            .map(|x| 0.1 + 1e-3 * x)
            .collect::<Vec<_>>()
    };
    let len = 3 << 20;
    let mut case = CaseBuilder::new();
    let p = case.with_role(&[len], Role::Parameter, vec![0.0; len]);
    let g = case.with_role(&[len], Role::Gradient(p), near(len, 1));
    case.op(GradientNorm { in_parts: false }, &[g], &[]);
    within(case, "gradient norm", 1e-6);

    let mut case = CaseBuilder::new();
    let x = case.input(&[4, 2, 512, 512], near(8 << 18, 2));
    let [weight, bias] = [1.0, 0.0].map(|of| case.with_role(&[2], Role::Parameter, vec![of; 2]));
    let [mean, var] = [0.0, 1.0].map(|of| case.with_role(&[2], Role::Statistic, vec![of; 2]));
    let out = case.op(BatchNorm::default(), &[x, weight, bias], &[mean, var]);
    assert_eq!(out.len(), 2);
    case.results.retain(|(id, _)| *id == out[1]);
    within(case, "batch norm", 3e-6);

    let (rows, features) = (4096, 16);
    let mut case = CaseBuilder::new();
    let x = case.input(&[rows, features], near(rows * features, 3));
    let targets = case.input(&[rows, features], vec![0.0; rows * features]);
    let weights = case.input(&[rows], near(rows, 4));
    let metrics = case.with_role(&[4 + features], Role::Accumulator, vec![0.0; 4 + features]);
    case.op(MeanSquaredError, &[x, targets, weights], &[metrics]);
    within(case, "mean squared error", 2e-6);
}

/// Compares every result with those in `f64`, as parts of the largest.
fn within(case: CaseBuilder, name: &str, allowed: f64) {
    let case = case.case(name);
    let want = on_reference::<f64>(&case);
    let mut all = vec![("CPU".to_owned(), on_reference::<f32>(&case))];
    if let Some(gpu) = gpu() {
        let of_gpu = on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE);
        all.push((gpu.description().to_string(), of_gpu));
    }
    for (by, got) in all {
        for (i, (got, want)) in got.iter().zip(&want).enumerate() {
            let largest = want.iter().fold(0f64, |most, x| most.max(x.abs()));
            let off = got.iter().zip(want).map(|(a, b)| (a - b).abs());
            let off = off.fold(0f64, f64::max) / largest;
            assert!(off <= allowed, "{name}: result {i} by {by} is off by {off}");
        }
    }
}
