//! Filters, tiles of maps and products, each transformed in vectors: of filters, channels and filters.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::Filters;
use super::points::Transforms;
use crate::reference::conv2d_gemm::kernel::{load, store};
use crate::reference::conv2d_gemm::transpose::{head, store_head, transpose};

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
    /// The filters of one channel, `[R*R, width]`.
    pub(super) slab: &'a mut [f32],
    pub(super) to: &'a mut [f32],
    /// Distance of elements.
    pub(super) apart: usize,
}

impl<const M: usize, const R: usize, const N: usize> WithSimd for FilterPanel<'_, M, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (w, slab, to) = (self.filters, self.slab, self.to);
        let width = self.ks.len().next_multiple_of(S::F32_LANES);
        for c in 0..self.channels {
            let filters = &w.w[self.ks.start * w.k + c * w.c..];
            transpose(
                simd,
                [self.ks.len(), R * R],
                #[inline(always)]
                |k, i| head(simd, &filters[k * w.k + i..]),
                #[inline(always)]
                |i, k, vector| {
                    let i = if w.is_flipped { R * R - 1 - i } else { i };
                    store::<S>(&mut slab[i * width + k..], vector);
                },
            );
            for at in (0..width).step_by(S::F32_LANES) {
                let mut g = [[simd.splat_f32s(0.0); R]; R];
                for i in 0..R * R {
                    g[i / R][i % R] = load::<S>(&slab[i * width + at..]);
                }
                let u = twice(simd, &Transforms::<M, R, N>::FILTER, g);
                let to = &mut to[c * width + at..];
                for i in 0..N * N {
                    store::<S>(&mut to[i * self.apart..], u[i / N][i % N]);
                }
            }
        }
    }
}

/// What becomes of tiles of `I * I` pixels, each `STEP` behind the one before: `N * N` numbers.
pub(super) trait Transform<const I: usize, const N: usize> {
    const MATRIX: [[f32; I]; N];
    const STEP: usize;
}

/// Of the input of a correlation.
pub(super) struct OfInput<const M: usize, const R: usize>;

impl<const M: usize, const R: usize, const N: usize> Transform<N, N> for OfInput<M, R> {
    const MATRIX: [[f32; N]; N] = Transforms::<M, R, N>::INPUT;
    const STEP: usize = M;
}

/// Of the output's gradient, whose tiles are the filters that the filters' gradient is correlated by.
pub(super) struct OfGradient<const M: usize, const R: usize>;

impl<const M: usize, const R: usize, const N: usize> Transform<M, N> for OfGradient<M, R> {
    const MATRIX: [[f32; M]; N] = Transforms::<R, M, N>::FILTER;
    const STEP: usize = M;
}

/// The maps that tiles are taken from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Maps {
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    /// Padding above and on the left.
    pub(super) before: [usize; 2],
}

/// Tiles of one band: those of some `rows` of tiles of some images.
pub(super) struct Tiles<'a, T, const I: usize, const N: usize> {
    pub(super) transform: PhantomData<T>,
    pub(super) maps: Maps,
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

impl<T: Transform<I, N>, const I: usize, const N: usize> WithSimd for Tiles<'_, T, I, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, across, to) = (S::F32_LANES, self.across, self.to);
        let (maps, [h, w]) = (self.maps, self.maps.size);
        let tiles = self.rows.len() * across;
        let [height, width] = [self.rows.len(), across].map(|tiles| (tiles - 1) * T::STEP + I);
        let strip = &mut self.strip[..height * width * lanes];
        // What lies beyond the maps does so for all of them.
        strip.fill(0.0);
        for (n, x) in self.x.chunks(maps.channels * h * w).enumerate() {
            for c in (0..maps.channels).step_by(lanes) {
                let x = &x[c * h * w..(c + lanes).min(maps.channels) * h * w];
                for (row, strip) in strip.chunks_mut(width * lanes).enumerate() {
                    let row = (self.rows.start * T::STEP + row).wrapping_sub(maps.before[0]);
                    if row < h {
                        interleave(simd, x, [h, w], row, maps.before[1], strip);
                    }
                }
                for tile in 0..tiles {
                    let at = (tile / across * width + tile % across) * T::STEP * lanes;
                    let mut d = [[simd.splat_f32s(0.0); I]; I];
                    for i in 0..I {
                        let row = &strip[at + i * width * lanes..][..I * lanes];
                        d[i].copy_from_slice(S::as_simd_f32s(row).0);
                    }
                    let v = twice(simd, &T::MATRIX, d);
                    let to = &mut to[(n * tiles + tile) * self.apart[1] + c..];
                    for i in 0..N * N {
                        store::<S>(&mut to[i * self.apart[0]..], v[i / N][i % N]);
                    }
                }
            }
        }
    }
}

/// Row `h` of each map, with the maps innermost, from column `left` on.
#[inline(always)]
fn interleave<S: Simd>(
    simd: S,
    x: &[f32],
    [height, width]: [usize; 2],
    h: usize,
    left: usize,
    strip: &mut [f32],
) {
    let lanes = S::F32_LANES;
    // The strip may end before the map does, where its last columns are no output's.
    let len = width.min(strip.len() / lanes - left);
    let strip = &mut strip[left * lanes..];
    transpose(
        simd,
        [x.len() / (height * width), len],
        #[inline(always)]
        |lane, column| head(simd, &x[(lane * height + h) * width + column..]),
        #[inline(always)]
        |column, _, vector| store::<S>(&mut strip[column * lanes..], vector),
    );
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
    // Row by row, which stays in the nearest cache while it is taken apart.
    let height = maps.first().map_or(0, |map| map.len() / q);
    for (row, from) in pixels.chunks(across * M * width).take(height).enumerate() {
        transpose(
            simd,
            [q, maps.len()],
            #[inline(always)]
            |pixel, k| load::<S>(&from[pixel * width + k..]),
            // What a vector has beyond this row, the next one overwrites.
            #[inline(always)]
            |k, pixel, vector| store_head(simd, &mut maps[k][row * q + pixel..], vector),
        );
    }
}

/// Gradients of one output channel's filters, `dw [C, R*R]`, from `[N*N, C]` whose rows are `apart`, by way of `rows [R*R, C]`.
pub(super) struct FilterGradient<'a, const M: usize, const R: usize, const N: usize> {
    pub(super) from: &'a [f32],
    pub(super) apart: usize,
    pub(super) rows: &'a mut [f32],
    pub(super) dw: &'a mut [f32],
}

impl<const M: usize, const R: usize, const N: usize> WithSimd for FilterGradient<'_, M, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.rows.len() / (R * R);
        for at in (0..width).step_by(S::F32_LANES) {
            let mut m = [[simd.splat_f32s(0.0); N]; N];
            for i in 0..N * N {
                m[i / N][i % N] = load::<S>(&self.from[i * self.apart + at..]);
            }
            let y = twice(simd, &Transforms::<R, M, N>::OUTPUT, m);
            for i in 0..R * R {
                store::<S>(&mut self.rows[i * width + at..], y[i / R][i % R]);
            }
        }
        let (rows, dw) = (&*self.rows, self.dw);
        transpose(
            simd,
            [R * R, dw.len() / (R * R)],
            #[inline(always)]
            |i, c| load::<S>(&rows[i * width + c..]),
            #[inline(always)]
            |c, i, vector| store_head(simd, &mut dw[c * R * R..][i..R * R], vector),
        );
    }
}
