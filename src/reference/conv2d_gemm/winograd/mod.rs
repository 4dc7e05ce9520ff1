//! Winograd's minimal filtering: a tile of outputs by fewer multiplications than its terms.
//!
//! Each tile of the input and each filter is transformed; then output tiles, transformed, are sums over channels of products
//! element by element: a product of matrices for each of the `N*N` elements, tiles by channels times channels by filters.
//!
//! Work goes by bands: some rows of tiles of one image, or of several where they are small, so that what a band's tiles
//! become stays near the core that made it.

mod bands;
mod correlate;
mod product;
mod transform;
mod wgrad;

use std::fmt;

use super::kernel::LANES;
use super::scratch::{Need, Scratch};
use crate::ops::Geometry;
use crate::ops::winograd::points;
use crate::reference::Convolving;
use transform::Maps;

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
        let Geometry {
            c, k, h, w, p, q, ..
        } = *g;
        Self {
            c,
            k,
            h,
            w,
            p,
            q,
            before,
        }
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

impl Correlation {
    fn input(&self) -> Maps {
        Maps {
            channels: self.c,
            size: [self.h, self.w],
            before: self.before,
        }
    }
}

/// Elements of a row that holds so many: whole vectors, and an odd number of lines of the cache, since rows a power of two
/// apart would share few sets of it.
fn padded(len: usize) -> usize {
    (len.div_ceil(LANES) | 1) * LANES
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
        Self {
            w,
            k,
            c,
            is_flipped: false,
        }
    }

    pub(super) fn dgrad(g: &Geometry, w: &'a [f32]) -> Self {
        let (k, c) = (g.window(), g.terms());
        Self {
            w,
            k,
            c,
            is_flipped: true,
        }
    }
}

/// Outputs of a tile along a side, and elements of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    F2x3,
    F4x3,
    F5x3,
    F2x5,
    F3x5,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [outputs, inputs] = self.sizes();
        write!(f, "F({outputs},{})", inputs + 1 - outputs)
    }
}

impl Method {
    /// Outputs of a tile along a side, and inputs.
    fn sizes(self) -> [usize; 2] {
        match self {
            Self::F2x3 => [2, 4],
            Self::F4x3 => [4, 6],
            Self::F5x3 => [5, 7],
            Self::F2x5 => [2, 6],
            Self::F3x5 => [3, 7],
        }
    }

    /// What it costs for each pair of channels, in multiply-adds.
    ///
    /// Besides a multiplication for each of a tile's elements, these are transformed, which costs as much as 12 for each
    /// channel on either side; and the elements of filters are written to memory and read again, as much as 46 (Zen 5,
    /// 265 GFLOP/s and about 10 GB/s a core).
    fn cost(self, g: &Geometry) -> f64 {
        let [outputs, inputs] = self.sizes();
        let tiles = (g.n * g.p.div_ceil(outputs) * g.q.div_ceil(outputs)) as f64;
        let transforms = 12.0 / g.k as f64 + 12.0 / g.c as f64;
        (inputs * inputs) as f64 * (tiles * (1.0 + transforms) + 46.0)
    }
}

/// What columns cost in the same measure: writing one is worth 32 multiply-adds.
fn direct_cost(g: &Geometry) -> f64 {
    (g.n * g.pixels() * g.window()) as f64 * (1.0 + 32.0 / g.k as f64)
}

/// The method that is fastest for a convolution, unless columns are. It depends on the shape alone.
///
/// Root of the mean square error of 96 channels' sums in `f32`, F(2,3), F(4,3), F(5,3), F(2,5) and F(3,5): 0.3e-6, 1.3e-6, 3.3e-6,
/// 1.7e-6 and 3.2e-6 of the values', where plain loops have 0.5e-6 to 0.9e-6; the largest is 1.3e-5 of the largest value, and the
/// op's tolerance is 1e-4.
pub(super) fn method(g: &Geometry, how: &Convolving<f32>) -> Option<Method> {
    let is_plain = g.groups == 1 && g.stride == [1; 2] && g.dilation == [1; 2] && g.r == g.s;
    // The input's gradient is padded by what the padding lacks of a filter.
    let overlaps = g.pad.as_flattened().iter().all(|&pad| pad < g.r);
    // Vectors are of channels.
    if how.precise || !is_plain || !overlaps || g.c.min(g.k) < 8 {
        return None;
    }
    let methods: &[Method] = match g.r {
        3 => &[Method::F2x3, Method::F4x3, Method::F5x3],
        5 => &[Method::F2x5, Method::F3x5],
        _ => &[],
    };
    let costs = methods.iter().map(|&method| (method, method.cost(g)));
    let (method, cost) = costs.min_by(|(_, a), (_, b)| a.total_cmp(b))?;
    (cost < direct_cost(g)).then_some(method)
}

/// Has a function be called with the sizes of a method: outputs of a tile along a side, elements of a filter, inputs.
macro_rules! by {
    ($method:expr, $function:path, $($arguments:expr),*) => {{
        use $function as by;
        match $method {
            Method::F2x3 => by::<2, 3, 4>($($arguments),*),
            Method::F4x3 => by::<4, 3, 6>($($arguments),*),
            Method::F5x3 => by::<5, 3, 7>($($arguments),*),
            Method::F2x5 => by::<2, 5, 6>($($arguments),*),
            Method::F3x5 => by::<3, 5, 7>($($arguments),*),
        }
    }};
}

/// `y` is `x` correlated with the filters. Then `finish(map, from, part)` sees each part of the maps, those of image `n` and
/// filter `k` being number `n * K + k`, from pixel `from` on. Transformed filters are taken from `kept`, or left there if it is empty.
pub(super) fn correlate(
    method: Method,
    g: Correlation,
    filters: Filters<'_>,
    kept: (Option<&mut Vec<f32>>, &Scratch),
    x: &[f32],
    y: &mut [f32],
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    by!(method, correlate::by, g, filters, kept, x, y, finish)
}

/// What [`correlate`] works in for so many images, with its transformed filters or without.
pub(super) fn need(method: Method, g: Correlation, images: usize, keeps: bool) -> Need {
    let filters = if keeps { 0 } else { filters(method, g) };
    let Need { shared, each } = by!(method, correlate::need, g, images);
    Need {
        shared: filters + shared,
        each,
    }
}

/// Floats of the transformed filters of [`correlate`].
pub(super) fn filters(method: Method, g: Correlation) -> usize {
    by!(method, correlate::filters, g)
}

/// `dw` of `x` and `dy`.
pub(super) fn wgrad(
    method: Method,
    g: &Geometry,
    scratch: &Scratch,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let of = Correlation::forward(g);
    by!(method, wgrad::by, of, scratch, x, dy, dw)
}

/// What [`wgrad`] works in.
pub(super) fn wgrad_need(method: Method, g: &Geometry) -> Need {
    let of = Correlation::forward(g);
    by!(method, wgrad::need, of, g.n)
}
