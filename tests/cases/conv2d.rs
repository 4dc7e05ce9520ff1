//! Convolutions: odd channels, strides, paddings, ragged tiles, batch 1.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::{Conv2d, Conv2dDgrad, Conv2dWgrad};

/// `[n, c, h, w, k, filter, stride, pad]`.
const SHAPES: &[[usize; 8]] = &[
    [1, 1, 5, 5, 1, 1, 1, 0],
    [1, 3, 7, 9, 10, 3, 1, 1],
    [2, 5, 11, 8, 17, 3, 2, 0],
    [3, 1, 23, 23, 10, 11, 4, 2],
    [2, 3, 19, 17, 17, 7, 3, 3],
    [1, 5, 13, 13, 10, 5, 1, 4],
    [2, 4, 9, 9, 16, 6, 2, 5],
    [1, 104, 9, 9, 208, 1, 1, 0],
    [1, 440, 7, 5, 440, 1, 1, 0],
    [2, 33, 6, 6, 65, 3, 1, 1],
    [1, 17, 10, 12, 1, 2, 2, 1],
    [5, 10, 6, 6, 10, 1, 1, 0],
    [1, 8, 12, 12, 12, 1, 2, 0],
    [1, 3, 4, 4, 5, 4, 1, 0],
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &[n, c, h, w, k, filter, stride, pad] in SHAPES {
        let conv = Conv2d::new(filter, stride, pad).expect("valid");
        let g = conv.geometry(super::shape(&[n, c, h, w]), k).expect("fits");
        let (x, f, y) = ([n, c, h, w], [k, c, filter, filter], [n, k, g.p, g.q]);
        let name = |what| {
            format!("{what} {n}x{c}x{h}x{w} k{k} {filter}x{filter} stride {stride} pad {pad}")
        };

        for (conv, what) in [(conv, "conv2d"), (conv.with_relu(), "conv2d + relu")] {
            let mut case = CaseBuilder::new();
            let inputs = [case.random(&x), case.random(&f), case.random(&[k])];
            case.op(conv, &inputs, &[]);
            cases.push(case.case(name(what)));
        }

        let bare = conv.without_bias();
        let mut case = CaseBuilder::new();
        let inputs = [case.random(&x), case.random(&f)];
        case.op(bare.with_relu(), &inputs, &[]);
        cases.push(case.case(name("conv2d + relu, no bias")));
        let mut case = CaseBuilder::new();
        let inputs = [case.random(&x), case.random(&y)];
        case.op(Conv2dWgrad::new(bare), &inputs, &[]);
        cases.push(case.case(name("wgrad, no bias")));

        let dgrad = Conv2dDgrad::new(conv, h, w);
        let mut case = CaseBuilder::new();
        let inputs = [case.random(&y), case.random(&f)];
        case.op(dgrad, &inputs, &[]);
        cases.push(case.case(name("dgrad")));
        let mut case = CaseBuilder::new();
        let inputs = [case.random(&y), case.random(&f), case.random(&x)];
        case.op(dgrad.with_mask(), &inputs, &[]);
        cases.push(case.case(name("dgrad + mask")));

        let mut case = CaseBuilder::new();
        let inputs = [case.random(&x), case.random(&y)];
        case.op(Conv2dWgrad::new(conv), &inputs, &[]);
        cases.push(case.case(name("wgrad")));
    }
    cases
}
