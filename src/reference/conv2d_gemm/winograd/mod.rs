//! Winograd's minimal filtering: a tile of outputs by fewer multiplications than its terms.
//!
//! Each tile of the input and each filter is transformed; then output tiles, transformed, are sums over channels of products
//! element by element: a product of matrices for each of the `N*N` elements, tiles by channels times channels by filters.
//!
//! Work goes by bands: some rows of tiles of one image, or of several where they are small, so that what a band's tiles
//! become stays near the core that made it.

mod bands;
mod correlate;
mod points;
mod product;
mod transform;

use crate::ops::Geometry;
use correlate::by;

/// What forward and dgrad have in common: `x [n,C,H,W]` to `y [n,K,P,Q]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Correlation {
    c: usize,
    k: usize,
    h: usize,
    w: usize,
    p: usize,
    q: usize,
    /// Padding above and on the left.
    before: [usize; 2],
}

impl Correlation {
    pub(super) fn forward(g: &Geometry) -> Self {
        let before = g.pad.map(|[before, _]| before);
        let Geometry { c, k, h, w, p, q, .. } = *g;
        Self { c, k, h, w, p, q, before }
    }

    /// The input's gradient is a correlation of that of the output, with filters turned round.
    pub(super) fn dgrad(g: &Geometry) -> Self {
        Self {
            c: g.k,
            k: g.c,
            h: g.p,
            w: g.q,
            p: g.h,
            q: g.w,
            before: [g.r - 1 - g.pad[0][0], g.s - 1 - g.pad[1][0]],
        }
    }
}

/// Filters where they lie: those of output `k` and channel `c` begin at `k * self.k + c * self.c`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Filters<'a> {
    w: &'a [f32],
    k: usize,
    c: usize,
    is_flipped: bool,
}

impl<'a> Filters<'a> {
    pub(super) fn forward(g: &Geometry, w: &'a [f32]) -> Self {
        let (k, c) = (g.terms(), g.window());
        Self { w, k, c, is_flipped: false }
    }

    pub(super) fn dgrad(g: &Geometry, w: &'a [f32]) -> Self {
        let (k, c) = (g.window(), g.terms());
        Self { w, k, c, is_flipped: true }
    }
}

/// Outputs of a tile along a side, and elements of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    F4x3,
    F2x5,
    F3x5,
}

/// The method for a convolution, if one pays.
pub(super) fn method(g: &Geometry) -> Option<Method> {
    let is_plain = g.groups == 1 && g.stride == [1; 2] && g.dilation == [1; 2] && g.r == g.s;
    let overlaps = g.pad.as_flattened().iter().all(|&pad| pad < g.r);
    if !is_plain || !overlaps || g.c < 16 || g.k < 16 {
        return None;
    }
    match g.r {
        3 => Some(Method::F4x3),
        5 => {
            let products = |m: usize, n: usize| g.p.div_ceil(m) * g.q.div_ceil(m) * n * n;
            let smaller = products(2, 6) < products(3, 7);
            Some(if smaller { Method::F2x5 } else { Method::F3x5 })
        }
        _ => None,
    }
}

/// `y` is `x` correlated with the filters. Then `finish(map, from, part)` sees each part of the maps, those of image `n` and
/// filter `k` being number `n * K + k`, from pixel `from` on.
pub(super) fn correlate(
    method: Method,
    g: Correlation,
    filters: Filters<'_>,
    x: &[f32],
    y: &mut [f32],
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    match method {
        Method::F4x3 => by::<4, 3, 6>(g, filters, x, y, finish),
        Method::F2x5 => by::<2, 5, 6>(g, filters, x, y, finish),
        Method::F3x5 => by::<3, 5, 7>(g, filters, x, y, finish),
    }
}

