//! Meaning of [`crate::ops::GlobalAvgPool`] and its gradient.

use rayon::prelude::*;

use super::sum::sum;
use super::{GRAIN, Real};

pub(crate) fn forward<T: Real>(x: &[T], y: &mut [T]) {
    let pixels = x.len() / y.len();
    let maps = y.par_iter_mut().zip(x.par_chunks(pixels));
    maps.with_min_len(GRAIN.div_ceil(pixels))
        .for_each(|(y, map)| *y = sum(map) / T::from_f64(pixels as f64));
}

pub(crate) fn backward<T: Real>(dy: &[T], mask: Option<&[T]>, dx: &mut [T]) {
    let pixels = dx.len() / dy.len();
    for (&dy, map) in dy.iter().zip(dx.chunks_mut(pixels)) {
        map.fill(dy / T::from_f64(pixels as f64));
    }
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
}
