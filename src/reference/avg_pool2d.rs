//! Meaning of [`crate::ops::AvgPool2d`] and its gradient.

use std::ops::Range;

use rayon::prelude::*;

use super::Real;
use crate::ops::PoolGeometry;

/// Input positions of the window at output `at`, along an axis of `size`, and how many count.
fn window(
    g: &PoolGeometry,
    count_include_pad: bool,
    axis: usize,
    at: usize,
    size: usize,
) -> (Range<usize>, usize) {
    let (start, pad) = (at * g.stride[axis], g.pad[axis]);
    let end = (start + g.window[axis]).min(size + 2 * pad);
    let on_map = start.saturating_sub(pad)..(end - pad).min(size);
    let counted = if count_include_pad {
        end - start
    } else {
        on_map.len()
    };
    (on_map, counted)
}

/// Calls `f` for each output of a map with the places in it that are averaged, and by what their sum is divided.
fn windows<T: Real>(
    g: &PoolGeometry,
    count_include_pad: bool,
    mut f: impl FnMut(usize, &mut dyn Iterator<Item = usize>, T),
) {
    for to in 0..g.p * g.q {
        let (rows, height) = window(g, count_include_pad, 0, to / g.q, g.h);
        let (columns, width) = window(g, count_include_pad, 1, to % g.q, g.w);
        let mut places = rows.flat_map(|h| columns.clone().map(move |w| h * g.w + w));
        f(to, &mut places, T::from_f64((height * width) as f64));
    }
}

pub(crate) fn forward<T: Real>(g: &PoolGeometry, count_include_pad: bool, x: &[T], y: &mut [T]) {
    let maps = y.par_chunks_mut(g.p * g.q).zip(x.par_chunks(g.h * g.w));
    maps.for_each(|(y, x)| {
        windows(g, count_include_pad, |to, places, size| {
            y[to] = places.map(|at| x[at]).sum::<T>() / size;
        });
    });
}

pub(crate) fn backward<T: Real>(
    g: &PoolGeometry,
    count_include_pad: bool,
    dy: &[T],
    mask: Option<&[T]>,
    dx: &mut [T],
) {
    let maps = dx.par_chunks_mut(g.h * g.w).zip(dy.par_chunks(g.p * g.q));
    maps.for_each(|(dx, dy)| {
        dx.fill(T::default());
        windows(g, count_include_pad, |from, places, size: T| {
            for at in places {
                dx[at] += dy[from] / size;
            }
        });
    });
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
}
