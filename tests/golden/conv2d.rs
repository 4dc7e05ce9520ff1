//! Convolutions.

use crate::cases::CaseBuilder;
use crate::cases::fixture::Fixture;
use crate::check;
use nin_wgpu::ops::{Conv2d, Conv2dDgrad, Conv2dWgrad};

#[test]
fn convolutions_match_pytorch() {
    let fixture = Fixture::load("ops.safetensors");
    for (filter, stride, pad) in [(11, 4, 2), (5, 1, 2), (3, 1, 1), (1, 1, 0)] {
        let name = format!("op.conv2d_k{filter}s{stride}p{pad}");
        let at = |what: &str| format!("{name}.{what}");
        let conv = Conv2d::new(filter, stride, pad).expect("valid");
        let mut case = CaseBuilder::new();
        let [x, w, b, dy] =
            ["x", "w", "b", "dy"].map(|t| case.input(fixture.dims(&at(t)), fixture.f32(&at(t))));
        case.op(conv, &[x, w, b], &[]);
        let &[_, _, height, width] = fixture.dims(&at("x")) else {
            panic!("four dimensions")
        };
        case.op(Conv2dDgrad::new(conv, height, width), &[dy, w], &[]);
        case.op(Conv2dWgrad::new(conv), &[x, dy], &[]);
        let want = ["y", "dx", "dw", "db"].map(|t| fixture.get(&at(t)));
        check(&case.case(name), 1e-5, &want);
    }
}

/// Of `CONVOLUTIONS` in `make.py`: name, strides, dilations, padding, groups. Filters and bias are in the fixture.
type Convolved = (&'static str, [usize; 2], [usize; 2], [[usize; 2]; 2], usize);

const CONVOLUTIONS: [Convolved; 10] = [
    ("bias_less", [1, 1], [1, 1], [[1, 1], [1, 1]], 1),
    ("rectangular", [1, 1], [1, 1], [[1, 1], [0, 0]], 1),
    ("strided", [3, 2], [1, 1], [[0, 0], [1, 1]], 1),
    ("dilated", [1, 1], [2, 3], [[2, 2], [3, 3]], 1),
    ("asymmetric", [2, 1], [1, 1], [[0, 2], [3, 1]], 1),
    ("padded_whole", [1, 1], [1, 1], [[2, 3], [4, 2]], 1),
    ("grouped", [1, 1], [1, 1], [[1, 1], [1, 1]], 3),
    ("grouped_dilated", [1, 2], [3, 2], [[1, 0], [2, 2]], 2),
    ("depthwise", [1, 1], [1, 1], [[1, 1], [1, 1]], 5),
    ("depthwise_multiplied", [2, 2], [1, 1], [[2, 2], [0, 1]], 3),
];

#[test]
fn convolutions_of_any_kind_match_pytorch() {
    let fixture = Fixture::load("conv2d.safetensors");
    for (name, stride, dilation, pad, groups) in CONVOLUTIONS {
        let at = |what: &str| format!("{name}.{what}");
        let &[_, _, r, s] = fixture.dims(&at("w")) else {
            panic!("four dimensions")
        };
        let &[_, _, height, width] = fixture.dims(&at("x")) else {
            panic!("four dimensions")
        };
        let conv = Conv2d::rectangular([r, s], stride)
            .and_then(|conv| conv.with_dilation(dilation))
            .and_then(|conv| conv.with_paddings(pad))
            .and_then(|conv| conv.with_groups(groups));
        let mut conv = conv.expect("valid");
        let mut case = CaseBuilder::new();
        let mut input = |what: &str| case.input(fixture.dims(&at(what)), fixture.f32(&at(what)));
        let [x, w, dy] = ["x", "w", "dy"].map(&mut input);
        let (mut inputs, mut results) = (vec![x, w], vec!["y", "dx", "dw"]);
        if fixture.tensors.contains_key(&at("b")) {
            inputs.push(input("b"));
            results.push("db");
        } else {
            conv = conv.without_bias();
        }
        case.op(conv, &inputs, &[]);
        case.op(Conv2dDgrad::new(conv, height, width), &[dy, w], &[]);
        case.op(Conv2dWgrad::new(conv), &[x, dy], &[]);
        let want: Vec<_> = results.iter().map(|t| fixture.get(&at(t))).collect();
        check(&case.case(name), 1e-5, &want);
    }
}
