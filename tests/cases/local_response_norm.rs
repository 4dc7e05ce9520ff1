//! Local response normalisation and its gradient: windows odd and even, larger than there are channels, and of one.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::{LocalResponseNorm, LocalResponseNormBackward};

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (dims, size) in [
        ([1, 1, 1, 1], 1),
        ([2, 7, 3, 5], 5),
        ([2, 6, 5, 3], 4),
        ([1, 3, 4, 4], 9),
        ([3, 20, 9, 7], 2),
    ] {
        let mut case = CaseBuilder::new();
        let (x, dy) = (case.random(&dims), case.random(&dims));
        let usual = LocalResponseNorm::new(size).expect("valid");
        // AlexNet's but for an alpha that shows at numbers about 1.
        let strong = usual.with_constants(0.9, 0.75, 2.0).expect("valid");
        for norm in [usual, strong] {
            case.op(norm, &[x], &[]);
            let backward = LocalResponseNormBackward::new(norm);
            case.op(backward, &[dy, x], &[]);
            case.op(backward.with_mask(), &[dy, x], &[]);
        }
        cases.push(case.case(format!("local_response_norm {dims:?} of {size}")));
    }
    cases
}
