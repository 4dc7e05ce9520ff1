//! Max pooling: windows that overlap, leave a rest or cover it, are padded, dilated, not square, and hold ties.

use super::{Case, CaseBuilder, floats, shape};
use nin_wgpu::ops::{MaxPool2d, MaxPool2dBackward, Pool2d};

/// `[n, c, h, w, window, stride, pad]`.
const SQUARE: &[[usize; 7]] = &[
    [1, 1, 3, 3, 3, 2, 0],
    [2, 3, 8, 11, 3, 2, 0],
    [1, 5, 9, 7, 2, 2, 0],
    [2, 2, 7, 7, 3, 1, 1],
    [1, 4, 10, 10, 2, 3, 0],
    [3, 1, 6, 5, 4, 3, 2],
    [1, 2, 5, 5, 1, 1, 0],
];

/// `[n, c, h, w]`, window, stride, padding above and on the left, dilation. Below and on the right there is one more or less.
type Pooled = ([usize; 4], [[usize; 2]; 4]);

const GENERAL: &[Pooled] = &[
    ([2, 3, 8, 11], [[3, 2], [2, 1], [1, 0], [1, 1]]),
    ([1, 5, 9, 7], [[1, 4], [3, 2], [0, 2], [1, 1]]),
    ([2, 2, 10, 9], [[3, 3], [2, 2], [1, 1], [2, 2]]),
    ([3, 1, 11, 13], [[2, 3], [1, 4], [1, 1], [4, 2]]),
    ([1, 2, 6, 5], [[2, 1], [5, 3], [0, 0], [1, 1]]),
];

fn pools() -> Vec<([usize; 4], Pool2d)> {
    let square = SQUARE.iter().map(|&[n, c, h, w, window, stride, pad]| {
        ([n, c, h, w], [[window; 2], [stride; 2], [pad; 2], [1; 2]])
    });
    let mut pools = Vec::new();
    for (dims, [window, stride, pad, dilation]) in square.chain(GENERAL.iter().copied()) {
        let pool = Pool2d::rectangular(window, stride)
            .and_then(|pool| pool.with_dilation(dilation))
            .and_then(|pool| pool.with_padding(pad))
            .expect("valid");
        pools.extend([(dims, pool), (dims, pool.with_ceil_mode())]);
        let sides = [0, 1].map(|axis| [pad[axis], (pad[axis] + 1).min(window[axis] - 1)]);
        let apart = pool.with_paddings(sides).expect("valid");
        let back = pool
            .with_paddings(sides.map(|[a, b]| [b, a]))
            .expect("valid");
        pools.extend([(dims, apart), (dims, back.with_ceil_mode())]);
    }
    pools
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for ([n, c, h, w], pool) in pools() {
        let g = pool.geometry(shape(&[n, c, h, w])).expect("fits");
        // Alone, its places are nobody's.
        let mut case = CaseBuilder::new();
        let x = case.random(&[n, c, h, w]);
        let y = case.hidden(MaxPool2d::new(pool), &[x]);
        let same = Pool2d::new(1, 1).expect("valid");
        case.op(MaxPool2d::new(same), &[y], &[]);
        cases.push(case.case(format!("{n}x{c}x{h}x{w} {pool:?} values")));
        for (masked, ties) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut case = CaseBuilder::new();
            let mut data = floats(n * c * h * w, 1);
            if ties {
                // Three levels: every window holds its maximum several times.
                data.iter_mut()
                    .for_each(|x| *x = x.signum().max(0.0) + (*x > 0.7) as u8 as f32);
            }
            let x = case.input(&[n, c, h, w], data);
            let argmax = case.op(MaxPool2d::new(pool), &[x], &[])[1];
            let dy = case.random(&[n, c, g.p, g.q]);
            let backward = MaxPool2dBackward::new(pool, h, w);
            if masked {
                case.op(backward.with_mask(), &[dy, argmax, x], &[]);
            } else {
                case.op(backward, &[dy, argmax], &[]);
            }
            cases.push(case.case(format!(
                "{n}x{c}x{h}x{w} {pool:?} masked {masked} ties {ties}"
            )));
        }
    }
    cases
}
