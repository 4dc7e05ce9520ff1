//! Convolutions: odd channels, strides, paddings, ragged tiles, batch 1; rectangular, dilated, grouped and depthwise ones.

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
    [3, 35, 27, 11, 66, 5, 1, 2],
    [2, 9, 5, 6, 3, 5, 1, 0],
    [9, 70, 14, 13, 33, 3, 1, 1],
];

/// `[n, c, h, w, k]`, `[r, s]`, strides, dilations, paddings, groups.
type General = (
    [usize; 5],
    [usize; 2],
    [usize; 2],
    [usize; 2],
    [[usize; 2]; 2],
    usize,
);

const GENERAL: &[General] = &[
    // Rectangular filters and strides, sides with paddings of their own, dilation.
    (
        [2, 3, 9, 11, 5],
        [1, 7],
        [1, 1],
        [1, 1],
        [[0, 0], [3, 3]],
        1,
    ),
    (
        [1, 9, 13, 6, 34],
        [5, 2],
        [3, 1],
        [1, 1],
        [[2, 2], [0, 0]],
        1,
    ),
    (
        [2, 5, 10, 7, 9],
        [3, 3],
        [1, 2],
        [1, 1],
        [[0, 1], [2, 0]],
        1,
    ),
    (
        [1, 7, 12, 13, 11],
        [3, 2],
        [2, 1],
        [2, 3],
        [[1, 3], [0, 2]],
        1,
    ),
    (
        [3, 2, 14, 5, 3],
        [4, 1],
        [1, 2],
        [3, 1],
        [[4, 0], [0, 0]],
        1,
    ),
    ([2, 6, 9, 6, 5], [5, 5], [1, 1], [1, 1], [[0, 3], [4, 1]], 1),
    ([2, 3, 4, 7, 7], [3, 3], [1, 1], [1, 1], [[3, 0], [1, 5]], 1),
    // Paddings that hold whole filters; a filter larger than the image; one pixel.
    ([1, 2, 4, 3, 3], [2, 2], [1, 1], [1, 1], [[3, 2], [5, 0]], 1),
    ([2, 3, 2, 2, 4], [5, 4], [1, 1], [1, 1], [[2, 3], [2, 2]], 1),
    ([2, 1, 1, 1, 1], [3, 3], [2, 2], [2, 2], [[2, 2], [2, 2]], 1),
    // Groups: of several channels and filters each, and of one of either.
    ([2, 6, 8, 9, 9], [3, 3], [1, 1], [1, 1], [[1, 1], [1, 1]], 3),
    (
        [1, 36, 6, 5, 70],
        [1, 1],
        [1, 1],
        [1, 1],
        [[0, 0], [0, 0]],
        2,
    ),
    (
        [2, 8, 7, 10, 4],
        [2, 3],
        [2, 1],
        [1, 2],
        [[0, 1], [2, 1]],
        4,
    ),
    (
        [3, 2, 5, 5, 40],
        [3, 3],
        [2, 2],
        [1, 1],
        [[1, 1], [1, 1]],
        2,
    ),
    ([1, 4, 1, 1, 2], [1, 1], [1, 1], [1, 1], [[0, 0], [0, 0]], 2),
    // Depthwise.
    ([2, 5, 9, 7, 5], [3, 3], [1, 1], [1, 1], [[1, 1], [1, 1]], 5),
    (
        [3, 17, 30, 23, 17],
        [3, 3],
        [2, 2],
        [1, 1],
        [[0, 1], [0, 1]],
        17,
    ),
    (
        [1, 3, 6, 11, 9],
        [2, 5],
        [1, 3],
        [2, 1],
        [[1, 0], [2, 4]],
        3,
    ),
    (
        [2, 66, 3, 2, 66],
        [5, 5],
        [1, 1],
        [1, 1],
        [[2, 2], [2, 2]],
        66,
    ),
    ([4, 2, 1, 1, 2], [1, 1], [1, 1], [1, 1], [[0, 0], [0, 0]], 2),
    (
        [9, 6, 40, 31, 12],
        [3, 1],
        [1, 1],
        [1, 1],
        [[1, 1], [0, 0]],
        6,
    ),
];

pub fn cases() -> Vec<Case> {
    let square = SHAPES.iter().map(|&[n, c, h, w, k, filter, stride, pad]| {
        ([n, c, h, w, k], Conv2d::new(filter, stride, pad))
    });
    let general = GENERAL
        .iter()
        .map(|&(dims, filter, stride, dilation, pad, groups)| {
            let conv = Conv2d::rectangular(filter, stride)
                .and_then(|conv| conv.with_dilation(dilation))
                .and_then(|conv| conv.with_paddings(pad))
                .and_then(|conv| conv.with_groups(groups));
            (dims, conv)
        });
    let all = square.chain(general);
    all.flat_map(|(dims, conv)| of(dims, conv.expect("valid")))
        .chain(ROWS.iter().map(|&(dims, maps)| in_a_row(dims, maps)))
        .collect()
}

/// A 3x3 convolution of `[n, c, h, w]` and 1x1 ones behind it, and how many maps each makes. Where these fill panels of 8, 16 or 32
/// rows, one may take the product of another as it is; in between nothing is kept.
const ROWS: &[([usize; 4], &[usize])] = &[
    ([1, 3, 9, 7], &[32, 64, 32]),
    ([2, 5, 13, 11], &[96, 32, 10, 8, 5]),
    ([3, 2, 5, 6], &[16, 48, 33, 64, 7]),
];

fn in_a_row([n, c, h, w]: [usize; 4], maps: &[usize]) -> Case {
    let mut case = CaseBuilder::new();
    let mut x = case.random(&[n, c, h, w]);
    let mut channels = c;
    for (i, &k) in maps.iter().enumerate() {
        let side = if i == 0 { 3 } else { 1 };
        // With and without a bias and a ReLU.
        let conv = Conv2d::new(side, 1, side / 2).expect("valid");
        let conv = if i % 2 == 0 { conv.with_relu() } else { conv };
        let filters = case.random(&[k, channels, side, side]);
        let mut inputs = vec![x, filters];
        let conv = if i % 3 == 2 {
            conv.without_bias()
        } else {
            inputs.push(case.random(&[k]));
            conv
        };
        channels = k;
        if i + 1 == maps.len() {
            case.op(conv, &inputs, &[]);
        } else {
            x = case.hidden(conv, &inputs);
        }
    }
    case.case(format!("1x1 in a row {n}x{c}x{h}x{w} {maps:?}"))
}

/// Every direction and fusion of one convolution.
fn of([n, c, h, w, k]: [usize; 5], conv: Conv2d) -> Vec<Case> {
    let mut cases = Vec::new();
    let g = conv.geometry(super::shape(&[n, c, h, w]), k).expect("fits");
    let (x, y) = ([n, c, h, w], [n, k, g.p, g.q]);
    let f = conv.filters(c, k).expect("divide");
    let f = f.dims();
    let name = |what: &str| format!("{what} {g}");

    for (conv, what) in [(conv, "conv2d"), (conv.with_relu(), "conv2d + relu")] {
        let mut case = CaseBuilder::new();
        let inputs = [case.random(&x), case.random(f), case.random(&[k])];
        case.op(conv, &inputs, &[]);
        cases.push(case.case(name(what)));
    }

    let bare = conv.without_bias();
    let mut case = CaseBuilder::new();
    let inputs = [case.random(&x), case.random(f)];
    case.op(bare.with_relu(), &inputs, &[]);
    cases.push(case.case(name("conv2d + relu, no bias")));
    let mut case = CaseBuilder::new();
    let inputs = [case.random(&x), case.random(&y)];
    case.op(Conv2dWgrad::new(bare), &inputs, &[]);
    cases.push(case.case(name("wgrad, no bias")));

    let dgrad = Conv2dDgrad::new(conv, h, w);
    let mut case = CaseBuilder::new();
    let inputs = [case.random(&y), case.random(f)];
    case.op(dgrad, &inputs, &[]);
    cases.push(case.case(name("dgrad")));
    let mut case = CaseBuilder::new();
    let inputs = [case.random(&y), case.random(f), case.random(&x)];
    case.op(dgrad.with_mask(), &inputs, &[]);
    cases.push(case.case(name("dgrad + mask")));

    let mut case = CaseBuilder::new();
    let inputs = [case.random(&x), case.random(&y)];
    case.op(Conv2dWgrad::new(conv), &inputs, &[]);
    cases.push(case.case(name("wgrad")));

    // Both read dy, and the mask is the input: some kernels are both.
    let mut case = CaseBuilder::new();
    let [x, dy, w] = [case.random(&x), case.random(&y), case.random(f)];
    case.op(Conv2dWgrad::new(conv), &[x, dy], &[]);
    case.op(dgrad.with_mask(), &[dy, w, x], &[]);
    cases.push(case.case(name("wgrad and dgrad")));
    cases
}
