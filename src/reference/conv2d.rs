//! Meaning of the convolutions of [`crate::ops::Conv2d`], in plain loops.

use super::Real;
use crate::ops::Geometry;

/// Calls `visit(input, output, filter)` with the flat indices of every product of one convolution of image `n`, output
/// channel `k`, input channel `c`.
fn products(
    g: &Geometry,
    n: usize,
    k: usize,
    c: usize,
    mut visit: impl FnMut(usize, usize, usize),
) {
    for p in 0..g.p {
        for q in 0..g.q {
            for r in 0..g.r {
                let Some(h) = (p * g.stride + r).checked_sub(g.pad).filter(|&h| h < g.h) else {
                    continue;
                };
                for s in 0..g.r {
                    let Some(w) = (q * g.stride + s).checked_sub(g.pad).filter(|&w| w < g.w) else {
                        continue;
                    };
                    visit(
                        ((n * g.c + c) * g.h + h) * g.w + w,
                        ((n * g.k + k) * g.p + p) * g.q + q,
                        ((k * g.c + c) * g.r + r) * g.r + s,
                    );
                }
            }
        }
    }
}

/// Calls `body(n, k, c)` for every image, output channel and input channel.
fn channels(g: &Geometry, mut body: impl FnMut(usize, usize, usize)) {
    for n in 0..g.n {
        for k in 0..g.k {
            for c in 0..g.c {
                body(n, k, c);
            }
        }
    }
}

pub(crate) fn forward<T: Real>(
    g: &Geometry,
    relu: bool,
    x: &[T],
    w: &[T],
    b: Option<&[T]>,
    y: &mut [T],
) {
    for (i, map) in y.chunks_mut(g.pixels()).enumerate() {
        map.fill(b.map_or(T::default(), |b| b[i % g.k]));
    }
    channels(g, |n, k, c| {
        products(g, n, k, c, |from, to, filter| y[to] += x[from] * w[filter])
    });
    if relu {
        for y in y {
            if *y < T::default() {
                *y = T::default();
            }
        }
    }
}

pub(crate) fn dgrad<T: Real>(g: &Geometry, dy: &[T], w: &[T], mask: Option<&[T]>, dx: &mut [T]) {
    dx.fill(T::default());
    channels(g, |n, k, c| {
        products(g, n, k, c, |to, from, filter| {
            dx[to] += dy[from] * w[filter]
        })
    });
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
}

pub(crate) fn wgrad<T: Real>(g: &Geometry, x: &[T], dy: &[T], dw: &mut [T], db: Option<&mut [T]>) {
    dw.fill(T::default());
    channels(g, |n, k, c| {
        products(g, n, k, c, |a, b, to| dw[to] += x[a] * dy[b])
    });
    let Some(db) = db else { return };
    db.fill(T::default());
    for (i, map) in dy.chunks(g.pixels()).enumerate() {
        db[i % g.k] += map.iter().copied().sum::<T>();
    }
}
