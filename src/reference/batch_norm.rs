//! Meaning of [`crate::ops::BatchNorm`], its gradient, and what it is in evaluation.

use rayon::prelude::*;

use super::sum::Pairs;
use super::{GRAIN, Real, vectorized};
use crate::ops::Channels;

/// Numbers that are summed side by side, so that a compiler makes vectors of them.
const LANES: usize = 16;
/// Numbers of a map that are summed at once; sums of those are added in pairs.
const CHUNK: usize = 1024;

/// `sum f(a[i], b[i])`, two sums at once; always added in the same order.
fn sum2<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> [T; 2]) -> [T; 2] {
    let mut lanes = [[T::default(); LANES]; 2];
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a.iter().zip(b) {
        for i in 0..LANES {
            let [s, t] = f(a[i], b[i]);
            lanes[0][i] += s;
            lanes[1][i] += t;
        }
    }
    for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        let [s, t] = f(a, b);
        lanes[0][i] += s;
        lanes[1][i] += t;
    }
    lanes.map(|lanes| lanes.into_iter().sum())
}

/// The same over all maps of channel `c`.
fn channel_sum2<T: Real>(
    sizes: &Channels,
    c: usize,
    a: &[T],
    b: &[T],
    f: impl Fn(T, T) -> [T; 2],
) -> [T; 2] {
    let maps = (0..sizes.len / sizes.pixels).map(|n| (n * sizes.channels + c) * sizes.pixels);
    let mut sums = [Pairs::new(), Pairs::new()];
    for at in maps {
        let map = at..at + sizes.pixels;
        for (a, b) in a[map.clone()].chunks(CHUNK).zip(b[map].chunks(CHUNK)) {
            let [s, t] = sum2(a, b, &f);
            sums[0].push(s);
            sums[1].push(t);
        }
    }
    sums.map(|sums| sums.total())
}

/// Writes mean and `1 / sqrt(var + eps)` of each channel to `saved [2,C]`; returns the unbiased variances.
///
/// In two passes, since a difference of large sums would leave no digits of a small variance; the second corrects the mean of
/// the first too.
pub(crate) fn statistics<T: Real>(sizes: &Channels, eps: T, x: &[T], saved: &mut [T]) -> Vec<T> {
    let zero = T::default();
    let len = T::from_f64(sizes.len as f64);
    let less = T::from_f64((sizes.len - 1) as f64);
    let (means, invstds) = saved.split_at_mut(sizes.channels);
    let channels = means.par_iter_mut().zip(invstds).enumerate();
    let variance = |(c, (mean, invstd)): (usize, (&mut T, &mut T))| {
        let [sum, _] = channel_sum2(sizes, c, x, x, |x, _| [x, zero]);
        let about = sum / len;
        let [rest, squares] = channel_sum2(sizes, c, x, x, |x, _| {
            let off = x - about;
            [off, off * off]
        });
        *mean = about + rest / len;
        let squares = squares - rest * rest / len;
        // Not-a-number fails the comparison and passes through.
        let squares = if squares < zero { zero } else { squares };
        *invstd = T::from_f64(1.0) / (squares / len + eps).sqrt();
        squares / less
    };
    channels.map(variance).collect()
}

/// `running = (1 - momentum) running + momentum value`.
pub(crate) fn run_along<T: Real>(momentum: T, values: &[T], running: &mut [T]) {
    for (running, &value) in running.iter_mut().zip(values) {
        *running = (T::from_f64(1.0) - momentum) * *running + momentum * value;
    }
}

/// `y = (x - mean) scale + shift` with `[mean, scale, shift]` of each channel, then a shortcut and ReLU.
pub(crate) fn normalize<T: Real>(
    sizes: &Channels,
    relu: bool,
    x: &[T],
    of: impl Fn(usize) -> [T; 3] + Sync,
    shortcut: Option<&[T]>,
    y: &mut [T],
) {
    let pixels = sizes.pixels;
    // No branch, so that a compiler makes vectors of it. Not-a-number fails the comparison and passes through.
    let least = T::from_f64(if relu { 0.0 } else { f64::NEG_INFINITY });
    let maps = y.par_chunks_mut(pixels).enumerate();
    maps.with_min_len(GRAIN.div_ceil(pixels))
        .for_each(|(i, y)| {
            let of_channel = of(i % sizes.channels);
            let map = i * pixels..(i + 1) * pixels;
            let (x, shortcut) = (&x[map.clone()], shortcut.map(|of| &of[map]));
            vectorized(
                #[inline(always)]
                move || normalize_map(of_channel, least, x, shortcut, y),
            );
        });
}

#[inline(always)]
fn normalize_map<T: Real>(
    [mean, scale, shift]: [T; 3],
    least: T,
    x: &[T],
    shortcut: Option<&[T]>,
    y: &mut [T],
) {
    let behind = |value: T| if value < least { least } else { value };
    match shortcut {
        Some(shortcut) => {
            for ((y, &x), &s) in y.iter_mut().zip(x).zip(shortcut) {
                *y = behind((x - mean) * scale + shift + s);
            }
        }
        None => {
            for (y, &x) in y.iter_mut().zip(x) {
                *y = behind((x - mean) * scale + shift);
            }
        }
    }
}

/// `dweight` and `dbias`.
pub(crate) fn gradient_sums<T: Real>(
    sizes: &Channels,
    dy: &[T],
    x: &[T],
    saved: &[T],
    dweight: &mut [T],
    dbias: &mut [T],
) {
    let channels = dweight.par_iter_mut().zip(dbias).enumerate();
    channels.for_each(|(c, (dweight, dbias))| {
        let (mean, invstd) = (saved[c], saved[sizes.channels + c]);
        let [weight, bias] = channel_sum2(sizes, c, dy, x, |dy, x| [dy * (x - mean), dy]);
        *dweight = weight * invstd;
        *dbias = bias;
    });
}

/// `dx = weight invstd (dy - (dbias + xhat dweight) / len)`.
pub(crate) fn backward<T: Real>(
    sizes: &Channels,
    dy: &[T],
    x: &[T],
    saved: &[T],
    weight: &[T],
    [dweight, dbias]: [&[T]; 2],
    dx: &mut [T],
) {
    let pixels = sizes.pixels;
    let len = T::from_f64(sizes.len as f64);
    let maps = dx.par_chunks_mut(pixels).enumerate();
    maps.with_min_len(GRAIN.div_ceil(pixels))
        .for_each(|(i, dx)| {
            let c = i % sizes.channels;
            let (mean, invstd) = (saved[c], saved[sizes.channels + c]);
            let (scale, mean_dy) = (weight[c] * invstd, dbias[c] / len);
            let slope = invstd * dweight[c] / len;
            let map = i * pixels..(i + 1) * pixels;
            for ((dx, &dy), &x) in dx.iter_mut().zip(&dy[map.clone()]).zip(&x[map]) {
                *dx = scale * (dy - mean_dy - (x - mean) * slope);
            }
        });
}

/// Filters and bias of the convolution that one and the normalisation behind it are together.
pub(crate) fn fold<T: Real>(
    eps: T,
    [weight, bias, mean, var]: [&[T]; 4],
    w: &[T],
    b: Option<&[T]>,
    w_folded: &mut [T],
    b_folded: &mut [T],
) {
    let terms = w.len() / bias.len();
    let filters = w_folded.chunks_mut(terms).zip(w.chunks(terms));
    for (c, ((to, from), shift)) in filters.zip(b_folded).enumerate() {
        let scale = weight[c] / (var[c] + eps).sqrt();
        to.iter_mut().zip(from).for_each(|(to, &w)| *to = w * scale);
        *shift = (b.map_or(T::default(), |b| b[c]) - mean[c]) * scale + bias[c];
    }
}
