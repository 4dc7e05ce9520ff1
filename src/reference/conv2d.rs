//! Meaning of the convolutions of [`crate::ops::Conv2d`], in plain loops.

use super::sum::sum;
use super::{Convolving, Need, Real};
use crate::graph::{Graph, Node};
use crate::ops::Geometry;

/// Calls `visit(input, output, filter)` with the flat indices of every product of one convolution of image `n`, output
/// channel `k`, input channel `c` of its group.
fn products(
    g: &Geometry,
    n: usize,
    k: usize,
    c: usize,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let of_group = g.of_group();
    let channel = k / of_group.k * of_group.c + c;
    // The row or column that an output reads through a filter's, if that is on the map.
    let place = |axis: usize, out: usize, tap: usize, size: usize| {
        let at = out * g.stride[axis] + tap * g.dilation[axis];
        at.checked_sub(g.pad[axis][0]).filter(|&at| at < size)
    };
    for p in 0..g.p {
        for q in 0..g.q {
            for r in 0..g.r {
                let Some(h) = place(0, p, r, g.h) else {
                    continue;
                };
                for s in 0..g.s {
                    let Some(w) = place(1, q, s, g.w) else {
                        continue;
                    };
                    visit(
                        ((n * g.c + channel) * g.h + h) * g.w + w,
                        ((n * g.k + k) * g.p + p) * g.q + q,
                        ((k * of_group.c + c) * g.r + r) * g.s + s,
                    );
                }
            }
        }
    }
}

/// Calls `body(n, k, c)` for every image, output channel and input channel of its group.
fn channels(g: &Geometry, mut body: impl FnMut(usize, usize, usize)) {
    for n in 0..g.n {
        for k in 0..g.k {
            for c in 0..g.c / g.groups {
                body(n, k, c);
            }
        }
    }
}

pub(crate) fn forward<T: Real>(
    g: &Geometry,
    _: &mut Convolving<T>,
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

pub(crate) fn dgrad<T: Real>(
    g: &Geometry,
    _: &Convolving<T>,
    dy: &[T],
    w: &[T],
    mask: Option<&[T]>,
    dx: &mut [T],
) {
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

pub(crate) fn wgrad<T: Real>(
    g: &Geometry,
    _: &Convolving<T>,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
    db: Option<&mut [T]>,
) {
    dw.fill(T::default());
    channels(g, |n, k, c| {
        products(g, n, k, c, |a, b, to| dw[to] += x[a] * dy[b])
    });
    let Some(db) = db else { return };
    db.fill(T::default());
    for (i, map) in dy.chunks(g.pixels()).enumerate() {
        db[i % g.k] += sum(map);
    }
}

/// Plain loops work in their operands alone.
pub(crate) fn need<T: Real>(_: &Graph, _: &Node, _: &Convolving<T>) -> Need {
    Need::default()
}
