//! Meaning of [`crate::ops::Relu`] and its gradient.

use super::Real;

pub(crate) fn forward<T: Real>(x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        // Not-a-number fails the comparison and passes through, so that a diverged loss shows.
        *y = if x < T::default() { T::default() } else { x };
    }
}

pub(crate) fn backward<T: Real>(dy: &[T], y: &[T], dx: &mut [T]) {
    dx.copy_from_slice(dy);
    mask(y, dx);
}

/// Zeroes `dx` where the activation `y` was not positive.
pub(crate) fn mask<T: Real>(y: &[T], dx: &mut [T]) {
    for (dx, &y) in dx.iter_mut().zip(y) {
        if y <= T::default() {
            *dx = T::default();
        }
    }
}
