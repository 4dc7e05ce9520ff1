//! Addition: plain, of a value with itself, and with each epilogue.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::Add;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    // The last shape takes more than 65,535 workgroups, so its dispatch is folded over y.
    for dims in [
        &[1][..],
        &[3, 7],
        &[2, 3, 5, 7],
        &[1, 16, 16, 16],
        &[1, 1, 2048, 2050],
    ] {
        let mut case = CaseBuilder::new();
        let (a, b, activation) = (case.random(dims), case.random(dims), case.random(dims));
        case.op(Add::default(), &[a, b], &[]);
        case.op(Add::default(), &[a, a], &[]);
        case.op(Add::default().with_relu(), &[a, b], &[]);
        case.op(Add::default().with_mask(), &[a, b, activation], &[]);
        case.op(Add::default().with_mask(), &[a, a, a], &[]);
        cases.push(case.case(format!("add {dims:?}")));
    }
    cases
}
