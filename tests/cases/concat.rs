//! Concatenation: parts of unlike and of one channel, one value twice, more parts than a kernel may bind buffers.

use super::{Case, CaseBuilder};
use nin_wgpu::ops::{Concat, ConcatBackward};

/// Batch, height and width, channels of each part.
const SHAPES: &[([usize; 3], &[usize])] = &[
    ([1, 1, 1], &[1, 1]),
    ([2, 5, 7], &[3, 1, 4]),
    ([3, 4, 4], &[2, 16]),
    ([2, 3, 2], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
    ([1, 1025, 1024], &[1, 3]),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &([n, h, w], channels) in SHAPES {
        let mut case = CaseBuilder::new();
        let part = |&c: &usize| case.random(&[n, c, h, w]);
        let parts: Vec<_> = channels.iter().map(part).collect();
        case.op(Concat::default(), &parts, &[]);
        case.op(Concat::default(), &[parts[1], parts[0], parts[1]], &[]);
        let dy = case.random(&[n, channels.iter().sum(), h, w]);
        let mut first = 0;
        for &channels in channels {
            case.op(ConcatBackward::new(first, channels), &[dy], &[]);
            first += channels;
        }
        cases.push(case.case(format!("concat {n}x{channels:?}x{h}x{w}")));
    }
    let mut case = CaseBuilder::new();
    let (a, b) = (case.random(&[4, 3]), case.random(&[4, 2]));
    let y = case.op(Concat::default(), &[a, b], &[])[0];
    case.op(ConcatBackward::new(1, 3), &[y], &[]);
    cases.push(case.case("concat 4x[3, 2]"));
    cases
}
