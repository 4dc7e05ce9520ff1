//! Batches: enlarging, shrinking, keeping the size, channels, and indices past the end.

use super::{Case, CaseBuilder, integers};
use nin_wgpu::ops::{Augment, Gather, Normalize};

/// `[images, channels, h, w]` -> `[H, W]`.
const SHAPES: &[([usize; 4], [usize; 2])] = &[
    ([3, 1, 28, 28], [224, 224]),
    ([4, 1, 28, 28], [28, 28]),
    ([2, 3, 32, 30], [17, 45]),
    ([3, 4, 5, 7], [9, 3]),
    ([1, 1, 1, 1], [4, 4]),
];

/// `[images, channels, h, w]` -> `[H, W]`, pixels cropped, mirrored or not.
const AUGMENTED: [([usize; 4], [usize; 2], u32, bool); 4] = [
    ([4, 1, 28, 28], [28, 28], 3, true),
    ([2, 3, 32, 30], [32, 30], 4, false),
    ([3, 2, 7, 5], [20, 9], 0, true),
    ([3, 1, 28, 28], [56, 56], 27, true),
];

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for &(source, [h, w]) in SHAPES {
        let [m, c, sh, sw] = source;
        let mut case = CaseBuilder::new();
        let bytes = integers(m * c * sh * sw, 256, 1)
            .iter()
            .map(|&x| x as u8)
            .collect();
        let images = case.input_u8(&source, bytes);
        let labels = case.input_u32(&[m], integers(m, 10, 2));
        let last = m as u32 - 1;
        let indices = case.input_u32(&[4], vec![last, 0, m as u32, u32::MAX]);
        let normalize = Normalize {
            mean: [0.3, 0.2, 0.1, 0.5],
            std: [0.35, 0.5, 2.0, 1.0],
        };
        case.op(
            Gather::new(h, w, normalize),
            &[images, labels, indices],
            &[],
        );
        cases.push(case.case(format!("gather {source:?} -> {h}x{w}")));
    }
    for (source, [h, w], crop, flip) in AUGMENTED {
        let [m, c, sh, sw] = source;
        let mut case = CaseBuilder::new();
        let bytes = integers(m * c * sh * sw, 256, 1)
            .iter()
            .map(|&x| x as u8)
            .collect();
        let images = case.input_u8(&source, bytes);
        let labels = case.input_u32(&[m], integers(m, 10, 2));
        let indices = case.input_u32(&[9], (0..9).map(|i| i % (m as u32 + 1)).collect());
        let random = case.input_u32(&[2], vec![7, 3]);
        let augment = Augment { crop, flip };
        case.op(
            Gather::new(h, w, Normalize::default()).with_augment(augment),
            &[images, labels, indices, random],
            &[],
        );
        cases.push(case.case(format!(
            "gather {source:?} -> {h}x{w}, crop {crop}, flip {flip}"
        )));
    }
    cases
}
