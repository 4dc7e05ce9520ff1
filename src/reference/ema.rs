//! Meaning of [`crate::ops::Ema`].

use super::Real;

/// `e += weight (p - e)`: nothing happens with a weight of 0, and one of 1 takes `p` whatever `e` was.
pub(crate) fn update<T: Real>(weight: T, p: &[T], e: &mut [T]) {
    if weight == T::from_f64(1.0) {
        e.copy_from_slice(p);
    } else if weight != T::default() {
        for (e, &p) in e.iter_mut().zip(p) {
            *e = *e + weight * (p - *e);
        }
    }
}
