//! Meaning of [`crate::ops::Activation`] and its gradient.

use rayon::prelude::*;

use super::{GRAIN, Real};
use crate::ops::Activation;

pub(crate) fn forward<T: Real>(activation: Activation, x: &[T], y: &mut [T]) {
    let pairs = y.par_iter_mut().with_min_len(GRAIN).zip(x);
    pairs.for_each(|(y, &x)| *y = value(activation, x));
}

pub(crate) fn backward<T: Real>(activation: Activation, dy: &[T], x: &[T], dx: &mut [T]) {
    let triples = dx.par_iter_mut().with_min_len(GRAIN).zip(dy).zip(x);
    triples.for_each(|((dx, &dy), &x)| *dx = gradient(activation, dy, x));
}

fn value<T: Real>(activation: Activation, x: T) -> T {
    let c = T::from_f64;
    match activation {
        Activation::LeakyRelu { .. } if x > c(0.0) => x,
        Activation::LeakyRelu { negative_slope } => c(negative_slope.into()) * x,
        Activation::Sigmoid => logistic(x),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x * logistic(x),
        Activation::Gelu => x * normal(x),
        Activation::GeluTanh => x * logistic(c(2.0) * gelu_inner(x).0),
        Activation::HardSwish => x * (clamp(x + c(3.0), 0.0, 6.0) / c(6.0)),
        Activation::Mish => x * mish(x).0,
    }
}

fn gradient<T: Real>(activation: Activation, dy: T, x: T) -> T {
    let c = T::from_f64;
    match activation {
        Activation::LeakyRelu { .. } if x > c(0.0) => dy,
        Activation::LeakyRelu { negative_slope } => c(negative_slope.into()) * dy,
        // From x, not from y: where y is 1 to its last digit, 1 - y has none left.
        Activation::Sigmoid => dy * (logistic(x) * logistic(-x)),
        Activation::Tanh => dy * (c(4.0) * logistic(c(2.0) * x) * logistic(c(-2.0) * x)),
        Activation::Silu => dy * (logistic(x) * (x * logistic(-x) + c(1.0))),
        Activation::Gelu => {
            let density = c(std::f64::consts::TAU).sqrt();
            dy * (x * ((-(x * x) / c(2.0)).exp() / density) + normal(x))
        }
        Activation::GeluTanh => {
            let (v, slope) = gelu_inner(x);
            let (above, below) = (logistic(c(2.0) * v), logistic(c(-2.0) * v));
            dy * (x * (c(2.0) * above * below * slope) + above)
        }
        Activation::HardSwish if x <= c(-3.0) => c(0.0),
        Activation::HardSwish if x >= c(3.0) => dy,
        Activation::HardSwish => dy * (x / c(3.0) + c(0.5)),
        Activation::Mish => {
            let (tanh, slope) = mish(x);
            dy * (x * slope + tanh)
        }
    }
}

/// `1 / (1 + exp(-x))`: an exponential that overflows makes it zero.
fn logistic<T: Real>(x: T) -> T {
    T::from_f64(1.0) / (T::from_f64(1.0) + (-x).exp())
}

/// `tanh(ln(1 + exp(x)))`, which is `n / (n + 2)` with `n = exp(x) (exp(x) + 2)`, and its slope; where `x` is positive, both by
/// `exp(-x)`, so that nothing overflows.
fn mish<T: Real>(x: T) -> (T, T) {
    let c = T::from_f64;
    if x >= c(0.0) {
        let e = (-x).exp();
        let n = c(1.0) + c(2.0) * e;
        let d = n + c(2.0) * e * e;
        (n / d, c(4.0) * e * e * (c(1.0) + e) / (d * d))
    } else {
        let e = x.exp();
        let n = e * (e + c(2.0));
        let d = n + c(2.0);
        (n / d, c(4.0) * e * (c(1.0) + e) / (d * d))
    }
}

/// The integral of the normal distribution up to `x`, `(1 + erf(x / sqrt 2)) / 2`.
fn normal<T: Real>(x: T) -> T {
    (x * T::from_f64(-std::f64::consts::FRAC_1_SQRT_2)).erfc() / T::from_f64(2.0)
}

/// `v = sqrt(2 / pi) (x + 0.044715 x^3)` and `dv/dx`; beyond 50 nothing depends on them, in either float, and they overflow.
fn gelu_inner<T: Real>(x: T) -> (T, T) {
    let (scale, x) = (
        T::from_f64((2.0 / std::f64::consts::PI).sqrt()),
        clamp(x, -50.0, 50.0),
    );
    let s = T::from_f64(0.044715) * x * x;
    let one = T::from_f64(1.0);
    (scale * (s * x + x), scale * (T::from_f64(3.0) * s + one))
}

/// Not-a-number stays none.
fn clamp<T: Real>(x: T, least: f64, most: f64) -> T {
    let (least, most) = (T::from_f64(least), T::from_f64(most));
    if x < least {
        least
    } else if x > most {
        most
    } else {
        x
    }
}
