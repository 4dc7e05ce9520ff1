//! Meaning of [`crate::ops::Relu`] and its gradient.

use rayon::prelude::*;

use super::{GRAIN, Real};

pub(crate) fn forward<T: Real>(x: &[T], y: &mut [T]) {
    let zero = T::default();
    let pairs = y.par_iter_mut().with_min_len(GRAIN).zip(x);
    // Not-a-number fails the comparison and passes through, so that a diverged loss shows.
    pairs.for_each(|(y, &x)| *y = if x < zero { zero } else { x });
}

pub(crate) fn backward<T: Real>(dy: &[T], y: &[T], dx: &mut [T]) {
    dx.copy_from_slice(dy);
    mask(y, dx);
}

/// Zeroes `dx` where the activation `y` was not positive.
pub(crate) fn mask<T: Real>(y: &[T], dx: &mut [T]) {
    let parts = dx.par_chunks_mut(GRAIN).zip(y.par_chunks(GRAIN));
    parts.for_each(|(dx, y)| mask_part(y, dx));
}

/// The same of a part, on this thread.
#[inline(always)]
pub(super) fn mask_part<T: Real>(y: &[T], dx: &mut [T]) {
    let zero = T::default();
    for (dx, &y) in dx.iter_mut().zip(y) {
        *dx = if y <= zero { zero } else { *dx };
    }
}
