//! Meaning of [`crate::ops::Adam`].

use rayon::prelude::*;

use super::{GRAIN, Real};
use crate::ops::{Adam, widen};

pub(crate) fn update<T: Real>(
    adam: &Adam,
    [rate, scale]: [T; 2],
    g: &[T],
    p: &mut [T],
    m: &mut [T],
    v: &mut [T],
) {
    let [beta1, beta2, eps] = [adam.beta1, adam.beta2, adam.eps].map(|x| T::from_f64(widen(x)));
    let [rest1, rest2] = [adam.beta1, adam.beta2].map(|x| T::from_f64(1.0 - widen(x)));
    let state = p.par_iter_mut().with_min_len(GRAIN).zip(m).zip(v).zip(g);
    state.for_each(|(((p, m), v), &g)| {
        *m = beta1 * *m + rest1 * g;
        *v = beta2 * *v + rest2 * g * g;
        *p = *p - rate * *m / (v.sqrt() * scale + eps);
    });
}

/// `sum = keep sum + weight g`, where nothing is kept of a sum that `keep` is 0 for.
pub(crate) fn add_part<T: Real>(keep: T, weight: T, g: &[T], sum: &mut [T]) {
    for (sum, &g) in sum.iter_mut().zip(g) {
        let before = if keep == T::default() { keep } else { *sum };
        *sum = before + weight * g;
    }
}
