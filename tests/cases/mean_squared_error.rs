//! Mean squared error: one of everything, more rows than invocations, rows without weight, ties.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{MeanSquaredError, SoftmaxCrossEntropy};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for [n, features] in [[1, 1], [5, 17], [300, 3], [16, 10]] {
        for weightless in [0, n / 3, n] {
            let mut case = CaseBuilder::new();
            let x = floats(n * features, 3)
                .into_iter()
                .map(|x| 2.0 * x.max(0.0));
            let mut x: Vec<f32> = x.collect();
            // The first of the largest is what counts.
            for row in x.chunks_mut(features).step_by(3) {
                row[features - 1] = row.iter().fold(0.0, |most, x| x.max(most));
            }
            let x = case.input(&[n, features], x);
            let targets = case.random(&[n, features]);
            let mut weights: Vec<f32> = floats(n, 4).iter().map(|w| 1.5 + w).collect();
            weights[n - weightless..].fill(0.0);
            let weights = case.input(&[n], weights);
            let before = floats(SoftmaxCrossEntropy::metrics_len(features), 5);
            let metrics = case.with_role(&[before.len()], Role::Accumulator, before);
            case.op(MeanSquaredError, &[x, targets, weights], &[metrics]);
            cases.push(case.case(format!(
                "mean_squared_error {n}x{features}, {weightless} without weight"
            )));
        }
    }
    cases
}
