//! Meaning of [`crate::ops::MaxPool2d`] and its gradient.

use std::iter::StepBy;
use std::ops::Range;

use rayon::prelude::*;

use super::Real;
use crate::ops::PoolGeometry;

/// Input positions of the window at output `at`, along an axis of `size`.
fn window(g: &PoolGeometry, axis: usize, at: usize, size: usize) -> StepBy<Range<usize>> {
    let (start, pad, dilation) = (at * g.stride[axis], g.pad[axis], g.dilation[axis]);
    let first = start + pad.saturating_sub(start).next_multiple_of(dilation) - pad;
    let end = (start + g.extent[axis] - pad).min(size);
    (first..end).step_by(dilation)
}

pub(crate) fn forward<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let pixels = g.p * g.q;
    let outputs = y.par_chunks_mut(pixels).zip(argmax.par_chunks_mut(pixels));
    outputs
        .zip(x.par_chunks(g.h * g.w))
        .for_each(|((y, argmax), map)| {
            for (to, (y, argmax)) in y.iter_mut().zip(argmax).enumerate() {
                let columns = window(g, 1, to % g.q, g.w);
                let mut best = usize::MAX;
                for h in window(g, 0, to / g.q, g.h) {
                    for at in columns.clone().map(|w| h * g.w + w) {
                        // Strictly greater: ties go to the first. Not-a-number passes through, as in PyTorch.
                        let is_number = map[at].partial_cmp(&map[at]).is_some();
                        if best == usize::MAX || map[at] > map[best] || !is_number {
                            best = at;
                        }
                    }
                }
                (*y, *argmax) = (map[best], best as u32);
            }
        });
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
