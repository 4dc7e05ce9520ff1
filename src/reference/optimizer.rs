//! Meaning of [`crate::ops::Update`].

use rayon::prelude::*;

use super::{GRAIN, Real, vectorized};
use crate::ops::{Adam, Group, Sgd, widen};

/// `g + decay p`; without a decay the gradient as it is, so that an infinite `p` does not touch it.
#[inline(always)]
fn decayed<T: Real>(g: T, decay: T, p: T) -> T {
    if decay == T::default() {
        g
    } else {
        g + decay * p
    }
}

pub(crate) fn adam<T: Real>(
    adam: &Adam,
    hyper: &[T],
    group: Group,
    g: &[T],
    [p, m, v]: [&mut [T]; 3],
) {
    let real = |x: f32| T::from_f64(widen(x));
    let [beta1, beta2, eps] = [adam.beta1, adam.beta2, adam.eps].map(real);
    let [rest1, rest2] = [adam.beta1, adam.beta2].map(|x| T::from_f64(1.0 - widen(x)));
    let [factor, decay] = [group.rate, group.decay].map(real);
    let (rate, scale) = (hyper[0] * factor, hyper[1]);
    let (coupled, shrink) = match adam.decoupled {
        true => (T::default(), hyper[2] * factor * decay),
        false => (decay, T::default()),
    };
    let state = p.par_chunks_mut(GRAIN).zip(m.par_chunks_mut(GRAIN));
    let state = state.zip(v.par_chunks_mut(GRAIN).zip(g.par_chunks(GRAIN)));
    state.for_each(|((p, m), (v, g))| {
        let (m, v, g) = (&mut m[..p.len()], &mut v[..p.len()], &g[..p.len()]);
        vectorized(
            #[inline(always)]
            move || {
                for i in 0..p.len() {
                    let g = decayed(g[i], coupled, p[i]);
                    let kept = decayed(p[i], -shrink, p[i]);
                    m[i] = beta1 * m[i] + rest1 * g;
                    v[i] = beta2 * v[i] + rest2 * g * g;
                    p[i] = kept - rate * m[i] / (v[i].sqrt() * scale + eps);
                }
            },
        );
    });
}

/// `m` is there if the momentum is not 0.
pub(crate) fn sgd<T: Real>(
    sgd: &Sgd,
    hyper: &[T],
    group: Group,
    g: &[T],
    p: &mut [T],
    m: Option<&mut [T]>,
) {
    let real = |x: f32| T::from_f64(widen(x));
    let [momentum, factor, decay] = [sgd.momentum, group.rate, group.decay].map(real);
    let (rate, part) = (hyper[0] * factor, hyper[1]);
    let Some(m) = m else {
        for (p, &g) in p.iter_mut().zip(g) {
            *p = *p - rate * decayed(g, decay, *p);
        }
        return;
    };
    for ((p, m), &g) in p.iter_mut().zip(m).zip(g) {
        let g = decayed(g, decay, *p);
        *m = momentum * *m + part * g;
        let ahead = if sgd.nesterov { g + momentum * *m } else { *m };
        *p = *p - rate * ahead;
    }
}

/// `sum = keep sum + weight g`, where nothing is kept of a sum that `keep` is 0 for.
pub(crate) fn add_part<T: Real>(keep: T, weight: T, g: &[T], sum: &mut [T]) {
    for (sum, &g) in sum.iter_mut().zip(g) {
        let before = if keep == T::default() { keep } else { *sum };
        *sum = before + weight * g;
    }
}

/// The factor that brings gradients of this norm down to `most`; as in `torch.nn.utils.clip_grad_norm_`.
pub(crate) fn clip_factor<T: Real>(norm: T, most: f32) -> T {
    let factor = T::from_f64(widen(most)) / (norm + T::from_f64(1e-6));
    let one = T::from_f64(1.0);
    if factor > one { one } else { factor }
}
