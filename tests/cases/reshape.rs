//! Reshaping: of an input and of a computed value, read again in both shapes.

use super::{Case, CaseBuilder, shape};
use nin_wgpu::ops::{Relu, Reshape};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for [n, c, h, w] in [[1, 1, 1, 1], [2, 3, 5, 7], [16, 10, 8, 8]] {
        let flat = shape(&[n, c * h * w, 1, 1]);
        let mut case = CaseBuilder::new();
        let x = case.random(&[n, c, h, w]);
        case.op(Reshape::new(flat), &[x], &[]);
        let y = case.op(Relu, &[x], &[])[0];
        let view = case.op(Reshape::new(flat), &[y], &[])[0];
        case.op(Relu, &[view], &[]);
        let back = case.op(Reshape::new(shape(&[n, c, h * w])), &[view], &[])[0];
        case.op(Relu, &[back], &[]);
        case.op(Relu, &[y], &[]);
        cases.push(case.case(format!("reshape {n}x{c}x{h}x{w}")));
    }
    cases
}
