//! Meaning of [`crate::ops::Dropout`], which is its own gradient.

use super::Real;
use crate::rng::pcg4d;

/// `key` is stream, step, seed.
pub(crate) fn forward<T: Real>(key: [u32; 3], threshold: u32, scale: f32, x: &[T], y: &mut [T]) {
    let [stream, step, seed] = key;
    let scale = T::from_f64(scale.into());
    for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
        let [random, ..] = pcg4d([i as u32, stream, step, seed]);
        *y = if random >= threshold {
            x * scale
        } else {
            T::default()
        };
    }
}
