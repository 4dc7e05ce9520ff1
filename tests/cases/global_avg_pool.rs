//! Global average pooling.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::{GlobalAvgPool, GlobalAvgPoolBackward};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for [n, c, h, w] in [
        [1, 1, 1, 1],
        [2, 10, 6, 6],
        [3, 17, 7, 5],
        [16, 10, 8, 8],
        // More than one sum of sums.
        [1, 2, 67, 65],
    ] {
        let mut case = CaseBuilder::new();
        let x = case.random(&[n, c, h, w]);
        case.op(GlobalAvgPool::default(), &[x], &[]);
        let dy = case.random(&[n, c]);
        case.op(GlobalAvgPoolBackward::new(h, w), &[dy], &[]);
        case.op(GlobalAvgPoolBackward::new(h, w).with_mask(), &[dy, x], &[]);
        cases.push(case.case(format!("global_avg_pool {n}x{c}x{h}x{w}")));
    }
    cases
}
