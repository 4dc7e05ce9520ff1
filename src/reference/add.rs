//! Meaning of [`crate::ops::Add`].

use rayon::prelude::*;

use super::{GRAIN, Real};

pub(crate) fn forward<T: Real>(relu: bool, a: &[T], b: &[T], y: &mut [T]) {
    let zero = T::default();
    let elements = y.par_iter_mut().with_min_len(GRAIN).zip(a).zip(b);
    elements.for_each(|((y, &a), &b)| {
        let sum = a + b;
        // Not-a-number fails the comparison and passes through.
        *y = if relu && sum < zero { zero } else { sum };
    });
}
