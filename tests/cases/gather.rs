//! Batches: enlarging, shrinking, keeping the size, channels, random parts, and indices past the end.

use super::{Case, CaseBuilder, integers};
use nin_wgpu::data::{Draw, resized_crop};
use nin_wgpu::ops::{Augment, Gather, Normalize};

/// `[images, channels, h, w]` -> `[H, W]`.
const SHAPES: &[([usize; 4], [usize; 2])] = &[
    ([3, 1, 28, 28], [224, 224]),
    ([4, 1, 28, 28], [28, 28]),
    ([2, 3, 32, 30], [17, 45]),
    ([3, 4, 5, 7], [9, 3]),
    // Another size one way alone.
    ([2, 1, 6, 9], [13, 9]),
    ([2, 1, 9, 6], [9, 13]),
    ([1, 1, 1, 1], [4, 4]),
];

/// `[images, channels, h, w]` -> `[H, W]`, pixels cropped, mirrored or not.
const AUGMENTED: [([usize; 4], [usize; 2], u32, bool); 4] = [
    ([4, 1, 28, 28], [28, 28], 3, true),
    ([2, 3, 32, 30], [32, 30], 4, false),
    ([3, 2, 7, 5], [20, 9], 0, true),
    ([3, 1, 28, 28], [56, 56], 27, true),
];

/// `[images, channels, h, w]` -> `[H, W]`, mirrored or not, parts in turn (top, left, height, width).
type Resized = ([usize; 4], [usize; 2], bool, &'static [[u32; 4]]);

const RESIZED: &[Resized] = &[
    // Whole, up, down, one pixel, a line and a column.
    (
        [3, 3, 31, 29],
        [17, 14],
        true,
        &[
            [0, 0, 31, 29],
            [4, 20, 9, 5],
            [1, 2, 30, 25],
            [30, 28, 1, 1],
            [7, 0, 1, 29],
            [0, 3, 31, 1],
        ],
    ),
    // Up one way and down the other.
    (
        [2, 1, 13, 50],
        [20, 7],
        false,
        &[[0, 0, 13, 50], [5, 11, 3, 39], [12, 49, 1, 1]],
    ),
    // Copied, as wide as wanted or as high.
    (
        [2, 4, 5, 7],
        [5, 7],
        true,
        &[[0, 0, 5, 7], [1, 0, 3, 7], [0, 2, 5, 4]],
    ),
    // Hundreds of pixels for one.
    (
        [1, 1, 301, 3],
        [2, 11],
        true,
        &[[0, 0, 301, 3], [17, 1, 283, 2]],
    ),
    // Nearly as many turns of the loops as a driver is trusted with.
    ([1, 1, 250, 250], [2, 2], false, &[[0, 0, 250, 250]]),
    // What sticks out is left out.
    (
        [2, 3, 9, 8],
        [6, 6],
        true,
        &[[4, 5, 90, 3], [9, 8, 2, 2], [3, 3, 0, 0], [u32::MAX; 4]],
    ),
    ([1, 1, 1, 1], [4, 4], false, &[[0, 0, 1, 1]]),
];

/// A case with this data set, these indices out of it and, for augmentation, a random state and parts.
fn case(
    name: String,
    gather: Gather,
    source: [usize; 4],
    indices: Vec<u32>,
    random: Option<[u32; 3]>,
    boxes: Option<Vec<u32>>,
) -> Case {
    let batch = indices.len();
    let mut case = CaseBuilder::new();
    let bytes = integers(source.iter().product(), 256, 1)
        .iter()
        .map(|&x| x as u8)
        .collect();
    let mut inputs = vec![
        case.input_u8(&source, bytes),
        case.input_u32(&[source[0]], integers(source[0], 10, 2)),
        case.input_u32(&[batch], indices),
    ];
    inputs.extend(random.map(|random| case.input_u32(&[3], random.to_vec())));
    inputs.extend(boxes.map(|boxes| case.input_u32(&[batch, 4], boxes)));
    case.op(gather, &inputs, &[]);
    case.case(name)
}

/// What image `n` of a [`case_of`] its own is drawn by.
pub fn draw(n: usize, augment: Augment) -> Draw {
    Draw {
        n: n as u32,
        step: 3,
        seed: 7,
        crop: augment.resized,
        flip: augment.flip,
    }
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
    let boxes = augment.resized.then(|| {
        let of = |n| {
            let part = resized_crop(source[2], source[3], draw(n, augment));
            [part.top, part.left, part.height, part.width].map(|side| side as u32)
        };
        (0..indices.len()).flat_map(of).collect()
    });
    let name = format!("gather {source:?} -> {h}x{w}, {augment:?}");
    case(name, gather, source, indices, random, boxes)
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
        case(
            name,
            Gather::new(h, w, normalize),
            source,
            indices,
            None,
            None,
        )
    });
    let augmented = AUGMENTED.iter().map(|&(source, [h, w], crop, flip)| {
        let indices = (0..9).map(|i| i % (source[0] as u32 + 1)).collect();
        let gather = Gather::new(h, w, normalize).with_augment(Augment {
            crop,
            flip,
            ..Augment::NONE
        });
        let name = format!("gather {source:?} -> {h}x{w}, crop {crop}, flip {flip}");
        case(name, gather, source, indices, Some([7, 3, 5]), None)
    });
    let resized = RESIZED.iter().map(|&(source, [h, w], flip, boxes)| {
        // Each part mirrored and not, if any are, and the index past the end among them.
        let indices: Vec<u32> = (0..9 + boxes.len() as u32)
            .map(|i| i % (source[0] as u32 + 1))
            .collect();
        let parts = boxes.iter().flatten().copied().cycle();
        let parts = parts.take(4 * indices.len()).collect();
        let gather = Gather::new(h, w, normalize).with_augment(Augment {
            crop: 999,
            flip,
            resized: true,
        });
        let name = format!("gather {source:?} -> {h}x{w}, resized, flip {flip}");
        case(name, gather, source, indices, Some([7, 3, 5]), Some(parts))
    });
    plain.chain(augmented).chain(resized).collect()
}
