//! Loss, its gradient and the metrics, with ignored rows and large logits.

use super::{Case, CaseBuilder, floats, integers};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{IGNORE, PooledCrossEntropy, SoftmaxCrossEntropy};

/// Smoothing, class weights, and both; the first class has no weight, unless it is the only one, and the last may have one below 0.
pub fn losses(classes: usize) -> Vec<(SoftmaxCrossEntropy, &'static str)> {
    let weights = floats(classes, 8).iter().map(|w| 1.5 + w).collect();
    let mut weights: Vec<f32> = weights;
    if classes > 1 {
        weights[0] = 0.0;
    }
    if classes > 5 {
        weights[classes - 1] = -0.3;
    }
    let plain = SoftmaxCrossEntropy::default();
    let smooth = plain.clone().with_label_smoothing(0.1).expect("in range");
    let weighted = |loss: &SoftmaxCrossEntropy| {
        let loss = loss.clone().with_class_weights(weights.clone());
        loss.expect("weights")
    };
    vec![
        (weighted(&plain), "weighted"),
        (weighted(&smooth), "smooth and weighted"),
        (smooth, "smooth"),
    ]
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, classes, scale) in [
        (1, 1, 1.0),
        (16, 10, 3.0),
        (5, 17, 1.0),
        (150, 10, 1.0),
        (4, 100, 200.0),
    ] {
        for ignored in [0, n / 3] {
            let mut case = CaseBuilder::new();
            // ReLU'd logits: some are exactly zero, as behind a last ReLU.
            let logits = floats(n * classes, 3)
                .iter()
                .map(|x| (x * scale).max(0.0))
                .collect();
            let logits = case.input(&[n, classes], logits);
            let mut labels = integers(n, classes as u32, 4);
            labels[n - ignored..].fill(IGNORE);
            let labels = case.input_u32(&[n], labels);
            let before = floats(SoftmaxCrossEntropy::metrics_len(classes), 5);
            let metrics = case.with_role(&[before.len()], Role::Accumulator, before);
            case.op(
                SoftmaxCrossEntropy::default(),
                &[logits, labels],
                &[metrics],
            );
            cases.push(case.case(format!(
                "softmax_cross_entropy {n}x{classes} scale {scale}, {ignored} ignored"
            )));
        }
    }
    for (n, classes) in [(1, 1), (16, 10), (5, 17), (300, 3)] {
        for (op, what) in losses(classes) {
            let mut case = CaseBuilder::new();
            let logits = floats(n * classes, 3).iter().map(|x| 3.0 * x).collect();
            let logits = case.input(&[n, classes], logits);
            let mut labels = integers(n, classes as u32, 4);
            labels[n - n / 3..].fill(IGNORE);
            let labels = case.input_u32(&[n], labels);
            let before = floats(SoftmaxCrossEntropy::metrics_len(classes), 5);
            let metrics = case.with_role(&[before.len()], Role::Accumulator, before);
            case.op(op, &[logits, labels], &[metrics]);
            cases.push(case.case(format!("softmax_cross_entropy {n}x{classes}, {what}")));
        }
    }
    for (n, classes, [h, w]) in [
        (1, 1, [1, 1]),
        (16, 10, [6, 6]),
        (3, 17, [5, 7]),
        (70, 10, [2, 3]),
    ] {
        let plain = PooledCrossEntropy::default();
        let mut ops = vec![
            (plain.clone(), String::new()),
            (plain.with_mask(), " masked".to_owned()),
        ];
        for (loss, what) in losses(classes) {
            ops.push((
                PooledCrossEntropy::new(loss).with_mask(),
                format!(", {what}"),
            ));
        }
        for (op, masked) in ops {
            let mut case = CaseBuilder::new();
            let maps = floats(n * classes * h * w, 3);
            let x = case.input(
                &[n, classes, h, w],
                maps.iter().map(|x| 9.0 * x.max(0.0)).collect(),
            );
            let mut labels = integers(n, classes as u32, 4);
            labels[n - n / 3..].fill(IGNORE);
            let labels = case.input_u32(&[n], labels);
            let before = floats(SoftmaxCrossEntropy::metrics_len(classes), 5);
            let metrics = case.with_role(&[before.len()], Role::Accumulator, before);
            case.op(op, &[x, labels], &[metrics]);
            cases.push(case.case(format!(
                "pooled_cross_entropy {n}x{classes}x{h}x{w}{masked}"
            )));
        }
    }
    cases
}
