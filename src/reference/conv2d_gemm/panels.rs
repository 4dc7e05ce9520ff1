//! Filters times columns: a panel of columns, as wide as the kernel's tile, is written and met by all filters while it is near.
//!
//! Filters lie as they are, since the kernel takes single elements of six rows at once; and outputs are finished, by a bias or a
//! mask, as they leave the registers.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::columns::{im2col, is_pointwise};
use super::kernel::{LANES, ROWS, columns, load, multiply, store, vectors};
use super::scratch::{Need, Scratch};
use crate::ops::Geometry;

/// Most pixels of a task, three panels: filters are read so often, and outputs written in runs so long.
const PIXELS: usize = 192;
/// Terms that are summed at once, or those of one channel: more columns would leave the cache.
const TERMS: usize = 512;
/// Filters of a task, at least.
const FILTERS: usize = 48;

/// Some pixels of some filters' maps.
struct Task<'y> {
    /// Number of the image, each group's channels being one.
    image: usize,
    pixels: Range<usize>,
    /// The first filter.
    first: usize,
    maps: Vec<&'y mut [f32]>,
}

/// `y [images,K,P,Q]` of `x [images,C,H,W]`, where image `i` meets the filters `w [groups,K,C,R,S]` of group `i % groups`. Then
/// `finish(map, from, part)` sees each part of a map, those of image `i` and filter `k` being number `i * K + k`, from pixel `from` on.
pub(super) fn correlate(
    g: &Geometry,
    scratch: &Scratch,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    finish: impl Fn(usize, usize, &mut [f32]) + Copy + Sync,
) {
    let arch = Arch::new();
    let filters = g.k * g.terms();
    tasks(g, y).into_par_iter().for_each(|mut task| {
        let image = g.c * g.h * g.w;
        scratch.each(need(g).each, |columns| {
            arch.dispatch(Product {
                g,
                x: &x[task.image * image..][..image],
                w: &w[task.image * filters % w.len()..][..filters],
                task: &mut task,
                columns,
                finish,
            });
        });
    });
}

/// What it works in: the columns of a task.
pub(super) fn need(g: &Geometry) -> Need {
    Need {
        shared: 0,
        each: width(g) * channels(g) * g.window(),
    }
}

/// Pixels of a task.
fn width(g: &Geometry) -> usize {
    let parts = g.pixels().div_ceil(PIXELS);
    g.pixels().div_ceil(parts).next_multiple_of(LANES)
}

/// Channels that are summed at once.
fn channels(g: &Geometry) -> usize {
    (TERMS / g.window()).clamp(1, g.c)
}

/// Tasks of all pixels, and of all filters or, where tasks are too few for all threads, of some.
fn tasks<'y>(g: &Geometry, y: &'y mut [f32]) -> Vec<Task<'y>> {
    let (pixels, images) = (g.pixels(), y.len() / (g.k * g.pixels()));
    let each = width(g);
    let places = images * pixels.div_ceil(PIXELS);
    let shares = (2 * rayon::current_num_threads()).div_ceil(places);
    let filters = (g.k.div_ceil(shares).next_multiple_of(ROWS)).max(FILTERS);
    let mut tasks = Vec::with_capacity(places * g.k.div_ceil(filters));
    for (image, y) in y.chunks_mut(g.k * pixels).enumerate() {
        for (share, y) in y.chunks_mut(filters * pixels).enumerate() {
            let begun = tasks.len();
            tasks.extend((0..pixels).step_by(each).map(|from| Task {
                image,
                pixels: from..pixels.min(from + each),
                first: share * filters,
                maps: Vec::with_capacity(y.len() / pixels),
            }));
            for map in y.chunks_mut(pixels) {
                for (task, part) in tasks[begun..].iter_mut().zip(map.chunks_mut(each)) {
                    task.maps.push(part);
                }
            }
        }
    }
    tasks
}

/// One task.
struct Product<'a, 'y, F> {
    g: &'a Geometry,
    /// The maps of its image.
    x: &'a [f32],
    /// The filters of its group.
    w: &'a [f32],
    task: &'a mut Task<'y>,
    /// Columns of some channels, `[panels, channels*R*S, width]`.
    columns: &'a mut [f32],
    finish: F,
}

impl<F: Fn(usize, usize, &mut [f32]) + Copy> WithSimd for Product<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (g, task) = (self.g, self.task);
        let (window, map) = (g.window(), g.h * g.w);
        let channels = channels(g);
        let (first, pixels) = (task.first, task.pixels.clone());
        for c in (0..g.c).step_by(channels) {
            let channels = channels.min(g.c - c);
            let depth = channels * window;
            let panels = pixels.clone().step_by(columns::<S>());
            let panels = panels.map(|from| from..pixels.end.min(from + columns::<S>()));
            let mut rest = &mut *self.columns;
            for panel in panels.clone() {
                let width = panel.len().next_multiple_of(S::F32_LANES);
                let (to, further) = rest.split_at_mut(depth * width);
                rest = further;
                let maps = self.x[c * map..][..channels * map].chunks(map);
                let each = to.chunks_mut(window * width).zip(maps);
                if is_pointwise(g) && panel.len() == columns::<S>() {
                    // So few vectors are copied sooner than a function is called that copies them.
                    each.for_each(|(to, map)| copy::<S>(&map[panel.clone()], to));
                } else {
                    each.for_each(|(to, map)| im2col(g, map, &panel, to, width));
                }
            }
            for (i, maps) in task.maps.chunks_mut(ROWS).enumerate() {
                let k = first + i * ROWS;
                let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
                for (i, row) in rows.iter_mut().enumerate() {
                    // Those beyond the last filter are computed and left.
                    let k = k + i.min(maps.len() - 1);
                    *row = &self.w[k * g.terms() + c * window..][..depth];
                }
                let mut b = &*self.columns;
                for panel in panels.clone() {
                    let at = panel.start - pixels.start..panel.end - pixels.start;
                    let vectors = panel.len().div_ceil(S::F32_LANES);
                    multiply::<S>(simd, depth, rows, b, maps, at, c > 0);
                    b = &b[depth * vectors * S::F32_LANES..];
                }
                if c + channels == g.c {
                    for (i, part) in maps.iter_mut().enumerate() {
                        (self.finish)(task.image * g.k + k + i, pixels.start, part);
                    }
                }
            }
        }
    }
}

/// Copies a full panel's row.
#[inline(always)]
fn copy<S: Simd>(from: &[f32], to: &mut [f32]) {
    for i in 0..vectors::<S>() {
        let at = i * S::F32_LANES;
        store::<S>(&mut to[at..], load::<S>(&from[at..]));
    }
}
