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

/// A case with this data set, these indices out of it and, for augmentation, a random state.
fn case(
    name: String,
    gather: Gather,
    source: [usize; 4],
    indices: Vec<u32>,
    random: Option<[u32; 3]>,
) -> Case {
    let mut case = CaseBuilder::new();
    let bytes = integers(source.iter().product(), 256, 1)
        .iter()
        .map(|&x| x as u8)
        .collect();
    let mut inputs = vec![
        case.input_u8(&source, bytes),
        case.input_u32(&[source[0]], integers(source[0], 10, 2)),
        case.input_u32(&[indices.len()], indices),
    ];
    inputs.extend(random.map(|random| case.input_u32(&[3], random.to_vec())));
    case.op(gather, &inputs, &[]);
    case.case(name)
}

/// A case of its own.
pub fn case_of(
    source: [usize; 4],
    [h, w]: [usize; 2],
    augment: Augment,
    indices: Vec<u32>,
) -> Case {
    let gather = Gather::new(h, w, Normalize::default()).with_augment(augment);
    let random = (augment != Augment::NONE).then_some([7, 3, 0]);
    let name = format!("gather {source:?} -> {h}x{w}, {augment:?}");
    case(name, gather, source, indices, random)
}

pub fn cases() -> Vec<Case> {
    let normalize = Normalize {
        mean: [0.3, 0.2, 0.1, 0.5],
        std: [0.35, 0.5, 2.0, 1.0],
    };
    let plain = SHAPES.iter().map(|&(source, [h, w])| {
        let m = source[0] as u32;
        let indices = vec![m - 1, 0, m, u32::MAX];
        let name = format!("gather {source:?} -> {h}x{w}");
        case(name, Gather::new(h, w, normalize), source, indices, None)
    });
    let augmented = AUGMENTED.iter().map(|&(source, [h, w], crop, flip)| {
        let indices = (0..9).map(|i| i % (source[0] as u32 + 1)).collect();
        let gather = Gather::new(h, w, normalize).with_augment(Augment { crop, flip });
        let name = format!("gather {source:?} -> {h}x{w}, crop {crop}, flip {flip}");
        case(name, gather, source, indices, Some([7, 3, 5]))
    });
    plain.chain(augmented).collect()
}
