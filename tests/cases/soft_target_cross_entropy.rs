//! Loss against a number for each class, its gradient and the metrics, with rows without weight and large logits.

use super::softmax_cross_entropy::losses;
use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{SoftTargetCrossEntropy, SoftmaxCrossEntropy};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ([n, classes], scale) in [
        ([1, 1], 1.0),
        ([16, 10], 3.0),
        ([5, 17], 1.0),
        ([300, 3], 1.0),
        ([4, 100], 200.0),
    ] {
        let plain = (SoftmaxCrossEntropy::default(), "plain");
        for (loss, what) in losses(classes).into_iter().chain([plain]) {
            for weightless in [0, n / 3, n] {
                let mut case = CaseBuilder::new();
                let logits = floats(n * classes, 3).into_iter();
                let logits = logits.map(|x| scale * x.max(0.0)).collect();
                let logits = case.input(&[n, classes], logits);
                // PyTorch does not ask for probabilities either.
                let targets = case.random(&[n, classes]);
                let mut weights: Vec<f32> = floats(n, 4).iter().map(|w| 1.5 + w).collect();
                weights[n - weightless..].fill(0.0);
                let weights = case.input(&[n], weights);
                let before = floats(SoftmaxCrossEntropy::metrics_len(classes), 5);
                let metrics = case.with_role(&[before.len()], Role::Accumulator, before);
                let op = SoftTargetCrossEntropy::new(loss.clone());
                case.op(op, &[logits, targets, weights], &[metrics]);
                cases.push(case.case(format!(
                    "soft_target_cross_entropy {n}x{classes} scale {scale}, {what}, {weightless} without weight"
                )));
            }
        }
    }
    cases
}
