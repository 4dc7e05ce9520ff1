//! Meaning of [`crate::ops::Softmax`].

use super::Real;

pub(crate) fn forward<T: Real>(classes: usize, x: &[T], y: &mut [T]) {
    for (x, y) in x.chunks(classes).zip(y.chunks_mut(classes)) {
        let log_sum = log_sum_exp(x);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = (x - log_sum).exp();
        }
    }
}

/// `ln(sum exp(x))`, shifted by the maximum so that nothing overflows.
pub(crate) fn log_sum_exp<T: Real>(x: &[T]) -> T {
    let max = x
        .iter()
        .copied()
        .fold(x[0], |a, b| if b > a { b } else { a });
    x.iter().map(|&x| (x - max).exp()).sum::<T>().ln() + max
}
