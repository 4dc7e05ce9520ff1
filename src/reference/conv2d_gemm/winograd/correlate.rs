//! A correlation by one method: filters once, then band by band.

use std::marker::PhantomData;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::bands::{Band, Cut};
use super::product::Product;
use super::transform::{FilterPanel, OfInput, Tiles};
use super::{Correlation, Filters, padded};
use crate::reference::conv2d_gemm::kernel::{LANES, ROWS, columns};
use crate::reference::conv2d_gemm::scratch::{Need, Scratch};

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
    scratch: &'a Scratch,
}

impl<'a, const M: usize, const R: usize, const N: usize> Work<'a, M, R, N> {
    fn new(g: Correlation, images: usize, x: &'a [f32], scratch: &'a Scratch) -> Self {
        let arch = Arch::new();
        let cut = Cut::new(&g, images, M);
        let depth = padded(g.c);
        let tiles = cut.tiles().next_multiple_of(ROWS);
        Self {
            g,
            cut,
            arch,
            panel: arch.dispatch(Columns),
            apart: [tiles * depth + LANES, depth],
            x,
            scratch,
        }
    }

    /// Floats of a band's tiles.
    fn band(&self) -> usize {
        N * N * self.apart[0]
    }

    /// Floats of the filters of one channel, gathered before they are transformed.
    fn slab(&self) -> usize {
        R * R * self.panel
    }

    /// Floats of the strip of maps that tiles are transformed from.
    fn strip(&self) -> usize {
        let sides = [self.cut.rows, self.cut.across].map(|tiles| (tiles - 1) * M + N);
        sides[0] * sides[1] * LANES
    }

    /// Floats of the products of a panel of filters with a band, and of one image's outputs of them.
    fn products(&self) -> [usize; 2] {
        let products = N * N * (self.cut.tiles().next_multiple_of(ROWS) * self.panel + LANES);
        let pixels = self.cut.rows * self.cut.across * M * M * self.panel;
        [products, pixels]
    }

    /// Whether there are so few bands of so many images that all threads share the panels of each.
    fn shares(&self, images: usize) -> bool {
        self.cut.places(images).count() < 4 * rayon::current_num_threads()
    }

    fn need(&self, images: usize) -> Need {
        let bands = self.cut.places(images).count();
        let inner = self.strip().max(self.products().iter().sum());
        let filters = self.slab();
        match self.shares(images) {
            true => Need {
                shared: bands * self.band(),
                each: filters.max(inner),
            },
            false => Need {
                shared: 0,
                each: filters.max(self.band() + inner),
            },
        }
    }

    /// From one element of a panel's filters to the next.
    fn elements(&self) -> usize {
        self.g.c * self.panel + LANES
    }

    /// Floats of a panel's filters.
    fn filters(&self) -> usize {
        N * N * self.elements()
    }

    /// Those of all panels.
    fn all_filters(&self) -> usize {
        self.g.k.div_ceil(self.panel) * self.filters()
    }

    fn transform_filters(&self, filters: Filters<'_>, panel: usize, to: &mut [f32]) {
        let first = panel * self.panel;
        self.scratch.each(self.slab(), |slab| {
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

    /// Tiles of a band, by a strip.
    fn transform_tiles(&self, band: &Band<'_>, strip: &mut [f32], to: &mut [f32]) {
        let image = self.g.c * self.g.h * self.g.w;
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
    }

    /// Outputs of panel number `panel` in `band`, whose parts of maps are given, by products.
    fn multiply(
        &self,
        products: &mut [f32],
        [v, u]: [&[f32]; 2],
        band: &Band<'_>,
        panel: usize,
        maps: &mut [&mut [f32]],
        finish: &impl Fn(usize, usize, &mut [f32]),
    ) {
        let size = [band.rows.len(), self.cut.across];
        let (products, pixels) = products.split_at_mut(self.products()[0]);
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
            pixels: &mut pixels[..size[0] * size[1] * M * M * self.panel],
            maps,
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

    /// All outputs, given memory for tiles that are shared, and all filters.
    fn all(
        &self,
        v: &mut [f32],
        u: &[f32],
        y: &mut [f32],
        finish: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        match v.is_empty() {
            true => self.bands(u, y, finish),
            false => self.shared_bands((v, u), y, finish),
        }
    }

    /// All outputs band by band.
    fn bands(&self, u: &[f32], y: &mut [f32], finish: impl Fn(usize, usize, &mut [f32]) + Sync) {
        let mut bands = self.cut.bands(&self.g, self.panel, y);
        let products: usize = self.products().iter().sum();
        let inner = self.strip().max(products);
        bands.par_iter_mut().for_each(|band| {
            self.scratch.each(self.band() + inner, |scratch| {
                let (v, inner) = scratch.split_at_mut(self.band());
                self.transform_tiles(band, inner, v);
                let panels = std::mem::take(&mut band.panels);
                for (panel, mut maps) in panels.into_iter().enumerate() {
                    self.multiply(inner, [v, u], band, panel, &mut maps, &finish);
                }
            });
        });
    }

    /// The same by bands that are too few for all threads, which share the panels of each instead.
    fn shared_bands(
        &self,
        (v, u): (&mut [f32], &[f32]),
        y: &mut [f32],
        finish: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let mut bands = self.cut.bands(&self.g, self.panel, y);
        let each = v.par_chunks_mut(self.band()).zip(&bands);
        each.for_each(|(v, band)| {
            self.scratch
                .each(self.strip(), |strip| self.transform_tiles(band, strip, v));
        });
        let mut tasks = Vec::new();
        for (i, band) in bands.iter_mut().enumerate() {
            let panels = std::mem::take(&mut band.panels).into_iter().enumerate();
            tasks.extend(panels.map(|(panel, maps)| (i, panel, maps)));
        }
        tasks.into_par_iter().for_each(|(i, panel, mut maps)| {
            let v = &v[i * self.band()..][..self.band()];
            self.scratch.each(self.products().iter().sum(), |products| {
                self.multiply(products, [v, u], &bands[i], panel, &mut maps, &finish);
            });
        });
    }
}

pub(super) fn by<const M: usize, const R: usize, const N: usize>(
    g: Correlation,
    filters: Filters<'_>,
    (kept, scratch): (Option<&mut Vec<f32>>, &Scratch),
    x: &[f32],
    y: &mut [f32],
    finish: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let images = x.len() / (g.c * g.h * g.w);
    let work = Work::<M, R, N>::new(g, images, x, scratch);
    let len = work.all_filters();
    let transform = |u: &mut [f32]| {
        let each = u.par_chunks_mut(work.filters()).enumerate();
        each.for_each(|(panel, u)| work.transform_filters(filters, panel, u));
    };
    let tiles = work.need(images).shared;
    match kept {
        Some(u) => {
            if u.is_empty() {
                u.resize(len, 0.0);
                transform(u);
            }
            scratch.shared(tiles, |v| work.all(v, u, y, finish));
        }
        None => scratch.shared(len + tiles, |shared| {
            let (u, v) = shared.split_at_mut(len);
            transform(u);
            work.all(v, u, y, finish);
        }),
    }
}

/// What the same works in, but for its filters.
pub(super) fn need<const M: usize, const R: usize, const N: usize>(
    g: Correlation,
    images: usize,
) -> Need {
    Work::<M, R, N>::new(g, images, &[], &Scratch::default()).need(images)
}

/// Floats of its filters.
pub(super) fn filters<const M: usize, const R: usize, const N: usize>(g: Correlation) -> usize {
    Work::<M, R, N>::new(g, 1, &[], &Scratch::default()).all_filters()
}
