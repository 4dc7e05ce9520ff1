//! Gradients of filters: the tiles of the output's gradient are filters that the input is correlated with.
//!
//! Sums run over all tiles of the batch before they are transformed, once, to the gradient.

use std::marker::PhantomData;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::bands::Cut;
use super::transform::{FilterGradient, Maps, OfGradient, OfInput, Tiles, Transform};
use super::{Correlation, padded};
use crate::reference::conv2d_gemm::kernel::{LANES, ROWS, Sums, columns, load, store, tile};
use crate::reference::conv2d_gemm::scratch::{Need, Scratch, whole};

/// Floats of transformed tiles that are summed at once: more would not stay in the cache, fewer have the sums read often.
const FLOATS: usize = 1 << 20;

/// Some rows of tiles of some images.
type Place = (Range<usize>, Range<usize>);

/// How much is transformed, and summed, at once.
struct Sizes {
    cut: Cut,
    /// Lengths of rows of the input's tiles, and of those of the output's gradient: the kernel reads whole tiles of rows.
    rows: [usize; 2],
    /// Floats of the tiles of one place, of either.
    floats: [usize; 2],
    /// Places whose tiles are summed at once.
    at_once: usize,
    /// Floats of the tiles of those, and of the sums.
    tiles: usize,
    sums: usize,
    /// Floats of a strip of maps, of either, and of a filter's sums.
    strips: [usize; 2],
    row: usize,
}

impl Sizes {
    fn new<const M: usize, const R: usize, const N: usize>(g: &Correlation, images: usize) -> Self {
        let cut = Cut::new(g, images, M);
        let rows = [padded(g.c), padded(g.k + ROWS)];
        let floats = rows.map(|row| N * N * cut.tiles() * row);
        let at_once = (FLOATS / (floats[0] + floats[1])).max(rayon::current_num_threads());
        let at_once = at_once.min(cut.places(images).count());
        let strip = |input: usize| {
            let sides = [cut.rows, cut.across].map(|tiles| (tiles - 1) * M + input);
            sides[0] * sides[1] * LANES
        };
        Self {
            rows,
            floats,
            at_once,
            tiles: whole(at_once * (floats[0] + floats[1])),
            sums: N * N * g.k * rows[0],
            strips: [strip(N), strip(M)],
            row: R * R * rows[0],
            cut,
        }
    }
}

/// What [`by`] works in.
pub(super) fn need<const M: usize, const R: usize, const N: usize>(
    g: Correlation,
    images: usize,
) -> Need {
    let sizes = Sizes::new::<M, R, N>(&g, images);
    Need {
        shared: sizes.tiles + sizes.sums,
        each: sizes.strips[0].max(sizes.strips[1]).max(sizes.row),
    }
}

pub(super) fn by<const M: usize, const R: usize, const N: usize>(
    g: Correlation,
    scratch: &Scratch,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let arch = Arch::new();
    let images = x.len() / (g.c * g.h * g.w);
    let Sizes {
        cut,
        rows,
        floats,
        at_once,
        tiles,
        sums,
        strips,
        row,
    } = Sizes::new::<M, R, N>(&g, images);
    let (input, output) = (
        g.input(),
        Maps {
            channels: g.k,
            size: [g.p, g.q],
            before: [0; 2],
        },
    );
    let places: Vec<Place> = cut.places(images).collect();
    let work = |shared: &mut [f32]| {
        let (tiles, sums) = shared.split_at_mut(tiles);
        let (v, d) = tiles.split_at_mut(at_once * floats[0]);
        for (i, places) in places.chunks(at_once).enumerate() {
            let each = places.par_iter().zip(v.par_chunks_mut(floats[0]));
            each.zip(d.par_chunks_mut(floats[1]))
                .for_each(|((place, v), d)| {
                    scratch.each(strips[0], |strip| {
                        let to = (v, rows[0]);
                        transform::<OfInput<M, R>, N, N>(arch, &cut, input, place, x, strip, to);
                    });
                    scratch.each(strips[1], |strip| {
                        let to = (d, rows[1]);
                        transform::<OfGradient<M, R>, M, N>(
                            arch, &cut, output, place, dy, strip, to,
                        );
                    });
                });
            let elements = sums.par_chunks_mut(g.k * rows[0]).enumerate();
            elements.for_each(|(element, to)| {
                arch.dispatch(Sum {
                    parts: places
                        .iter()
                        .zip(v.chunks(floats[0]).zip(d.chunks(floats[1])))
                        .map(|(place, (v, d))| {
                            let tiles = place.0.len() * place.1.len() * cut.across;
                            let [v, d] = [(v, rows[0]), (d, rows[1])]
                                .map(|(of, row)| &of[element * cut.tiles() * row..][..tiles * row]);
                            (tiles, v, d)
                        })
                        .collect(),
                    rows,
                    channels: g.c,
                    to,
                    accumulate: i > 0,
                });
            });
        }
        let filters = dw.par_chunks_mut(g.c * R * R).enumerate();
        filters.for_each(|(k, dw)| {
            scratch.each(row, |row| {
                arch.dispatch(FilterGradient::<M, R, N> {
                    from: &sums[k * rows[0]..],
                    apart: g.k * rows[0],
                    rows: row,
                    dw,
                });
            });
        });
    };
    scratch.shared(tiles + sums, work);
}

/// Tiles of one place by a strip of maps, `to [N*N, tiles, channels]`.
fn transform<T: Transform<I, N>, const I: usize, const N: usize>(
    arch: Arch,
    cut: &Cut,
    maps: Maps,
    (images, rows): &Place,
    x: &[f32],
    strip: &mut [f32],
    (to, row): (&mut [f32], usize),
) {
    let image = maps.channels * maps.size[0] * maps.size[1];
    arch.dispatch(Tiles::<T, I, N> {
        transform: PhantomData,
        maps,
        x: &x[images.start * image..images.end * image],
        rows: rows.clone(),
        across: cut.across,
        strip,
        to,
        apart: [cut.tiles() * row, row],
    });
}

/// `to [K, C]`, or what is added to it: of one element, the products of the tiles of all parts.
struct Sum<'a> {
    /// Number of tiles, the input's `[tiles, C]` and those of the output's gradient `[tiles, K]`.
    parts: Vec<(usize, &'a [f32], &'a [f32])>,
    /// Lengths of their rows, and of those of `to`.
    rows: [usize; 2],
    channels: usize,
    to: &'a mut [f32],
    accumulate: bool,
}

impl WithSimd for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for c in (0..self.channels).step_by(columns::<S>()) {
            match (self.channels - c).div_ceil(S::F32_LANES) {
                1 => self.columns::<S, 1>(simd, c),
                2 => self.columns::<S, 2>(simd, c),
                3 => self.columns::<S, 3>(simd, c),
                _ => self.columns::<S, 4>(simd, c),
            }
        }
    }
}

impl Sum<'_> {
    /// `V` vectors of channels from `c` on.
    #[inline(always)]
    fn columns<S: Simd, const V: usize>(&mut self, simd: S, c: usize) {
        let [v_row, d_row] = self.rows;
        for (i, to) in self.to.chunks_mut(ROWS * v_row).enumerate() {
            let mut sums: Sums<S, V> = [[simd.splat_f32s(0.0); V]; ROWS];
            if self.accumulate {
                for (sums, to) in sums.iter_mut().zip(to.chunks(v_row)) {
                    for j in 0..V {
                        sums[j] = load::<S>(&to[c + j * S::F32_LANES..]);
                    }
                }
            }
            for &(tiles, v, d) in &self.parts {
                let d = &d[i * ROWS..];
                sums = tile::<S, V>(
                    simd,
                    sums,
                    tiles,
                    #[inline(always)]
                    |t| {
                        let d = &d[t * d_row..][..ROWS];
                        let mut row = [0.0; ROWS];
                        row.copy_from_slice(d);
                        row
                    },
                    &v[c..],
                    v_row,
                );
            }
            for (sums, to) in sums.iter().zip(to.chunks_mut(v_row)) {
                for j in 0..V {
                    store::<S>(&mut to[c + j * S::F32_LANES..], sums[j]);
                }
            }
        }
    }
}
