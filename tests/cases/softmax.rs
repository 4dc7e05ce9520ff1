//! Softmax and its logarithm, with logits that overflow a naive exponential.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::ops::Softmax;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, classes, scale) in [
        (1, 1, 1.0),
        (3, 10, 5.0),
        (70, 17, 1.0),
        (2, 1000, 1.0),
        (2, 10, 300.0),
    ] {
        let mut case = CaseBuilder::new();
        let logits = floats(n * classes, 3).iter().map(|x| x * scale).collect();
        let x = case.input(&[n, classes], logits);
        case.op(Softmax::default(), &[x], &[]);
        case.op(Softmax::default().log(), &[x], &[]);
        cases.push(case.case(format!("softmax {n}x{classes} scale {scale}")));
    }
    cases
}
