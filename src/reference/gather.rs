//! Meaning of [`crate::ops::Gather`].

use rayon::prelude::*;

use super::Real;
use crate::graph::rng::pcg4d;
use crate::ops::{Augment, CropBox, IGNORE, Normalize};

/// The data set `[M,C,h,w]`, and the size `[H,W]` and normalisation of the batch's images.
pub(crate) struct Geometry {
    pub(crate) source: [usize; 4],
    pub(crate) size: [usize; 2],
    pub(crate) normalize: Normalize,
}

/// Where the pixels of an augmented image come from.
#[derive(Clone, Copy)]
pub(crate) enum Change {
    /// From the whole image, moved.
    Shift(Shift),
    /// From a part of it, mirrored behind the scaling or not.
    Part(CropBox, bool),
}

#[derive(Clone, Copy, Default)]
pub(crate) struct Shift {
    down: isize,
    right: isize,
    mirrored: bool,
}

impl Shift {
    /// The byte of `map [h,w]` at `(y, x)`, 0 outside.
    fn pixel(self, map: &[u8], [h, w]: [usize; 2], y: usize, x: usize) -> u8 {
        let x = if self.mirrored { w - 1 - x } else { x };
        let row = y.checked_add_signed(self.down).filter(|&row| row < h);
        let column = x
            .checked_add_signed(self.right)
            .filter(|&column| column < w);
        match (row, column) {
            (Some(row), Some(column)) => map[row * w + column],
            _ => 0,
        }
    }
}

/// What becomes of each image of a batch; `random` holds seed, step and the place of the first image in its batch, `boxes [N,4]`
/// the part of each, if parts are taken.
pub(crate) fn changes(
    augment: Augment,
    random: Option<&[u32]>,
    boxes: Option<&[u32]>,
) -> impl Fn(usize) -> Change + Sync {
    let key = random.map(|random| (random[0], random[1], random[2]));
    move |n| {
        let Some((seed, step, first)) = key else {
            return Change::Shift(Shift::default());
        };
        let [down, right, mirror, _] = pcg4d([first + n as u32, u32::MAX, step, seed]);
        let mirrored = augment.flip && mirror >> 31 == 1;
        if let Some(boxes) = boxes {
            let [top, left, height, width] = [0, 1, 2, 3].map(|i| boxes[4 * n + i] as usize);
            let part = CropBox {
                top,
                left,
                height,
                width,
            };
            return Change::Part(part, mirrored);
        }
        let moved = |word: u32| (word % (2 * augment.crop + 1)) as isize - augment.crop as isize;
        Change::Shift(Shift {
            down: moved(down),
            right: moved(right),
            mirrored,
        })
    }
}

/// Two source positions along one axis and the weight of the second.
fn taps(at: usize, source: usize, size: usize) -> (usize, usize, f64) {
    let x = ((at as f64 + 0.5) * source as f64 / size as f64 - 0.5).max(0.0);
    let low = (x as usize).min(source - 1);
    (low, (low + 1).min(source - 1), x - low as f64)
}

/// The source pixels that pixel `at` of the `size` that `source` are scaled to has a part of, from the first on: a triangle around
/// its centre, as wide as two pixels of whichever are larger.
fn shares<T: Real>(at: usize, source: usize, size: usize) -> (usize, Vec<T>) {
    let scale = source as f64 / size as f64;
    let (centre, stretch) = ((at as f64 + 0.5) * scale, scale.max(1.0));
    let first = (centre - stretch - 0.5).floor().max(0.0) as usize;
    let end = ((centre + stretch + 0.5).ceil() as usize).min(source);
    let weights = (first..end).map(|i| {
        let distance = (i as f64 + 0.5 - centre).abs();
        (1.0 - distance / stretch).max(0.0)
    });
    let weights: Vec<f64> = weights.collect();
    let sum: f64 = weights.iter().sum();
    let shares = weights.iter().map(|weight| T::from_f64(weight / sum));
    (first, shares.collect())
}

/// Scales a part of the map `source [h,w]` to `map [H,W]`, as 0..1; what of it lies outside is left out.
fn part<T: Real>(geometry: &Geometry, part: CropBox, mirrored: bool, source: &[u8], map: &mut [T]) {
    let [_, _, src_h, src_w] = geometry.source;
    let [h, w] = geometry.size;
    let inside = |start: usize, len: usize, all: usize| {
        let start = start.min(all - 1);
        (start, len.clamp(1, all - start))
    };
    let (top, height) = inside(part.top, part.height, src_h);
    let (left, width) = inside(part.left, part.width, src_w);
    let across: Vec<_> = (0..w).map(|x| shares::<T>(x, width, w)).collect();
    for (y, row) in map.chunks_mut(w).enumerate() {
        let (first, down) = shares::<T>(y, height, h);
        for (x, to) in row.iter_mut().enumerate() {
            let x = if mirrored { w - 1 - x } else { x };
            let (column, across) = &across[x];
            let mut sum = T::default();
            for (p, &share) in down.iter().enumerate() {
                let line = &source[(top + first + p) * src_w + left + column..];
                let terms = line.iter().zip(across);
                let terms = terms.map(|(&byte, &share)| share * T::from_f64(byte.into()));
                sum += share * terms.sum();
            }
            *to = sum / T::from_f64(255.0);
        }
    }
}

/// Takes the whole map `source [h,w]`, moved, as it is; `values` are those of its bytes.
fn copy<T: Real>(
    geometry: &Geometry,
    shift: Shift,
    values: &[T; 256],
    source: &[u8],
    map: &mut [T],
) {
    let [_, _, h, w] = geometry.source;
    let is_still = !shift.mirrored && (shift.down, shift.right) == (0, 0);
    if is_still {
        let pairs = map.iter_mut().zip(source);
        return pairs.for_each(|(to, &byte)| *to = values[usize::from(byte)]);
    }
    for (y, row) in map.chunks_mut(w).enumerate() {
        for (x, to) in row.iter_mut().enumerate() {
            *to = values[usize::from(shift.pixel(source, [h, w], y, x))];
        }
    }
}

/// Scales the whole map `source [h,w]`, moved, to `map [H,W]`, as 0..1.
fn whole<T: Real>(geometry: &Geometry, shift: Shift, source: &[u8], map: &mut [T]) {
    let [_, _, src_h, src_w] = geometry.source;
    let [h, w] = geometry.size;
    let columns: Vec<_> = (0..w)
        .map(|x| {
            let (x0, x1, fx) = taps(x, src_w, w);
            (x0, x1, T::from_f64(fx))
        })
        .collect();
    // Of each source row, what all rows of the result between it and its neighbours take.
    let mut scaled = vec![T::default(); src_h * w];
    for (y, row) in scaled.chunks_mut(w).enumerate() {
        let value = |x: usize| {
            let byte = shift.pixel(source, [src_h, src_w], y, x);
            T::from_f64(f64::from(byte) / 255.0)
        };
        for (to, &(x0, x1, fx)) in row.iter_mut().zip(&columns) {
            *to = value(x0) + (value(x1) - value(x0)) * fx;
        }
    }
    for (y, row) in map.chunks_mut(w).enumerate() {
        let (y0, y1, fy) = taps(y, src_h, h);
        let fy = T::from_f64(fy);
        let [top, bottom] = [y0, y1].map(|y| &scaled[y * w..][..w]);
        for (x, to) in row.iter_mut().enumerate() {
            *to = top[x] + (bottom[x] - top[x]) * fy;
        }
    }
}

pub(crate) fn forward<T: Real>(
    geometry: &Geometry,
    change: impl Fn(usize) -> Change + Sync,
    images: &[u8],
    labels: &[u32],
    indices: &[u32],
    out: &mut [T],
    out_labels: &mut [u32],
) {
    let [len, c, src_h, src_w] = geometry.source;
    let [h, w] = geometry.size;
    let normalized = |channel: usize, value: T| {
        let [mean, std] = [geometry.normalize.mean, geometry.normalize.std];
        (value - T::from_f64(mean[channel].into())) / T::from_f64(std[channel].into())
    };
    // Of every byte in every channel.
    let values: Vec<[T; 256]> = (0..c)
        .map(|channel| {
            std::array::from_fn(|byte| normalized(channel, T::from_f64(byte as f64 / 255.0)))
        })
        .collect();
    let batch = out.par_chunks_mut(c * h * w).zip(indices).zip(out_labels);
    batch.enumerate().for_each(|(n, ((image, &index), label))| {
        let index = index as usize;
        if index >= len {
            image.fill(T::default());
            *label = IGNORE;
            return;
        }
        *label = labels[index];
        let change = change(n);
        for (channel, map) in image.chunks_mut(h * w).enumerate() {
            let source = &images[(index * c + channel) * src_h * src_w..][..src_h * src_w];
            match change {
                Change::Shift(shift) if [h, w] == [src_h, src_w] => {
                    copy(geometry, shift, &values[channel], source, map);
                    continue;
                }
                Change::Shift(shift) => whole(geometry, shift, source, map),
                Change::Part(of, mirrored) => part(geometry, of, mirrored, source, map),
            }
            map.iter_mut()
                .for_each(|value| *value = normalized(channel, *value));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an augmented image must be: a window of the padded, perhaps mirrored original.
    fn assert_windows(crop: usize, images: usize) {
        let original: Vec<u8> = (1..=20).collect(); // [1,4,5]
        let augment = Augment {
            crop: crop as u32,
            flip: true,
            ..Augment::NONE
        };
        let (mut out, mut labels) = (vec![0f64; images * 20], vec![0; images]);
        let geometry = Geometry {
            source: [1, 1, 4, 5],
            size: [4, 5],
            normalize: Normalize::default(),
        };
        let change = changes(augment, Some(&[1, 2, 0]), None);
        let indices = vec![0; images];
        forward(
            &geometry,
            change,
            &original,
            &[3],
            &indices,
            &mut out,
            &mut labels,
        );

        let mut seen = std::collections::HashMap::new();
        for image in out.chunks(20) {
            let image: Vec<u8> = image.iter().map(|x| (255.0 * x).round() as u8).collect();
            *seen.entry(image).or_insert(0) += 1;
        }
        let mut windows = Vec::new();
        let places = 2 * crop + 1;
        for mirrored in [false, true] {
            for (down, right) in (0..places * places).map(|i| (i / places, i % places)) {
                let mut padded = vec![vec![0u8; 5 + 2 * crop]; 4 + 2 * crop];
                for (i, &value) in original.iter().enumerate() {
                    let x = if mirrored { 4 - i % 5 } else { i % 5 };
                    padded[crop + i / 5][crop + x] = value;
                }
                let rows = padded[down..down + 4].iter();
                windows.push(
                    rows.flat_map(|row| row[right..right + 5].to_vec())
                        .collect(),
                );
            }
        }
        assert_eq!(seen.len(), windows.len(), "every window is drawn");
        assert!(
            windows
                .iter()
                .all(|window: &Vec<u8>| seen.contains_key(window))
        );
        let (most, each) = (seen.values().max(), images / windows.len());
        assert!(
            most < Some(&(3 * each)),
            "{each} of each are expected: {most:?}"
        );
    }

    #[test]
    fn an_augmented_image_is_a_window_of_its_padded_original() {
        assert_windows(2, 1000);
        assert_windows(3, 1960);
    }
}
