//! dgrad: transposed filters times `dy` are columns, which are summed into `dx`.

use gemm_common::Parallelism;
use rayon::prelude::*;

use super::blocks::{BLOCK, block_len, blocks, task_channels};
use super::columns::{col2im, is_pointwise};
use super::depthwise;
use super::matrix::{Matrix, multiply};
use super::panels;
use super::scratch::{Need, Scratch};
use super::transpose::sum_transposed;
use super::winograd::{self, Correlation, Filters};
use crate::ops::Geometry;
use crate::reference::{Convolving, relu};

pub(crate) fn dgrad(
    g: &Geometry,
    how: &Convolving<f32>,
    dy: &[f32],
    w: &[f32],
    mask: Option<&[f32]>,
    dx: &mut [f32],
) {
    if g.is_depthwise() {
        return depthwise::dgrad(g, dy, w, mask, dx);
    }
    if let Some(method) = winograd::method(g, how) {
        let (of, filters) = (Correlation::dgrad(g), Filters::dgrad(g, w));
        let kept = (None, &*how.scratch);
        return winograd::correlate(method, of, filters, kept, dy, dx, |map, from, dx| {
            if let Some(mask) = mask {
                relu::mask_part(&mask[map * g.h * g.w + from..], dx);
            }
        });
    }
    let (groups, g) = (g.groups, &g.of_group());
    let (image, map) = (g.c * g.h * g.w, g.h * g.w);
    let channels = channels(g, groups);
    how.scratch.shared(w.len(), |wt| {
        // Transposed once, or else the GEMM of each task would.
        let filters = g.k * g.terms();
        let each = wt.par_chunks_mut(filters).zip(w.par_chunks(filters));
        each.for_each(|(wt, w)| sum_transposed(w, g.k, g.terms(), wt));
        let wt = &*wt;
        if is_pointwise(g) {
            return panels::correlate(
                &transposed(g),
                &how.scratch,
                dy,
                wt,
                dx,
                #[inline(always)]
                |i, from, dx| {
                    if let Some(mask) = mask {
                        relu::mask_part(&mask[i * map + from..], dx);
                    }
                },
            );
        }
        let each = columns(g, channels);
        let dy = dy.par_chunks(g.k * g.pixels());
        // The channels of one group of one image.
        let images = dx.par_chunks_mut(image).zip(dy).enumerate();
        images.for_each(|(n, (dx, dy))| {
            let wt = wt[n % groups * filters..][..filters].par_chunks(channels * g.window() * g.k);
            let tasks = dx.par_chunks_mut(channels * map).zip(wt);
            tasks.enumerate().for_each(|(i, (dx, wt))| {
                dgrad_channels(g, (&how.scratch, each), dy, wt, dx);
                if let Some(mask) = mask {
                    relu::mask(&mask[n * image + i * channels * map..], dx);
                }
            });
        });
    });
}

/// The pointwise convolution by the transposed filters, which the gradient of one is.
fn transposed(g: &Geometry) -> Geometry {
    Geometry {
        c: g.k,
        k: g.c,
        ..*g
    }
}

/// Channels of a task, of those of one of so many groups.
fn channels(g: &Geometry, groups: usize) -> usize {
    task_channels(g, (2 * rayon::current_num_threads()).div_ceil(g.n * groups))
}

/// Floats of a task's columns; the last task may have fewer channels, and then more pixels.
fn columns(g: &Geometry, channels: usize) -> usize {
    let of = |channels: usize| {
        let terms = channels * g.window();
        terms * block_len(BLOCK, terms).min(g.pixels())
    };
    match g.c % channels {
        0 => of(channels),
        rest => of(channels).max(of(rest)),
    }
}

/// What [`dgrad`] works in.
pub(super) fn need(g: &Geometry, how: &Convolving<f32>) -> Need {
    if g.is_depthwise() {
        return Need::default();
    }
    if let Some(method) = winograd::method(g, how) {
        return winograd::need(method, Correlation::dgrad(g), g.n, false);
    }
    let (groups, g) = (g.groups, &g.of_group());
    Need {
        shared: groups * g.k * g.terms(),
        each: match is_pointwise(g) {
            true => panels::need(&transposed(g)).each,
            false => columns(g, channels(g, groups)),
        },
    }
}

/// Input gradient of some channels of one image, given their filters as `wt [channels*R*S, K]`.
fn dgrad_channels(
    g: &Geometry,
    (scratch, floats): (&Scratch, usize),
    dy: &[f32],
    wt: &[f32],
    dx: &mut [f32],
) {
    let (terms, pixels) = (wt.len() / g.k, g.pixels());
    dx.fill(0.0);
    for (_, range) in blocks(g, 0..pixels, block_len(BLOCK, terms)) {
        scratch.each(floats, |columns| {
            let columns = &mut columns[..terms * range.len()];
            let dy = Matrix(&dy[range.start..], pixels, 1);
            let (size, to) = ([terms, range.len(), g.k], (&mut *columns, range.len()));
            multiply(size, Matrix(wt, g.k, 1), dy, to, false, Parallelism::None);
            let columns = columns.chunks(g.window() * range.len());
            for (map, from) in dx.chunks_mut(g.h * g.w).zip(columns) {
                col2im(g, from, &range, map);
            }
        });
    }
}
