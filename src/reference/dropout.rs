//! Meaning of [`crate::ops::Dropout`], which is its own gradient.

use rayon::prelude::*;

use super::{GRAIN, Real};
use crate::graph::rng::pcg4d;

/// `key` is stream, step, seed; `first` is the place of the first element in its batch.
pub(crate) fn forward<T: Real>(
    key: [u32; 3],
    first: u32,
    threshold: u32,
    scale: f32,
    x: &[T],
    y: &mut [T],
) {
    let [stream, step, seed] = key;
    let scale = T::from_f64(scale.into());
    let elements = y.par_iter_mut().with_min_len(GRAIN).zip(x).enumerate();
    elements.for_each(|(i, (y, &x))| {
        let [random, ..] = pcg4d([first.wrapping_add(i as u32), stream, step, seed]);
        *y = if random >= threshold {
            x * scale
        } else {
            T::default()
        };
    });
}
