//! Filters, tiles of maps and products, each transformed in vectors: of filters, channels and filters.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::points::Transforms;
use super::{Correlation, Filters};
use crate::reference::conv2d_gemm::kernel::{load, store};

/// `matrix` times `x`. The matrix is a constant, so that no zero of it costs anything.
#[inline(always)]
fn times<S: Simd, const I: usize, const O: usize>(
    simd: S,
    matrix: &[[f32; I]; O],
    x: [S::f32s; I],
) -> [S::f32s; O] {
    let mut y = [simd.splat_f32s(0.0); O];
    for o in 0..O {
        let mut is_first = true;
        for i in 0..I {
            let factor = matrix[o][i];
            if factor != 0.0 {
                y[o] = match (is_first, factor == 1.0) {
                    (true, true) => x[i],
                    (true, false) => simd.mul_f32s(simd.splat_f32s(factor), x[i]),
                    (false, true) => simd.add_f32s(y[o], x[i]),
                    (false, false) => simd.mul_add_f32s(simd.splat_f32s(factor), x[i], y[o]),
                };
                is_first = false;
            }
        }
    }
    y
}

/// `matrix x matrixᵀ`.
#[inline(always)]
fn twice<S: Simd, const I: usize, const O: usize>(
    simd: S,
    matrix: &[[f32; I]; O],
    x: [[S::f32s; I]; I],
) -> [[S::f32s; O]; O] {
    let zero = simd.splat_f32s(0.0);
    let mut half = [[zero; I]; O];
    for i in 0..I {
        let row = times(simd, matrix, x[i]);
        for o in 0..O {
            half[o][i] = row[o];
        }
    }
    let mut y = [[zero; O]; O];
    for j in 0..O {
        let column = times(simd, matrix, half[j]);
        for o in 0..O {
            y[o][j] = column[o];
        }
    }
    y
}

/// `to [N*N, C, width]`: the transformed filters of one panel, `ks`.
pub(super) struct FilterPanel<'a, const M: usize, const R: usize, const N: usize> {
    pub(super) filters: Filters<'a>,
    pub(super) channels: usize,
    pub(super) ks: Range<usize>,
    /// `[R*R, width]`.
    pub(super) slab: &'a mut [f32],
    pub(super) to: &'a mut [f32],
}

impl<const M: usize, const R: usize, const N: usize> WithSimd for FilterPanel<'_, M, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            filters,
            channels,
            ks,
            slab,
            to,
        } = self;
        let width = ks.len().next_multiple_of(S::F32_LANES);
        slab.fill(0.0);
        for c in 0..channels {
            for (lane, k) in ks.clone().enumerate() {
                let filter = &filters.w[k * filters.k + c * filters.c..][..R * R];
                for i in 0..R * R {
                    let from = if filters.is_flipped { R * R - 1 - i } else { i };
                    slab[i * width + lane] = filter[from];
                }
            }
            for at in (0..width).step_by(S::F32_LANES) {
                let mut g = [[simd.splat_f32s(0.0); R]; R];
                for i in 0..R * R {
                    g[i / R][i % R] = load::<S>(&slab[i * width + at..]);
                }
                let u = twice(simd, &Transforms::<M, R, N>::FILTER, g);
                for i in 0..N * N {
                    store::<S>(&mut to[(i * channels + c) * width + at..], u[i / N][i % N]);
                }
            }
        }
    }
}

/// Tiles of one band: those of some `rows` of tiles of some images.
pub(super) struct Tiles<'a, const M: usize, const R: usize, const N: usize> {
    pub(super) g: Correlation,
    /// `[images, C, H, W]`.
    pub(super) x: &'a [f32],
    pub(super) rows: Range<usize>,
    /// Tiles in a row.
    pub(super) across: usize,
    /// `[height, width, lanes]` of the pixels under one band of one image.
    pub(super) strip: &'a mut [f32],
    /// `[N*N, tiles, channels]`, the first two so far apart.
    pub(super) to: &'a mut [f32],
    pub(super) apart: [usize; 2],
}

impl<const M: usize, const R: usize, const N: usize> WithSimd for Tiles<'_, M, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            g,
            x,
            rows,
            across,
            strip,
            to,
            apart,
        } = self;
        let lanes = S::F32_LANES;
        let [height, width] = [rows.len(), across].map(|tiles| (tiles - 1) * M + N);
        let strip = &mut strip[..height * width * lanes];
        for (n, x) in x.chunks(g.c * g.h * g.w).enumerate() {
            for c in (0..g.c).step_by(lanes) {
                let maps = &x[c * g.h * g.w..(c + lanes).min(g.c) * g.h * g.w];
                strip.fill(0.0);
                for (row, strip) in strip.chunks_mut(width * lanes).enumerate() {
                    let h = (rows.start * M + row).wrapping_sub(g.before[0]);
                    if h < g.h {
                        interleave(maps, [g.h, g.w], h, g.before[1], lanes, strip);
                    }
                }
                for tile in 0..rows.len() * across {
                    let at = (tile / across * width + tile % across) * M * lanes;
                    let mut d = [[simd.splat_f32s(0.0); N]; N];
                    for i in 0..N {
                        let row = &strip[at + i * width * lanes..][..N * lanes];
                        d[i].copy_from_slice(S::as_simd_f32s(row).0);
                    }
                    let v = twice(simd, &Transforms::<M, R, N>::INPUT, d);
                    let t = n * rows.len() * across + tile;
                    let to = &mut to[t * apart[1] + c..];
                    for i in 0..N * N {
                        store::<S>(&mut to[i * apart[0]..], v[i / N][i % N]);
                    }
                }
            }
        }
    }
}

/// Row `h` of each map, with the maps innermost, from column `left` on.
#[inline(always)]
fn interleave(
    maps: &[f32],
    [height, width]: [usize; 2],
    h: usize,
    left: usize,
    lanes: usize,
    strip: &mut [f32],
) {
    // The strip may end before the map does, where its last columns are no output's.
    let len = width.min(strip.len() / lanes - left);
    for (lane, map) in maps.chunks_exact(height * width).enumerate() {
        let to = strip[left * lanes + lane..].iter_mut().step_by(lanes);
        for (to, &from) in to.zip(&map[h * width..][..len]) {
            *to = from;
        }
    }
}

/// Outputs of one panel of filters in one band of one image: `from [N*N, tiles, width]`, the first two `apart`, to each filter's part
/// of its map, by way of `pixels [rows*M, across*M, width]`.
#[inline(always)]
pub(super) fn outputs<S: Simd, const M: usize, const R: usize, const N: usize>(
    simd: S,
    [rows, across]: [usize; 2],
    q: usize,
    from: &[f32],
    apart: [usize; 2],
    pixels: &mut [f32],
    maps: &mut [&mut [f32]],
) {
    let width = apart[1];
    for tile in 0..rows * across {
        let corner = (tile / across * across * M + tile % across) * M * width;
        for at in (0..width).step_by(S::F32_LANES) {
            let from = &from[tile * width + at..];
            let mut m = [[simd.splat_f32s(0.0); N]; N];
            for i in 0..N * N {
                m[i / N][i % N] = load::<S>(&from[i * apart[0]..]);
            }
            let y = twice(simd, &Transforms::<M, R, N>::OUTPUT, m);
            for i in 0..M * M {
                let pixel = i / M * across * M + i % M;
                store::<S>(&mut pixels[corner + pixel * width + at..], y[i / M][i % M]);
            }
        }
    }
    for (k, map) in maps.iter_mut().enumerate() {
        let from = pixels.chunks(across * M * width);
        for (row, from) in map.chunks_mut(q).zip(from) {
            let from = from[k..].iter().step_by(width);
            for (to, &from) in row.iter_mut().zip(from) {
                *to = from;
            }
        }
    }
}
