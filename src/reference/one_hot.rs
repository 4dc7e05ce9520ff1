//! Meaning of [`crate::ops::OneHot`].

use super::Real;
use crate::ops::IGNORE;

pub(crate) fn forward<T: Real>(classes: usize, labels: &[u32], y: &mut [T], weights: &mut [T]) {
    let one = T::from_f64(1.0);
    y.fill(T::default());
    for ((row, weight), &label) in y.chunks_mut(classes).zip(weights).zip(labels) {
        *weight = if label == IGNORE { T::default() } else { one };
        if let Some(y) = row.get_mut(label as usize) {
            *y = one;
        }
    }
}
