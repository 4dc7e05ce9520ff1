//! wgrad: columns times transposed `dy`, in parts of the batch that are summed in order.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::blocks::blocks;
use super::columns::{im2col, is_pointwise};
use super::depthwise;
use super::kernel::{LANES, ROWS, columns, multiply, store, total};
use super::scratch::{Need, Scratch, whole};
use super::transpose::{head, sum_transposed, transpose};
use super::winograd;
use crate::ops::Geometry;
use crate::reference::sum::sum;
use crate::reference::{Convolving, vectorized};

/// Fewest pixels worth an accumulator of their own in [`wgrad`].
const PART: usize = 512;
/// Most accumulators of all groups together.
const PARTS: usize = 8;
/// Most pixels that are summed at once, and floats of `dy` that are: more would leave the cache.
const PIXELS: usize = 512;
const FLOATS: usize = 128 * 1024;
/// Pixels of a row that are packed at once: enough that they are fetched ahead, few enough that their panel stays near.
const STRETCH: usize = 8 * LANES;
/// Most rows of columns that exist at once.
const TERMS: usize = 512;

pub(crate) fn wgrad(
    g: &Geometry,
    how: &Convolving<f32>,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
    db: Option<&mut [f32]>,
) {
    if g.is_depthwise() {
        depthwise::wgrad(g, x, dy, dw);
    } else if let Some(method) = winograd::method(g, how) {
        winograd::wgrad(method, g, &how.scratch, x, dy, dw);
    } else {
        return by_columns(g, &how.scratch, [x, dy], dw, db.unwrap_or_default());
    }
    let Some(db) = db else { return };
    db.par_iter_mut().enumerate().for_each(|(k, db)| {
        let maps = dy.chunks(g.pixels()).skip(k).step_by(g.k);
        *db = maps.map(|map| f64::from(sum(map))).sum::<f64>() as f32;
    });
}

/// Gradients of filters and, if `db` is not empty, of the bias, of which each pixel is summed as it is packed.
fn by_columns(
    g: &Geometry,
    scratch: &Scratch,
    images: [&[f32]; 2],
    dw: &mut [f32],
    db: &mut [f32],
) {
    let filters = g.k / g.groups;
    let weights = filters * g.terms();
    let parts = Cut::new(g).parts;
    let mut sums = vec![0.0; if db.is_empty() { 0 } else { parts * g.k }];
    scratch.shared(parts * g.groups * weights, |to| {
        let groups = dw.par_chunks_mut(weights);
        let groups = groups.zip(to.par_chunks_mut(parts * weights)).enumerate();
        let sums = split(&mut sums, parts * filters, g.groups);
        groups.zip(sums).for_each(|((group, (dw, to)), sums)| {
            wgrad_group(g, group, scratch, images, (to, sums), dw);
        });
    });
    for (k, db) in db.iter_mut().enumerate() {
        let of_group = &sums[k / filters * parts * filters..][..parts * filters];
        let of_parts = of_group.iter().skip(k % filters).step_by(filters);
        *db = of_parts.sum::<f64>() as f32;
    }
}

/// The `count` slices of `len` each that `of` begins with; of an empty one, empty ones.
fn split(of: &mut [f64], len: usize, count: usize) -> Vec<&mut [f64]> {
    let mut slices: Vec<_> = of.chunks_mut(len).collect();
    slices.resize_with(count, Default::default);
    slices
}

/// What [`wgrad`] works in.
pub(super) fn need(g: &Geometry, how: &Convolving<f32>) -> Need {
    if g.is_depthwise() {
        Need::default()
    } else if let Some(method) = winograd::method(g, how) {
        winograd::wgrad_need(method, g)
    } else {
        let cut = Cut::new(g);
        Need {
            shared: cut.parts * g.k * g.terms(),
            each: cut.packed + cut.columns,
        }
    }
}

/// How the gradient of each group is cut.
struct Cut {
    /// Parts of the batch, each of which has sums of its own.
    parts: usize,
    /// Channels of a task.
    channels: usize,
    /// Most pixels that are summed at once.
    pixels: usize,
    /// Most rows of columns that exist at once; none if the maps are their columns.
    terms: usize,
    /// Floats of packed `dy`, and of columns.
    packed: usize,
    columns: usize,
}

impl Cut {
    fn new(all: &Geometry) -> Self {
        let g = &all.of_group();
        // Parts by the shape alone, so that sums are the same on any number of threads; what is left of those shares the channels.
        let parts = (g.n * g.pixels())
            .div_ceil(PART)
            .min(PARTS.div_ceil(all.groups));
        let threads = rayon::current_num_threads().div_ceil(all.groups);
        let channels = g.c.div_ceil(threads.div_ceil(parts));
        let len = (FLOATS / g.k).clamp(LANES, PIXELS);
        let pixels = g.pixels().div_ceil(g.pixels().div_ceil(len));
        let terms = match is_pointwise(g) {
            true => 0,
            false => (TERMS / g.window()).clamp(1, channels) * g.window(),
        };
        Self {
            parts,
            channels,
            pixels,
            terms,
            packed: whole(g.k.next_multiple_of(LANES) * pixels),
            columns: terms * pixels,
        }
    }
}

/// Filter gradient of one group, `dw [K/G,C/G,R,S]`, by those of its parts `[parts, C/G*R*S, K/G]`; and the sums of `dy`,
/// `[parts, K/G]`, unless there is no room for them.
fn wgrad_group(
    all: &Geometry,
    group: usize,
    scratch: &Scratch,
    [x, dy]: [&[f32]; 2],
    (partials, sums): (&mut [f32], &mut [f64]),
    dw: &mut [f32],
) {
    let (g, cut) = (&all.of_group(), &Cut::new(all));
    let (pixels, len) = (g.n * g.pixels(), g.terms() * g.k);
    let (parts, channels) = (cut.parts, cut.channels);
    let images = [(x, g.c * g.h * g.w), (dy, g.k * g.pixels())].map(|(of, len)| Images {
        maps: &of[group * len..],
        apart: all.groups * len,
    });
    let tasks = partials.par_chunks_mut(len).enumerate();
    let sums = split(sums, g.k, parts);
    tasks.zip(sums).for_each(|((part, to), sums)| {
        let range = pixels * part / parts..pixels * (part + 1) / parts;
        let tasks = to.par_chunks_mut(channels * g.window() * g.k).enumerate();
        // All of them pack the same `dy`: the first one sums it.
        let sums = split(sums, g.k, tasks.len());
        tasks.zip(sums).for_each(|((i, to), sums)| {
            scratch.each(cut.packed + cut.columns, |scratch| {
                let to = (to, sums);
                wgrad_channels(g, cut, scratch, images, range.clone(), i * channels, to);
            });
        });
    });
    sum_transposed(partials, g.terms(), g.k, dw);
}

/// The maps of one group, from those of the first image on, and the distance from image to image.
#[derive(Clone, Copy)]
struct Images<'a> {
    maps: &'a [f32],
    apart: usize,
}

/// Transposed filter gradient `to [channels*R*S, K]` from `range` of the batch's pixels, for the channels from `first`; what is summed
/// of `dy` is added to `sums [K]`, if there are any.
fn wgrad_channels(
    g: &Geometry,
    cut: &Cut,
    scratch: &mut [f32],
    [x, dy]: [Images<'_>; 2],
    range: Range<usize>,
    first: usize,
    (to, sums): (&mut [f32], &mut [f64]),
) {
    let (arch, map, window) = (Arch::new(), g.h * g.w, g.window());
    let (packed, columns) = scratch.split_at_mut(cut.packed);
    // Some channels' columns at once, unless the maps are their columns.
    let at_once = match cut.terms {
        0 => to.len(),
        terms => terms * g.k,
    };
    let mut accumulate = false;
    for (n, range) in blocks(g, range, cut.pixels) {
        arch.dispatch(Pack {
            rows: &dy.maps[n * dy.apart + range.start..],
            apart: g.pixels(),
            count: g.k,
            len: range.len(),
            to: packed,
            sums,
        });
        let mut maps = &x.maps[n * x.apart + first * map..];
        for to in to.chunks_mut(at_once) {
            let terms = to.len() / g.k;
            let mut multiply = |columns: &[f32], apart| {
                arch.dispatch(Product {
                    columns,
                    apart,
                    len: range.len(),
                    packed,
                    filters: g.k,
                    to,
                    accumulate,
                })
            };
            if cut.terms == 0 {
                multiply(&maps[range.start..], map);
            } else {
                let columns = &mut columns[..terms * range.len()];
                let each = columns
                    .chunks_mut(window * range.len())
                    .zip(maps.chunks(map));
                vectorized(
                    #[inline(always)]
                    || each.for_each(|(to, map)| im2col(g, map, &range, to, range.len())),
                );
                multiply(columns, range.len());
            }
            maps = &maps[terms / window * map..];
        }
        accumulate = true;
    }
}

/// Rows, so far `apart`, become panels of columns: `to [panels, len, width]`, the last panel as wide as there are vectors for it.
struct Pack<'a> {
    rows: &'a [f32],
    apart: usize,
    count: usize,
    len: usize,
    to: &'a mut [f32],
    /// To which the sum of each row is added, if there are any.
    sums: &'a mut [f64],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut to = self.to;
        for first in (0..self.count).step_by(columns::<S>()) {
            let count = columns::<S>().min(self.count - first);
            let width = count.next_multiple_of(S::F32_LANES);
            let (panel, rest) = to.split_at_mut(self.len * width);
            to = rest;
            for (i, panel) in panel.chunks_mut(STRETCH * width).enumerate() {
                let rows = &self.rows[first * self.apart + i * STRETCH..];
                transpose(
                    simd,
                    [count, panel.len() / width],
                    #[inline(always)]
                    |row, pixel| head(simd, &rows[row * self.apart + pixel..]),
                    #[inline(always)]
                    |pixel, row, vector| store::<S>(&mut panel[pixel * width + row..], vector),
                );
                let sums = self.sums.iter_mut().skip(first).take(count);
                for (row, sum) in sums.enumerate() {
                    let stretch = &rows[row * self.apart..][..panel.len() / width];
                    *sum += f64::from(total(simd, stretch));
                }
            }
        }
    }
}

/// `to [terms, filters]`, or what is added to it: rows of columns times packed rows.
struct Product<'a> {
    /// `[terms, len]`, rows so far apart.
    columns: &'a [f32],
    apart: usize,
    len: usize,
    packed: &'a [f32],
    filters: usize,
    to: &'a mut [f32],
    accumulate: bool,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (i, to) in self.to.chunks_mut(ROWS * self.filters).enumerate() {
            let last = to.len() / self.filters - 1;
            let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
            for (j, row) in rows.iter_mut().enumerate() {
                *row = &self.columns[(i * ROWS + j.min(last)) * self.apart..][..self.len];
            }
            let mut to: Vec<&mut [f32]> = to.chunks_mut(self.filters).collect();
            let mut b = self.packed;
            for first in (0..self.filters).step_by(columns::<S>()) {
                let at = first..self.filters.min(first + columns::<S>());
                let width = at.len().next_multiple_of(S::F32_LANES);
                multiply(simd, self.len, rows, b, &mut to, at, self.accumulate);
                b = &b[self.len * width..];
            }
        }
    }
}
