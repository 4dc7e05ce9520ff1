//! A correlation by one method: filters once, then band by band.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::bands::{Band, Cut};
use super::product::Product;
use super::transform::{FilterPanel, GATHERED, OfInput, Tiles};
use super::{Correlation, Filters, padded};
use crate::reference::conv2d_gemm::kernel::{LANES, ROWS, columns};
use crate::reference::conv2d_gemm::scratch::{
    COLUMNS, PARTIALS, PRODUCTS, STRIP, WEIGHTS, with_scratch,
};

/// Columns of a panel on this machine.
struct Columns;

impl WithSimd for Columns {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        columns::<S>()
    }
}

/// What a correlation by one method knows, whatever part of it is computed.
struct Work<'a, const M: usize, const R: usize, const N: usize> {
    g: Correlation,
    cut: Cut,
    arch: Arch,
    /// Filters of a panel.
    panel: usize,
    /// Distances of elements and of tiles. Channels are padded to whole vectors, and elements lie one line of the cache off
    /// whole pages, which would all fall into one set of it.
    apart: [usize; 2],
    x: &'a [f32],
}

impl<const M: usize, const R: usize, const N: usize> Work<'_, M, R, N> {
    /// Floats of a band's tiles.
    fn band(&self) -> usize {
        N * N * self.apart[0]
    }

    /// From one element of a panel's filters to the next.
    fn elements(&self) -> usize {
        self.g.c * self.panel + LANES
    }

    /// Floats of a panel's filters.
    fn filters(&self) -> usize {
        N * N * self.elements()
    }

    fn transform_filters(&self, filters: Filters<'_>, panel: usize, to: &mut [f32]) {
        let first = panel * self.panel;
        with_scratch(&STRIP, GATHERED * R * R * self.panel, |slab| {
            self.arch.dispatch(FilterPanel::<M, R, N> {
                filters,
                channels: self.g.c,
                ks: first..self.g.k.min(first + self.panel),
                slab,
                to,
                apart: self.elements(),
            });
        });
    }

    fn transform_tiles(&self, band: &Band<'_>, to: &mut [f32]) {
        let [height, width] = [self.cut.rows, self.cut.across].map(|tiles| (tiles - 1) * M + N);
        let image = self.g.c * self.g.h * self.g.w;
        with_scratch(&STRIP, height * width * LANES, |strip| {
            self.arch.dispatch(Tiles::<OfInput<M, R>, N, N> {
                transform: PhantomData,
                maps: self.g.input(),
                x: &self.x[band.images.start * image..band.images.end * image],
                rows: band.rows.clone(),
                across: self.cut.across,
                strip,
                to,
                apart: self.apart,
            });
        });
    }

    /// Outputs of panel number `panel` in `band`, whose parts of maps are given.
    fn multiply(
        &self,
        [v, u]: [&[f32]; 2],
        band: &Band<'_>,
        panel: usize,
        maps: &mut [&mut [f32]],
        finish: &impl Fn(usize, usize, &mut [f32]),
    ) {
        let size = [band.rows.len(), self.cut.across];
        let products = N * N * (self.cut.tiles().next_multiple_of(ROWS) * self.panel + LANES);
        with_scratch(&PRODUCTS, products, |products| {
            with_scratch(&STRIP, size[0] * size[1] * M * M * self.panel, |pixels| {
                self.arch.dispatch(Product::<M, R, N> {
                    channels: self.g.c,
                    images: band.images.len(),
                    size,
                    q: self.g.q,
                    v,
                    apart: self.apart,
                    u: &u[panel * self.filters()..][..self.filters()],
                    elements: self.elements(),
                    products,
                    pixels,
                    maps,
                });
            });
        });
        let filters = maps.len() / band.images.len();
        for (i, part) in maps.iter_mut().enumerate() {
            let (n, k) = (
                band.images.start + i / filters,
                panel * self.panel + i % filters,
            );
            finish(n * self.g.k + k, band.rows.start * M * self.g.q, part);
        }
    }

    /// All outputs, given all filters.
    fn bands(&self, u: &[f32], y: &mut [f32], finish: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let mut bands = self.cut.bands(&self.g, self.panel, y);
        if bands.len() >= 4 * rayon::current_num_threads() {
            bands.par_iter_mut().for_each(|band| {
                with_scratch(&COLUMNS, self.band(), |v| {
                    self.transform_tiles(band, v);
                    let panels = std::mem::take(&mut band.panels);
                    for (panel, mut maps) in panels.into_iter().enumerate() {
                        self.multiply([v, u], band, panel, &mut maps, &finish);
                    }
                });
            });
            return;
        }
        // Too few for all threads, which share the panels of each instead.
        with_scratch(&PARTIALS, bands.len() * self.band(), |v| {
            let each = v.par_chunks_mut(self.band()).zip(&bands);
            each.for_each(|(v, band)| self.transform_tiles(band, v));
            let mut tasks = Vec::new();
            for (i, band) in bands.iter_mut().enumerate() {
                let panels = std::mem::take(&mut band.panels).into_iter().enumerate();
                tasks.extend(panels.map(|(panel, maps)| (i, panel, maps)));
            }
            tasks.into_par_iter().for_each(|(i, panel, mut maps)| {
                let v = &v[i * self.band()..][..self.band()];
                self.multiply([v, u], &bands[i], panel, &mut maps, &finish);
            });
        });
    }
}

pub(super) fn by<const M: usize, const R: usize, const N: usize>(
    g: Correlation,
    filters: Filters<'_>,
    kept: Option<&mut Vec<f32>>,
    x: &[f32],
    y: &mut [f32],
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let arch = Arch::new();
    let cut = Cut::new(&g, x.len() / (g.c * g.h * g.w), M);
    let depth = padded(g.c);
    let tiles = cut.tiles().next_multiple_of(ROWS);
    let work = Work::<M, R, N> {
        g,
        cut,
        arch,
        panel: arch.dispatch(Columns),
        apart: [tiles * depth + LANES, depth],
        x,
    };
    let len = g.k.div_ceil(work.panel) * work.filters();
    let transform = |u: &mut [f32]| {
        let each = u.par_chunks_mut(work.filters()).enumerate();
        each.for_each(|(panel, u)| work.transform_filters(filters, panel, u));
    };
    match kept {
        Some(u) => {
            if u.is_empty() {
                u.resize(len, 0.0);
                transform(u);
            }
            work.bands(u, y, finish);
        }
        None => with_scratch(&WEIGHTS, len, |u| {
            transform(u);
            work.bands(u, y, finish);
        }),
    }
}
