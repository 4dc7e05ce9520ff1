//! Linear layers: of one of everything, ragged tiles, more rows than a part of a sum, inputs of two and of four dimensions.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::{Linear, LinearDgrad, LinearWgrad};

/// `[n, c, k]`.
const SIZES: &[[usize; 3]] = &[
    [1, 1, 1],
    [1, 7, 5],
    [5, 1, 17],
    [17, 19, 1],
    [3, 130, 70],
    [70, 33, 65],
    [1100, 6, 3],
    [2, 520, 140],
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &[n, c, k] in SIZES {
        let x: &[usize] = if k % 2 == 0 { &[n, c, 1, 1] } else { &[n, c] };
        let mut add = |what: &str, build: &dyn Fn(&mut CaseBuilder)| {
            let mut case = CaseBuilder::new();
            build(&mut case);
            cases.push(case.case(format!("{what} {n}x{c} to {k}")));
        };
        let with = Linear::default();
        for (linear, what) in [(with, "linear"), (with.with_relu(), "linear + relu")] {
            add(what, &|case| {
                let inputs = [case.random(x), case.random(&[k, c]), case.random(&[k])];
                case.op(linear, &inputs, &[]);
            });
        }
        let without = with.without_bias();
        add("linear without bias", &|case| {
            let inputs = [case.random(x), case.random(&[k, c])];
            case.op(without, &inputs, &[]);
        });
        let dgrad = LinearDgrad::new(super::shape(x));
        add("dgrad", &|case| {
            let inputs = [case.random(&[n, k]), case.random(&[k, c])];
            case.op(dgrad, &inputs, &[]);
        });
        add("dgrad + mask", &|case| {
            let inputs = [case.random(&[n, k]), case.random(&[k, c]), case.random(x)];
            case.op(dgrad.with_mask(), &inputs, &[]);
        });
        for (linear, what) in [(with, "wgrad"), (without, "wgrad without bias")] {
            add(what, &|case| {
                let inputs = [case.random(x), case.random(&[n, k])];
                case.op(LinearWgrad::new(linear), &inputs, &[]);
            });
        }
    }
    cases
}
