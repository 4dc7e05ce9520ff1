//! One-hot targets, with labels that count for nothing.

use super::{Case, CaseBuilder, integers};
use nin_wgpu::ops::{IGNORE, OneHot};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, classes) in [(1, 1), (5, 17), (70, 10)] {
        let mut case = CaseBuilder::new();
        let mut labels = integers(n, classes as u32, 4);
        labels[n - n / 3..].fill(IGNORE);
        let labels = case.input_u32(&[n], labels);
        case.op(OneHot::new(classes), &[labels], &[]);
        cases.push(case.case(format!("one_hot {n}x{classes}")));
    }
    cases
}
