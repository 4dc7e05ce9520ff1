//! Depthwise convolutions: a GEMM would have one row, so rows of pixels are scaled and added as they lie.

use rayon::prelude::*;

use super::columns::runs;
use crate::ops::Geometry;
use crate::reference::relu;

/// The window's elements, row by row.
fn taps(g: &Geometry) -> impl Iterator<Item = (usize, usize)> + use<> {
    let (r, s) = (g.r, g.s);
    (0..r).flat_map(move |row| (0..s).map(move |column| (row, column)))
}

pub(super) fn forward(
    g: &Geometry,
    relu: bool,
    x: &[f32],
    w: &[f32],
    b: Option<&[f32]>,
    y: &mut [f32],
) {
    let (map, filters) = (g.h * g.w, g.k / g.c);
    let maps = y.par_chunks_mut(g.pixels()).enumerate();
    maps.for_each(|(i, y)| {
        let (k, x) = (i % g.k, &x[i / filters * map..][..map]);
        y.fill(b.map_or(0.0, |b| b[k]));
        for (tap, &w) in taps(g).zip(&w[k * g.window()..]) {
            runs(g, tap, &(0..g.pixels()), |from, to, len| {
                scale_and_add(w, (&x[from..], g.stride[1]), (&mut y[to..to + len], 1), len);
            });
        }
        if relu {
            for y in y {
                // Not-a-number fails the comparison and passes through.
                if *y < 0.0 {
                    *y = 0.0;
                }
            }
        }
    });
}

pub(super) fn dgrad(g: &Geometry, dy: &[f32], w: &[f32], mask: Option<&[f32]>, dx: &mut [f32]) {
    let (map, filters) = (g.h * g.w, g.k / g.c);
    dx.par_chunks_mut(map).enumerate().for_each(|(i, dx)| {
        dx.fill(0.0);
        for m in 0..filters {
            let dy = &dy[(i * filters + m) * g.pixels()..][..g.pixels()];
            let w = &w[(i % g.c * filters + m) * g.window()..];
            for (tap, &w) in taps(g).zip(w) {
                runs(g, tap, &(0..g.pixels()), |to, from, len| {
                    scale_and_add(w, (&dy[from..], 1), (&mut dx[to..], g.stride[1]), len);
                });
            }
        }
        if let Some(mask) = mask {
            relu::mask(&mask[i * map..], dx);
        }
    });
}

pub(super) fn wgrad(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (map, filters) = (g.h * g.w, g.k / g.c);
    let window = dw.par_chunks_mut(g.window()).enumerate();
    window.for_each(|(k, dw)| {
        for (tap, dw) in taps(g).zip(dw) {
            let mut sum = 0.0;
            for n in 0..g.n {
                let x = &x[(n * g.c + k / filters) * map..][..map];
                let dy = &dy[(n * g.k + k) * g.pixels()..][..g.pixels()];
                runs(g, tap, &(0..g.pixels()), |from, to, len| {
                    let dy = &dy[to..to + len];
                    // Rows are short; their sums are many.
                    sum += f64::from(product((&x[from..], g.stride[1]), dy));
                });
            }
            *dw = sum as f32;
        }
    });
}

/// Adds `w` times `len` elements of `from` to those of `to`, each given with the distance of neighbours.
fn scale_and_add(
    w: f32,
    (from, from_step): (&[f32], usize),
    (to, to_step): (&mut [f32], usize),
    len: usize,
) {
    if from_step == 1 && to_step == 1 {
        for (to, &from) in to[..len].iter_mut().zip(&from[..len]) {
            *to += w * from;
        }
    } else {
        let from = from.iter().step_by(from_step).take(len);
        for (to, &from) in to.iter_mut().step_by(to_step).zip(from) {
            *to += w * from;
        }
    }
}

/// Sum of products, in eight lanes where neighbours are adjacent, which vectorises.
fn product((x, step): (&[f32], usize), dy: &[f32]) -> f32 {
    if step > 1 {
        let x = x.iter().step_by(step);
        return x.zip(dy).map(|(x, dy)| x * dy).sum();
    }
    let (x, x_rest) = x[..dy.len()].as_chunks::<8>();
    let (dy, dy_rest) = dy.as_chunks::<8>();
    let mut lanes = [0f32; 8];
    for (x, dy) in x.iter().zip(dy) {
        for (lane, (x, dy)) in lanes.iter_mut().zip(x.iter().zip(dy)) {
            *lane += x * dy;
        }
    }
    let rest = x_rest.iter().zip(dy_rest).map(|(x, dy)| x * dy);
    lanes.into_iter().chain(rest).sum()
}
