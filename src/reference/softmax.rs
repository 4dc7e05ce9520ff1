//! Meaning of [`crate::ops::Softmax`].

use super::Real;
use super::sum::sum_of;

pub(crate) fn forward<T: Real>(classes: usize, log: bool, x: &[T], y: &mut [T]) {
    for (x, y) in x.chunks(classes).zip(y.chunks_mut(classes)) {
        let row = Row::new(x);
        for (y, &x) in y.iter_mut().zip(x) {
            let logarithm = row.log_softmax(x);
            *y = if log { logarithm } else { logarithm.exp() };
        }
    }
}

/// What the logits of a row have in common.
pub(super) struct Row<T> {
    max: T,
    /// `ln(sum exp(x - max))`.
    log_sum: T,
}

impl<T: Real> Row<T> {
    pub(super) fn new(x: &[T]) -> Self {
        let logits = x.iter().copied();
        let max = logits.clone().fold(x[0], |a, b| if b > a { b } else { a });
        let log_sum = sum_of(logits.map(|x| (x - max).exp())).ln();
        Self { max, log_sum }
    }

    /// The maximum is taken off first: nothing overflows, and large logits lose no digits.
    pub(super) fn log_softmax(&self, x: T) -> T {
        x - self.max - self.log_sum
    }
}
