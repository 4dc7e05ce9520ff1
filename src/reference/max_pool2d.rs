//! Meaning of [`crate::ops::MaxPool2d`] and its gradient.

use rayon::prelude::*;

use super::Real;
use crate::ops::PoolGeometry;

pub(crate) fn forward<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let pixels = g.p * g.q;
    let outputs = y.par_chunks_mut(pixels).zip(argmax.par_chunks_mut(pixels));
    outputs
        .zip(x.par_chunks(g.h * g.w))
        .for_each(|((y, argmax), map)| {
            for (to, (y, argmax)) in y.iter_mut().zip(argmax).enumerate() {
                let columns = g.places(1, to % g.q);
                let mut best = usize::MAX;
                for h in g.places(0, to / g.q) {
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
