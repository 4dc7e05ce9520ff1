//! Meaning of [`crate::ops::MaxPool2d`] and its gradient.

use super::Real;
use crate::ops::PoolGeometry;

pub(crate) fn forward<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let maps = x.chunks(g.h * g.w);
    let outputs = y.chunks_mut(g.p * g.q).zip(argmax.chunks_mut(g.p * g.q));
    for (map, (y, argmax)) in maps.zip(outputs) {
        for p in 0..g.p {
            let rows =
                (p * g.stride).saturating_sub(g.pad)..(p * g.stride + g.window - g.pad).min(g.h);
            for q in 0..g.q {
                let columns = (q * g.stride).saturating_sub(g.pad)
                    ..(q * g.stride + g.window - g.pad).min(g.w);
                let mut best = rows.start * g.w + columns.start;
                for h in rows.clone() {
                    for w in columns.clone() {
                        // Strictly greater: ties go to the first.
                        if map[h * g.w + w] > map[best] {
                            best = h * g.w + w;
                        }
                    }
                }
                y[p * g.q + q] = map[best];
                argmax[p * g.q + q] = best as u32;
            }
        }
    }
}

pub(crate) fn backward<T: Real>(
    g: &PoolGeometry,
    dy: &[T],
    argmax: &[u32],
    mask: Option<&[T]>,
    dx: &mut [T],
) {
    let outputs = dy.chunks(g.p * g.q).zip(argmax.chunks(g.p * g.q));
    for (map, (dy, argmax)) in dx.chunks_mut(g.h * g.w).zip(outputs) {
        map.fill(T::default());
        for (&dy, &at) in dy.iter().zip(argmax) {
            map[at as usize] += dy;
        }
    }
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
}
