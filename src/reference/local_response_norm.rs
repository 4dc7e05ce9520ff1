//! Meaning of [`crate::ops::LocalResponseNorm`] and its gradient.

use rayon::prelude::*;

use super::Real;
use crate::ops::ResponseWindow;

/// `k + alpha / size * sum x^2` over the window of each channel, for the maps of one image.
fn divisors<T: Real>(g: &ResponseWindow, x: &[T]) -> Vec<T> {
    let (k, alpha) = (T::from_f64(g.k), T::from_f64(g.alpha));
    let mut d = vec![T::default(); x.len()];
    for (c, d) in d.chunks_mut(g.pixels).enumerate() {
        let window = c.saturating_sub(g.size / 2)..(c + g.size - g.size / 2).min(g.channels);
        for x in x.chunks(g.pixels).take(window.end).skip(window.start) {
            d.iter_mut().zip(x).for_each(|(d, &x)| *d += x * x);
        }
        d.iter_mut().for_each(|d| *d = k + alpha * *d);
    }
    d
}

pub(crate) fn forward<T: Real>(g: &ResponseWindow, x: &[T], y: &mut [T]) {
    let image = g.channels * g.pixels;
    let power = T::from_f64(-g.beta);
    let images = y.par_chunks_mut(image).zip(x.par_chunks(image));
    images.for_each(|(y, x)| {
        let d = divisors(g, x);
        let elements = y.iter_mut().zip(x).zip(&d);
        elements.for_each(|((y, &x), d)| *y = x * d.powf(power));
    });
}

pub(crate) fn backward<T: Real>(g: &ResponseWindow, dy: &[T], x: &[T], dx: &mut [T]) {
    let image = g.channels * g.pixels;
    let power = T::from_f64(-g.beta);
    let factor = T::from_f64(2.0 * g.alpha * g.beta);
    let images = dx.par_chunks_mut(image).zip(dy.par_chunks(image));
    let images = images.zip(x.par_chunks(image));
    images.for_each(|((dx, dy), x)| {
        let d = divisors(g, x);
        // What each element hands to the channels of its window, and, in `dx`, what its own gradient is but for those.
        let mut handed = d.clone();
        let own = dx.iter_mut().zip(&mut handed).zip(dy).zip(x).zip(&d);
        own.for_each(|((((dx, handed), &dy), &x), &d)| {
            *dx = dy * d.powf(power);
            *handed = *dx * x / d;
        });
        for (c, (dx, x)) in dx.chunks_mut(g.pixels).zip(x.chunks(g.pixels)).enumerate() {
            // The windows that c lies in are those of the channels about it, mirrored.
            let behind = g.size - 1 - g.size / 2;
            let window = c.saturating_sub(behind)..(c + g.size / 2 + 1).min(g.channels);
            let mut sum = vec![T::default(); g.pixels];
            for handed in handed.chunks(g.pixels).take(window.end).skip(window.start) {
                sum.iter_mut()
                    .zip(handed)
                    .for_each(|(sum, &more)| *sum += more);
            }
            let elements = dx.iter_mut().zip(x).zip(&sum);
            elements.for_each(|((dx, &x), &sum)| *dx = *dx - factor * x * sum);
        }
    });
}
