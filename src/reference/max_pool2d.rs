//! Meaning of [`crate::ops::MaxPool2d`] and its gradient.

use rayon::prelude::*;

use super::{Real, vectorized};
use crate::ops::PoolGeometry;

pub(crate) fn forward<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let pixels = g.p * g.q;
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
    let [stride, pad] = [g.stride[1], g.pad[1]];
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
            for s in (0..g.window[1]).map(|s| s * g.dilation[1]) {
                // Outputs whose element is on the map: 0 <= q * stride + s - pad < w.
                let low = pad.saturating_sub(s).div_ceil(stride);
                let high = (g.w + pad).saturating_sub(s).div_ceil(stride).min(g.q);
                if low >= high {
                    continue;
                }
                let w = low * stride + s - pad;
                let best = (&mut y[low..high], &mut argmax[low..high]);
                let (row, at) = (&row[w..], (h * g.w + w) as u32);
                match stride {
                    1 => take_better(best, row.iter(), at, 1),
                    2 => {
                        // Pairs, which a compiler makes vectors of; the last output may have but half a one.
                        let (pairs, rest) = row.as_chunks::<2>();
                        let len = pairs.len().min(high - low);
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
