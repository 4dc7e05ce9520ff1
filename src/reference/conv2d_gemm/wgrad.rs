//! wgrad: columns times transposed `dy`, in parts of the batch that are summed in order.

use std::ops::Range;

use gemm::Parallelism;
use rayon::prelude::*;

use super::blocks::{BLOCK, block_len, blocks, task_channels};
use super::columns::with_columns;
use super::matrix::{Matrix, multiply, sum, sum_transposed};
use super::scratch::{PARTIALS, with_scratch};
use crate::ops::Geometry;

/// Fewest pixels worth an accumulator of their own in [`wgrad`].
const PART: usize = 512;

pub(crate) fn wgrad(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32], db: Option<&mut [f32]>) {
    let (pixels, len) = (g.n * g.pixels(), g.terms() * g.k);
    let threads = rayon::current_num_threads();
    let parts = threads.min(pixels.div_ceil(PART));
    let channels = task_channels(g, threads.div_ceil(parts));
    with_scratch(&PARTIALS, parts * len, |partials| {
        let tasks = partials.par_chunks_mut(len).enumerate();
        tasks.for_each(|(part, to)| {
            let range = pixels * part / parts..pixels * (part + 1) / parts;
            let tasks = to.par_chunks_mut(channels * g.r * g.r * g.k).enumerate();
            tasks.for_each(|(i, to)| wgrad_channels(g, x, dy, range.clone(), i * channels, to));
        });
        sum_transposed(partials, g.terms(), g.k, dw);
    });
    let Some(db) = db else { return };
    db.par_iter_mut().enumerate().for_each(|(k, db)| {
        let maps = dy.chunks(g.pixels()).skip(k).step_by(g.k);
        *db = maps.map(|map| f64::from(sum(map))).sum::<f64>() as f32;
    });
}

/// Transposed filter gradient `to [channels*R*R, K]` from `range` of the batch's pixels, for the
/// channels from `first`.
fn wgrad_channels(
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    range: Range<usize>,
    first: usize,
    to: &mut [f32],
) {
    let (terms, pixels, map) = (to.len() / g.k, g.pixels(), g.h * g.w);
    let channels = terms / (g.r * g.r);
    let mut accumulate = false;
    for (n, range) in blocks(g, range, block_len(BLOCK, terms)) {
        let x = &x[(n * g.c + first) * map..][..channels * map];
        let dy = Matrix(&dy[n * g.k * pixels + range.start..], 1, pixels);
        with_columns(g, x, &range, Parallelism::None, |columns| {
            let (size, to) = ([terms, g.k, range.len()], (&mut *to, g.k));
            multiply(size, columns, dy, to, accumulate, Parallelism::None);
        });
        accumulate = true;
    }
}
