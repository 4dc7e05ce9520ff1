//! Meaning of [`crate::ops::MaxPool2d`] and its gradient.

use std::ops::Range;

use rayon::prelude::*;

use super::{Real, vectorized};
use crate::ops::PoolGeometry;

/// Where nobody wants to know which element was the greatest, `argmax` is empty.
pub(crate) fn forward<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let pixels = g.p * g.q;
    if argmax.is_empty() {
        let maps = y.par_chunks_mut(pixels).zip(x.par_chunks(g.h * g.w));
        return maps.for_each(|(y, map)| {
            vectorized(
                #[inline(always)]
                || values_of_map(g, map, y),
            )
        });
    }
    let outputs = y.par_chunks_mut(pixels).zip(argmax.par_chunks_mut(pixels));
    outputs
        .zip(x.par_chunks(g.h * g.w))
        .for_each(|((y, argmax), map)| {
            vectorized(
                #[inline(always)]
                || forward_map(g, map, y, argmax),
            )
        });
}

/// A map, row by row of outputs and element by element of the window, so that the innermost loop has no bounds to find.
#[inline(always)]
fn forward_map<T: Real>(g: &PoolGeometry, map: &[T], y: &mut [T], argmax: &mut [u32]) {
    let stride = g.stride[1];
    let firsts: Vec<usize> = (0..g.q).filter_map(|q| g.places(1, q).next()).collect();
    for (p, (y, argmax)) in y.chunks_mut(g.q).zip(argmax.chunks_mut(g.q)).enumerate() {
        for (i, h) in g.places(0, p).enumerate() {
            let row = &map[h * g.w..(h + 1) * g.w];
            if i == 0 {
                // The first place is taken whatever is there.
                for ((y, argmax), &w) in y.iter_mut().zip(&mut *argmax).zip(&firsts) {
                    (*y, *argmax) = (row[w], (h * g.w + w) as u32);
                }
            }
            for (outputs, w) in columns(g) {
                let len = outputs.len();
                let best = (&mut y[outputs.clone()], &mut argmax[outputs]);
                let (row, at) = (&row[w..], (h * g.w + w) as u32);
                match stride {
                    1 => take_better(best, row.iter(), at, 1),
                    2 => {
                        // Pairs, which a compiler makes vectors of; the last output may have but half a one.
                        let (pairs, rest) = row.as_chunks::<2>();
                        let len = pairs.len().min(len);
                        let (y, y_rest) = best.0.split_at_mut(len);
                        let (argmax, argmax_rest) = best.1.split_at_mut(len);
                        take_better((y, argmax), pairs.iter().map(|[a, _]| a), at, 2);
                        let at = at + 2 * len as u32;
                        take_better((y_rest, argmax_rest), rest.iter(), at, 2);
                    }
                    _ => take_better(best, row.iter().step_by(stride), at, stride as u32),
                }
            }
        }
    }
}

/// For each column of the window, the outputs of a row that see it on the map, `0 <= q * stride + s - pad < w`, and where the first
/// of these does.
#[inline(always)]
fn columns(g: &PoolGeometry) -> impl Iterator<Item = (Range<usize>, usize)> {
    let [stride, pad, dilation] = [g.stride[1], g.pad[1], g.dilation[1]];
    let (w, q) = (g.w, g.q);
    (0..g.window[1]).filter_map(move |s| {
        let s = s * dilation;
        let low = pad.saturating_sub(s).div_ceil(stride);
        let high = (w + pad).saturating_sub(s).div_ceil(stride).min(q);
        (low < high).then(|| (low..high, low * stride + s - pad))
    })
}

/// Of each output and its value, the greater; values lie `stride` from each other in the map, from `at` on.
#[inline(always)]
fn take_better<'a, T: Real>(
    (y, argmax): (&mut [T], &mut [u32]),
    values: impl Iterator<Item = &'a T>,
    at: u32,
    stride: u32,
) {
    let best = y.iter_mut().zip(argmax).zip(values);
    for (j, ((y, argmax), &value)) in (0..).zip(best) {
        // Strictly greater: ties go to the first. Not-a-number passes through, as in PyTorch.
        #[expect(clippy::eq_op, reason = "not-a-number alone is not itself")]
        let is_better = (value > *y) | (value != value);
        *y = if is_better { value } else { *y };
        *argmax = if is_better { at + j * stride } else { *argmax };
    }
}

/// The greatest elements alone: of the rows of a window first, which are whole vectors, then of what is left of its columns.
#[inline(always)]
fn values_of_map<T: Real>(g: &PoolGeometry, map: &[T], y: &mut [T]) {
    let mut best = vec![T::default(); g.w];
    for (p, y) in y.chunks_mut(g.q).enumerate() {
        for (i, h) in g.places(0, p).enumerate() {
            let row = &map[h * g.w..(h + 1) * g.w];
            match i {
                0 => best.copy_from_slice(row),
                _ => {
                    let pairs = best.iter_mut().zip(row);
                    pairs.for_each(|(best, &value)| *best = greater(*best, value));
                }
            }
        }
        y.fill(T::from_f64(f64::NEG_INFINITY));
        for (outputs, w) in columns(g) {
            let values = best[w..].iter().step_by(g.stride[1]);
            let pairs = y[outputs].iter_mut().zip(values);
            pairs.for_each(|(y, &value)| *y = greater(*y, value));
        }
    }
}

/// The greater, or not-a-number if one of them is.
#[inline(always)]
fn greater<T: Real>(a: T, b: T) -> T {
    #[expect(clippy::eq_op, reason = "not-a-number alone is not itself")]
    let is_better = (b > a) | (b != b);
    if is_better { b } else { a }
}

pub(crate) fn backward<T: Real>(
    g: &PoolGeometry,
    dy: &[T],
    argmax: &[u32],
    mask: Option<&[T]>,
    dx: &mut [T],
) {
    let pixels = g.p * g.q;
    let gradients = dy.par_chunks(pixels).zip(argmax.par_chunks(pixels));
    dx.par_chunks_mut(g.h * g.w)
        .zip(gradients)
        .for_each(|(map, (dy, argmax))| {
            map.fill(T::default());
            for (&dy, &at) in dy.iter().zip(argmax) {
                map[at as usize] += dy;
            }
        });
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::shape::Shape;
    use crate::ops::Pool2d;

    #[test]
    fn values_are_the_same_whether_their_places_are_wanted_or_not() {
        let pools = [
            Pool2d::new(3, 2),
            Pool2d::new(2, 1),
            Pool2d::new(5, 4),
            Pool2d::new(3, 2).and_then(|pool| pool.with_padding([1, 1])),
            Pool2d::new(3, 1).and_then(|pool| pool.with_dilation([2, 3])),
        ];
        for pool in pools {
            let pool = pool.expect("valid");
            for (h, w) in [(9, 7), (13, 16), (7, 31)] {
                let shape = Shape::new(&[2, 3, h, w]).expect("valid");
                let g = pool.geometry(shape).expect("fits");
                let mut x: Vec<f32> = (0..shape.len())
                    .map(|i| (i * 7919 % 101) as f32 - 50.0)
                    .collect();
                (x[3], x[40], x[70]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
                let len = 6 * g.p * g.q;
                let (mut with, mut without) = (vec![0.0; len], vec![1.0; len]);
                forward(&g, &x, &mut with, &mut vec![0; len]);
                forward(&g, &x, &mut without, &mut []);
                let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&with), bits(&without), "{g:?}");
            }
        }
    }
}
