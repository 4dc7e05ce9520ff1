//! Columns of a block of pixels (`im2col`), and their sum back into the maps (`col2im`).

use std::ops::Range;

use gemm_common::Parallelism;
use rayon::prelude::*;

use super::matrix::Matrix;
use super::scratch::{COLUMNS, with_scratch};
use crate::ops::Geometry;

/// Whether an image itself is the matrix of columns.
pub(super) fn is_pointwise(g: &Geometry) -> bool {
    g.window() == 1 && g.stride == [1; 2] && g.pad == [[0; 2]; 2]
}

/// Calls `visit(input, output, len)` for every run of `pixels` that the filter element `(r, s)`
/// takes from within the map: it begins at `input` in the map and at `output` in `pixels`.
pub(super) fn runs(
    g: &Geometry,
    (r, s): (usize, usize),
    pixels: &Range<usize>,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let [down, across] = g.stride;
    let [[above, _], [left, _]] = g.pad;
    let (r, s) = (r * g.dilation[0], s * g.dilation[1]);
    let low = left.saturating_sub(s).div_ceil(across);
    let high = (g.w + left).saturating_sub(s).div_ceil(across).min(g.q);
    for p in pixels.start / g.q..pixels.end.div_ceil(g.q) {
        let h = (p * down + r).wrapping_sub(above); // beyond the map too if above it
        let from = (p * g.q + low).max(pixels.start);
        let to = (p * g.q + high).min(pixels.end);
        if h < g.h && from < to {
            let w = (from - p * g.q) * across + s - left;
            visit(h * g.w + w, from - pixels.start, to - from);
        }
    }
}

/// Columns of one channel, `to [R*S, width]`, with zeros behind the last pixel.
#[inline(always)]
pub(super) fn im2col(
    g: &Geometry,
    map: &[f32],
    pixels: &Range<usize>,
    to: &mut [f32],
    width: usize,
) {
    if is_pointwise(g) {
        let (to, rest) = to.split_at_mut(pixels.len());
        to.copy_from_slice(&map[pixels.clone()]);
        return rest.fill(0.0);
    }
    for (i, row) in to.chunks_mut(width).enumerate() {
        row.fill(0.0);
        runs(g, (i / g.s, i % g.s), pixels, |from, to, len| {
            let to = &mut row[to..to + len];
            if g.stride[1] == 1 {
                to.copy_from_slice(&map[from..from + len]);
            } else {
                let from = map[from..].iter().step_by(g.stride[1]);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        });
    }
}

/// Lends the columns of some channels of one image: of each map in `x`, for `pixels`.
pub(super) fn with_columns(
    g: &Geometry,
    x: &[f32],
    pixels: &Range<usize>,
    threads: Parallelism,
    body: impl FnOnce(Matrix<'_>),
) {
    if is_pointwise(g) {
        return body(Matrix(&x[pixels.start..], g.pixels(), 1));
    }
    let (channels, rows) = (x.len() / (g.h * g.w), g.window());
    let alone = matches!(threads, Parallelism::None);
    with_scratch(&COLUMNS, channels * rows * pixels.len(), |columns| {
        columns
            .par_chunks_mut(rows * pixels.len())
            .zip(x.par_chunks(g.h * g.w))
            .with_min_len(if alone { channels } else { 1 })
            .for_each(|(to, map)| im2col(g, map, pixels, to, pixels.len()));
        body(Matrix(columns, pixels.len(), 1));
    });
}

/// Adds the columns of one channel, `from [R*S, pixels]`, to `map`.
pub(super) fn col2im(g: &Geometry, from: &[f32], pixels: &Range<usize>, map: &mut [f32]) {
    for (i, row) in from.chunks(pixels.len()).enumerate() {
        runs(g, (i / g.s, i % g.s), pixels, |to, from, len| {
            let from = &row[from..from + len];
            if g.stride[1] == 1 {
                let to = map[to..to + len].iter_mut();
                to.zip(from).for_each(|(to, &from)| *to += from);
            } else {
                let to = map[to..].iter_mut().step_by(g.stride[1]);
                to.zip(from).for_each(|(to, &from)| *to += from);
            }
        });
    }
}
