//! Meaning of [`crate::ops::GlobalAvgPool`] and its gradient.

use super::Real;

pub(crate) fn forward<T: Real>(x: &[T], y: &mut [T]) {
    let pixels = x.len() / y.len();
    for (y, map) in y.iter_mut().zip(x.chunks(pixels)) {
        *y = map.iter().copied().sum::<T>() / T::from_f64(pixels as f64);
    }
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
