//! Forward: filters times columns; bias and ReLU while the product is in the cache.

use gemm_common::Parallelism;
use rayon::prelude::*;

use super::blocks::{BLOCK, block_len, blocks};
use super::columns::with_columns;
use super::depthwise;
use super::matrix::{Matrix, multiply};
use super::winograd::{self, Correlation, Filters};
use crate::ops::Geometry;
use crate::reference::Convolving;

pub(crate) fn forward(
    g: &Geometry,
    how: &mut Convolving<f32>,
    relu: bool,
    x: &[f32],
    w: &[f32],
    b: Option<&[f32]>,
    y: &mut [f32],
) {
    if g.is_depthwise() {
        return depthwise::forward(g, relu, x, w, b, y);
    }
    if let Some(method) = winograd::method(g, how) {
        let of = Correlation::forward(g);
        let (filters, kept) = (Filters::forward(g, w), how.filters.as_mut());
        return winograd::correlate(method, of, filters, kept, x, y, |map, _, y| {
            bias_and_relu(relu, b.map_or(0.0, |b| b[map % g.k]), y);
        });
    }
    let (groups, g) = (g.groups, &g.of_group());
    let (from, to) = (g.c * g.h * g.w, g.k * g.pixels());
    let finish = |k: usize, y: &mut [f32]| bias_and_relu(relu, b.map_or(0.0, |b| b[k]), y);
    // As many images as the threads share evenly run one per thread; on each of the rest work all
    // threads, so that several blocks make one.
    // With groups, the channels of each are an image of their own.
    let threads = rayon::current_num_threads();
    let shared = g.n * groups - g.n * groups % threads;
    let convolve = |i: usize, x: &[f32], y: &mut [f32], how| {
        let first = i % groups * g.k;
        let w = &w[first * g.terms()..][..g.k * g.terms()];
        forward_image(g, x, w, y, how, |k, y| finish(first + k, y));
    };
    let one = (BLOCK, Parallelism::None);
    let pairs = y.par_chunks_mut(to).zip(x.par_chunks(from)).enumerate();
    let pairs = pairs.take(shared);
    pairs.for_each(|(i, (y, x))| convolve(i, x, y, one));
    let all = (8 * threads * BLOCK, Parallelism::Rayon(0));
    let rest = y.chunks_mut(to).zip(x.chunks(from)).enumerate();
    for (i, (y, x)) in rest.skip(shared) {
        convolve(i, x, y, all);
    }
}

fn bias_and_relu(relu: bool, b: f32, y: &mut [f32]) {
    for y in y {
        let v = *y + b;
        // Not-a-number fails the comparison and passes through.
        *y = if relu && v < 0.0 { 0.0 } else { v };
    }
}

/// Convolves one image in blocks of `block` floats; each row `k` of an output block, while it is
/// in the cache, goes through `finish(k, row)`.
fn forward_image(
    g: &Geometry,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    (block, threads): (usize, Parallelism),
    finish: impl Fn(usize, &mut [f32]),
) {
    let (terms, pixels) = (g.terms(), g.pixels());
    for (_, range) in blocks(g, 0..pixels, block_len(block, terms)) {
        with_columns(g, x, &range, threads, |columns| {
            let size = [g.k, range.len(), terms];
            let to = (&mut y[range.start..], pixels);
            multiply(size, Matrix(w, terms, 1), columns, to, false, threads);
        });
        for (k, y) in y.chunks_mut(pixels).enumerate() {
            finish(k, &mut y[range.clone()]);
        }
    }
}
