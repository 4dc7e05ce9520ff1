//! The products of one panel of filters with the tiles of one band, and the outputs they become.

use pulp::{Simd, WithSimd};

use super::transform::outputs;
use crate::reference::conv2d_gemm::kernel::{ROWS, column, store, tile};

/// Outputs of one panel of filters in one band.
pub(super) struct Product<'a, 'm, const M: usize, const R: usize, const N: usize> {
    pub(super) channels: usize,
    pub(super) images: usize,
    /// Rows and columns of tiles.
    pub(super) size: [usize; 2],
    /// Columns of an output.
    pub(super) q: usize,
    /// Tiles `[N*N, tiles, channels]`, the first two `apart`.
    pub(super) v: &'a [f32],
    pub(super) apart: [usize; 2],
    /// Filters `[N*N, channels, width]`, elements so far apart.
    pub(super) u: &'a [f32],
    pub(super) elements: usize,
    /// `[N*N, tiles, width]`, but for `N*N` lines of the cache more.
    pub(super) products: &'a mut [f32],
    /// Outputs of one image in this band, `[rows, columns, width]`.
    pub(super) pixels: &'a mut [f32],
    /// Of each image and filter, the band's part of its map.
    pub(super) maps: &'a mut [&'m mut [f32]],
}

impl<const M: usize, const R: usize, const N: usize> WithSimd for Product<'_, '_, M, R, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let filters = self.maps.len() / self.images;
        let vectors = filters.div_ceil(S::F32_LANES);
        let width = vectors * S::F32_LANES;
        let tiles = self.size[0] * self.size[1];
        let padded = (self.images * tiles).next_multiple_of(ROWS);
        let apart = [padded * width + 16, width];
        for i in 0..N * N {
            let v = &self.v[i * self.apart[0]..][..padded * self.apart[1]];
            let u = &self.u[i * self.elements..];
            let to = &mut self.products[i * apart[0]..];
            match vectors {
                1 => multiply::<S, 1>(simd, self.channels, v, self.apart[1], u, to),
                2 => multiply::<S, 2>(simd, self.channels, v, self.apart[1], u, to),
                3 => multiply::<S, 3>(simd, self.channels, v, self.apart[1], u, to),
                _ => multiply::<S, 4>(simd, self.channels, v, self.apart[1], u, to),
            }
        }
        for (n, maps) in self.maps.chunks_mut(filters).enumerate() {
            let from = &self.products[n * tiles * width..];
            outputs::<S, M, R, N>(simd, self.size, self.q, from, apart, self.pixels, maps);
        }
    }
}

/// `to [tiles, V] = v [tiles, depth] * u [depth, V]`, `V` vectors wide; rows of `v` are `apart`.
#[inline(always)]
fn multiply<S: Simd, const V: usize>(
    simd: S,
    depth: usize,
    v: &[f32],
    apart: usize,
    u: &[f32],
    to: &mut [f32],
) {
    let width = V * S::F32_LANES;
    for (v, to) in v.chunks(ROWS * apart).zip(to.chunks_mut(ROWS * width)) {
        let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
        for i in 0..ROWS {
            rows[i] = &v[i * apart..][..depth];
        }
        let sums = tile::<S, V>(
            simd,
            [[simd.splat_f32s(0.0); V]; ROWS],
            depth,
            #[inline(always)]
            |d| column(&rows, d),
            u,
            width,
        );
        for i in 0..ROWS {
            for j in 0..V {
                store::<S>(&mut to[i * width + j * S::F32_LANES..], sums[i][j]);
            }
        }
    }
}
