//! ReLU.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::{Relu, ReluBackward};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // The last shape takes more than 65,535 workgroups, so its dispatch is folded over y.
    for dims in [
        [1, 1, 1, 1],
        [2, 3, 5, 7],
        [1, 16, 16, 16],
        [1, 1, 2048, 2050],
    ] {
        let mut case = CaseBuilder::new();
        let x = case.random(&dims);
        let y = case.op(Relu, &[x], &[])[0];
        let dy = case.random(&dims);
        case.op(ReluBackward, &[dy, y], &[]);
        cases.push(case.case(format!("relu {dims:?}")));
    }
    cases
}
