//! Dropout: the device draws the same mask as the host.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::Dropout;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (p, dims) in [
        (0.0, [1, 1, 1, 3]),
        (0.5, [2, 3, 9, 9]),
        (0.9, [1, 16, 7, 7]),
    ] {
        let mut case = CaseBuilder::new();
        let x = case.random(&dims);
        let random = case.input_u32(&[3], vec![42, 1000, 7]);
        case.op(Dropout::new(p, 5).expect("valid"), &[x, random], &[]);
        cases.push(case.case(format!("dropout {p} {dims:?}")));
    }
    cases
}
