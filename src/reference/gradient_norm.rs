//! Meaning of [`crate::ops::GradientNorm`].

use super::Real;

/// Terms that are added up one by one; their sums then are, so that millions of terms lose no digits.
const CHUNK: usize = 1 << 10;

/// The sum of the squares of `g`.
pub(crate) fn squares<T: Real>(g: &[T]) -> T {
    let chunk = |chunk: &[T]| chunk.iter().map(|&g| g * g).sum::<T>();
    g.chunks(CHUNK).map(chunk).sum()
}
