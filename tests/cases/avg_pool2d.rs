//! Average pooling: windows that overlap, leave a rest or cover it, are padded, dilated, and are not square.

use super::{Case, CaseBuilder, shape};
use nin_wgpu::ops::{AvgPool2d, AvgPool2dBackward, Pool2d};

/// `[n, c, h, w]`, window, stride, padding, dilation.
type Pooled = (
    [usize; 4],
    [usize; 2],
    [usize; 2],
    [[usize; 2]; 2],
    [usize; 2],
);

const SHAPES: &[Pooled] = &[
    ([1, 1, 1, 1], [1, 1], [1, 1], [[0, 0], [0, 0]], [1, 1]),
    ([2, 3, 8, 11], [3, 3], [2, 2], [[1, 1], [1, 1]], [1, 1]),
    ([1, 5, 9, 7], [2, 3], [2, 1], [[1, 1], [0, 0]], [1, 1]),
    ([2, 2, 7, 7], [3, 5], [3, 4], [[0, 0], [2, 2]], [1, 1]),
    ([1, 4, 10, 10], [2, 2], [3, 3], [[0, 0], [0, 0]], [1, 1]),
    ([3, 1, 6, 5], [6, 5], [1, 1], [[0, 0], [0, 0]], [1, 1]),
    ([1, 2, 13, 17], [4, 2], [5, 2], [[2, 2], [1, 1]], [1, 1]),
    ([2, 3, 9, 8], [3, 4], [2, 1], [[2, 0], [0, 3]], [1, 1]),
    ([1, 2, 11, 10], [3, 2], [2, 3], [[1, 2], [1, 0]], [2, 3]),
    ([2, 1, 7, 12], [2, 4], [3, 1], [[0, 1], [3, 2]], [4, 2]),
    ([1, 2, 13, 12], [3, 3], [2, 1], [[1, 1], [1, 1]], [3, 3]),
    // Sums in blocks, whose strides are the dilations: apart in both directions.
    ([1, 1, 141, 5], [70, 2], [1, 1], [[0, 0], [0, 0]], [2, 1]),
    ([1, 1, 5, 141], [2, 70], [1, 1], [[0, 0], [0, 0]], [1, 2]),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(dims @ [n, c, h, w], window, stride, pad, dilation) in SHAPES {
        let kinds: [fn(AvgPool2d) -> AvgPool2d; 3] = [
            |op| op,
            AvgPool2d::without_padding_in_count,
            |op| op.with_divisor(-3).expect("valid"),
        ];
        for (ceil_mode, kind, masked) in [
            (false, 0, false),
            (false, 1, true),
            (true, 0, true),
            (true, 1, false),
            (true, 2, true),
        ] {
            let pool = Pool2d::rectangular(window, stride)
                .and_then(|pool| pool.with_dilation(dilation))
                .and_then(|pool| pool.with_paddings(pad))
                .expect("valid");
            let pool = if ceil_mode {
                pool.with_ceil_mode()
            } else {
                pool
            };
            let g = pool.geometry(shape(&dims)).expect("fits");
            let op = kinds[kind](AvgPool2d::new(pool));
            let mut case = CaseBuilder::new();
            let x = case.random(&dims);
            case.op(op, &[x], &[]);
            let dy = case.random(&[n, c, g.p, g.q]);
            let backward = AvgPool2dBackward::new(op, h, w);
            if masked {
                case.op(backward.with_mask(), &[dy, x], &[]);
            } else {
                case.op(backward, &[dy], &[]);
            }
            cases.push(case.case(format!("{op:?} {dims:?} masked {masked}")));
        }
    }
    cases
}
