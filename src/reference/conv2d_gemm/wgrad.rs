//! wgrad: columns times transposed `dy`, in parts of the batch that are summed in order.

use std::ops::Range;

use gemm_common::Parallelism;
use rayon::prelude::*;

use super::blocks::{BLOCK, block_len, blocks, task_channels};
use super::columns::with_columns;
use super::depthwise;
use super::matrix::{Matrix, multiply, sum, sum_transposed};
use super::scratch::{PARTIALS, with_scratch};
use super::winograd;
use crate::ops::Geometry;
use crate::reference::Convolving;

/// Fewest pixels worth an accumulator of their own in [`wgrad`].
const PART: usize = 512;

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
        winograd::wgrad(method, g, x, dy, dw);
    } else {
        let groups = dw.par_chunks_mut(g.k / g.groups * g.terms()).enumerate();
        groups.for_each(|(group, dw)| wgrad_group(g, group, x, dy, dw));
    }
    let Some(db) = db else { return };
    db.par_iter_mut().enumerate().for_each(|(k, db)| {
        let maps = dy.chunks(g.pixels()).skip(k).step_by(g.k);
        *db = maps.map(|map| f64::from(sum(map))).sum::<f64>() as f32;
    });
}

/// Filter gradient of one group: `dw [K/G,C/G,R,S]`.
fn wgrad_group(all: &Geometry, group: usize, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let g = &all.of_group();
    let (pixels, len) = (g.n * g.pixels(), g.terms() * g.k);
    // All threads share the groups, then the pixels of each, then its channels.
    let threads = rayon::current_num_threads().div_ceil(all.groups);
    let parts = threads.min(pixels.div_ceil(PART));
    let channels = task_channels(g, threads.div_ceil(parts));
    let [x, dy] = [(x, g.c * g.h * g.w), (dy, g.k * g.pixels())].map(|(of, len)| Images {
        maps: &of[group * len..],
        apart: all.groups * len,
    });
    with_scratch(&PARTIALS, parts * len, |partials| {
        let tasks = partials.par_chunks_mut(len).enumerate();
        tasks.for_each(|(part, to)| {
            let range = pixels * part / parts..pixels * (part + 1) / parts;
            let tasks = to.par_chunks_mut(channels * g.window() * g.k).enumerate();
            tasks.for_each(|(i, to)| wgrad_channels(g, x, dy, range.clone(), i * channels, to));
        });
        sum_transposed(partials, g.terms(), g.k, dw);
    });
}

/// The maps of one group, from those of the first image on, and the distance from image to image.
#[derive(Clone, Copy)]
struct Images<'a> {
    maps: &'a [f32],
    apart: usize,
}

/// Transposed filter gradient `to [channels*R*S, K]` from `range` of the batch's pixels, for the
/// channels from `first`.
fn wgrad_channels(
    g: &Geometry,
    x: Images<'_>,
    dy: Images<'_>,
    range: Range<usize>,
    first: usize,
    to: &mut [f32],
) {
    let (terms, pixels, map) = (to.len() / g.k, g.pixels(), g.h * g.w);
    let channels = terms / g.window();
    let mut accumulate = false;
    for (n, range) in blocks(g, range, block_len(BLOCK, terms)) {
        let x = &x.maps[n * x.apart + first * map..][..channels * map];
        let dy = Matrix(&dy.maps[n * dy.apart + range.start..], 1, pixels);
        with_columns(g, x, &range, Parallelism::None, |columns| {
            let (size, to) = ([terms, g.k, range.len()], (&mut *to, g.k));
            multiply(size, columns, dy, to, accumulate, Parallelism::None);
        });
        accumulate = true;
    }
}
