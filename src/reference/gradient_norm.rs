//! Meaning of [`crate::ops::GradientNorm`].

use super::Real;
use super::sum::sum_of;

/// The sum of the squares of `g`.
pub(crate) fn squares<T: Real>(g: &[T]) -> T {
    sum_of(g.iter().map(|&g| g * g))
}
