//! Meaning of [`crate::ops::AvgPool2d`] and its gradient.

use rayon::prelude::*;

use super::Real;
use super::sum::sum_of;
use crate::ops::{Divisor, PoolGeometry};

/// Elements along an axis of the window at output `at` that are not beyond the padding.
fn padded(g: &PoolGeometry, axis: usize, at: usize) -> usize {
    let start = at * g.stride[axis];
    let end = (start + g.extent[axis]).min(g.padded(axis));
    (end - start).div_ceil(g.dilation[axis])
}

/// Calls `f` for each output of a map with the places in it that are averaged, and by what their sum is divided.
fn windows<T: Real>(
    g: &PoolGeometry,
    divisor: Divisor,
    mut f: impl FnMut(usize, &mut dyn Iterator<Item = usize>, T),
) {
    for to in 0..g.p * g.q {
        let [p, q] = [to / g.q, to % g.q];
        let (rows, columns) = (g.places(0, p), g.places(1, q));
        let divisor = match divisor {
            Divisor::Padded => (padded(g, 0, p) * padded(g, 1, q)) as f64,
            Divisor::OnMap => (rows.len() * columns.len()) as f64,
            Divisor::Fixed(divisor) => f64::from(divisor),
        };
        let mut places = rows.flat_map(|h| columns.clone().map(move |w| h * g.w + w));
        f(to, &mut places, T::from_f64(divisor));
    }
}

pub(crate) fn forward<T: Real>(g: &PoolGeometry, divisor: Divisor, x: &[T], y: &mut [T]) {
    let maps = y.par_chunks_mut(g.p * g.q).zip(x.par_chunks(g.h * g.w));
    maps.for_each(|(y, x)| {
        windows(g, divisor, |to, places, size| {
            y[to] = sum_of(places.map(|at| x[at])) / size;
        });
    });
}

pub(crate) fn backward<T: Real>(
    g: &PoolGeometry,
    divisor: Divisor,
    dy: &[T],
    mask: Option<&[T]>,
    dx: &mut [T],
) {
    let maps = dx.par_chunks_mut(g.h * g.w).zip(dy.par_chunks(g.p * g.q));
    maps.for_each(|(dx, dy)| {
        dx.fill(T::default());
        windows(g, divisor, |from, places, size: T| {
            for at in places {
                dx[at] += dy[from] / size;
            }
        });
    });
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
}
