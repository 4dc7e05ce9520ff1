//! Activations other than ReLU, near zero and where they saturate.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::ops::{Activation, ActivationBackward};

pub fn cases() -> Vec<Case> {
    let steep = Activation::LeakyRelu {
        negative_slope: 0.3,
    };
    let mut cases = Vec::new();
    for activation in Activation::ALL.into_iter().chain([steep]) {
        // Where pieces of functions meet: a slope belongs to one of them.
        let kinks = (-8..=8).map(|i| i as f32).collect();
        let (mut case, dims) = (CaseBuilder::new(), [1, 1, 1, 17]);
        let x = case.input(&dims, kinks);
        case.op(activation, &[x], &[]);
        let dy = case.random(&dims);
        case.op(ActivationBackward::new(activation), &[dy, x], &[]);
        cases.push(case.case(format!("{activation:?} of integers")));
        for (dims, scale) in [
            ([1, 1, 1, 1], 1.0),
            ([2, 3, 5, 7], 1e-3),
            ([1, 3, 17, 19], 1.0),
            ([3, 5, 9, 31], 6.0),
            ([1, 4, 16, 16], 200.0),
        ] {
            let mut case = CaseBuilder::new();
            let len = dims.iter().product();
            let x = floats(len, 3).iter().map(|x| scale * x).collect();
            let x = case.input(&dims, x);
            case.op(activation, &[x], &[]);
            let dy = case.random(&dims);
            case.op(ActivationBackward::new(activation), &[dy, x], &[]);
            cases.push(case.case(format!("{activation:?} {dims:?} times {scale}")));
        }
    }
    cases
}
