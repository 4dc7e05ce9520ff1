//! dgrad: transposed filters times `dy` are columns, which are summed into `dx`.

use gemm_common::Parallelism;
use rayon::prelude::*;

use super::blocks::{BLOCK, block_len, blocks, task_channels};
use super::columns::{col2im, is_pointwise};
use super::depthwise;
use super::matrix::{Matrix, multiply, sum_transposed};
use super::panels;
use super::scratch::{COLUMNS, WEIGHTS, with_scratch};
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
        return winograd::correlate(method, of, filters, None, dy, dx, |map, from, dx| {
            if let Some(mask) = mask {
                relu::mask_part(&mask[map * g.h * g.w + from..], dx);
            }
        });
    }
    let (groups, g) = (g.groups, &g.of_group());
    let (image, map) = (g.c * g.h * g.w, g.h * g.w);
    let channels = task_channels(g, (2 * rayon::current_num_threads()).div_ceil(g.n * groups));
    with_scratch(&WEIGHTS, w.len(), |wt| {
        // Transposed once, or else the GEMM of each task would.
        let filters = g.k * g.terms();
        let each = wt.par_chunks_mut(filters).zip(w.par_chunks(filters));
        each.for_each(|(wt, w)| sum_transposed(w, g.k, g.terms(), wt));
        let wt = &*wt;
        if is_pointwise(g) {
            // A pointwise convolution too, by the transposed filters.
            let of = Geometry {
                c: g.k,
                k: g.c,
                ..*g
            };
            return panels::correlate(
                &of,
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
        let dy = dy.par_chunks(g.k * g.pixels());
        // The channels of one group of one image.
        let images = dx.par_chunks_mut(image).zip(dy).enumerate();
        images.for_each(|(n, (dx, dy))| {
            let wt = wt[n % groups * filters..][..filters].par_chunks(channels * g.window() * g.k);
            let tasks = dx.par_chunks_mut(channels * map).zip(wt);
            tasks.enumerate().for_each(|(i, (dx, wt))| {
                dgrad_channels(g, dy, wt, dx);
                if let Some(mask) = mask {
                    relu::mask(&mask[n * image + i * channels * map..], dx);
                }
            });
        });
    });
}

/// Input gradient of some channels of one image, given their filters as `wt [channels*R*S, K]`.
fn dgrad_channels(g: &Geometry, dy: &[f32], wt: &[f32], dx: &mut [f32]) {
    let (terms, pixels) = (wt.len() / g.k, g.pixels());
    dx.fill(0.0);
    for (_, range) in blocks(g, 0..pixels, block_len(BLOCK, terms)) {
        with_scratch(&COLUMNS, terms * range.len(), |columns| {
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
