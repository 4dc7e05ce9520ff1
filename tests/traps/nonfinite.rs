//! What becomes of one infinity, by every algorithm of a convolution: it never vanishes, and it stays in its image and filter.
//!
//! Sums of the terms as they are spoil exactly what sums it. Packed panels multiply padding too, and 0 times infinity is no number;
//! Winograd's method spoils whole tiles. So there may be more of them than the definition has, but only where this says.

use crate::cases::{Case, CaseBuilder, floats, gpu, on_gpu, on_reference};
use crate::{INF, NAN};
use nin_wgpu::ops::{Conv2d, Conv2dDgrad, Conv2dWgrad};
use nin_wgpu::plan::Conv2dAlgorithm;

/// Channels, filters, rows, columns and images.
const N: usize = 2;
const C: usize = 5;
const H: usize = 9;
const W: usize = 11;
const K: usize = 6;

/// Positive numbers, so that only padding holds zeros; the one at `at` is `what`.
fn spoilt(len: usize, seed: u32, at: usize, what: f32) -> Vec<f32> {
    let mut x: Vec<f32> = floats(len, seed).iter().map(|x| 0.1 + x.abs()).collect();
    if let Some(x) = x.get_mut(at) {
        *x = what;
    }
    x
}

/// Compares with the definition: what is none there is none or infinite by every algorithm, and what `may` not be is as it is there.
fn check(case: &Case, may: impl Fn(usize) -> bool) {
    let want = &on_reference::<f64>(case)[0];
    assert!(want.iter().any(|want| !want.is_finite()), "{}", case.name);
    let mut all = vec![("the CPU".to_owned(), on_reference::<f32>(case))];
    if let Some(gpu) = gpu() {
        let available = Conv2dAlgorithm::available(gpu.plan_options().limits);
        let results = available
            .into_iter()
            .map(|algorithm| (algorithm.to_string(), on_gpu(gpu, case, algorithm)));
        all.extend(results);
    }
    for (by, got) in all {
        for (i, (got, want)) in got[0].iter().zip(want).enumerate() {
            let name = format!(
                "{} by {by}: element {i} is {got}, expected {want}",
                case.name
            );
            if !want.is_finite() {
                assert!(!got.is_finite(), "{name}");
            } else if !may(i) {
                assert!((got - want).abs() <= 1e-3 * want.abs().max(1.0), "{name}");
            }
        }
    }
}

#[test]
fn an_infinity_never_vanishes_and_stays_in_its_image_and_filter() {
    let none = usize::MAX;
    for (filter, stride, pad) in [(3, 1, 1), (5, 1, 2), (3, 2, 1), (1, 1, 0)] {
        let conv = Conv2d::new(filter, stride, pad)
            .expect("valid")
            .without_bias();
        let [p, q] = [H, W].map(|side| (side + 2 * pad - filter) / stride + 1);
        let terms = C * filter * filter;
        let (x_len, w_len, dy_len) = (N * C * H * W, K * terms, N * K * p * q);
        for what in [INF, -INF, NAN] {
            let name = |of: &str| format!("{of}, {filter}x{filter} stride {stride}, {what}");
            let input = |case: &mut CaseBuilder, of, at| match of {
                'x' => case.input(&[N, C, H, W], spoilt(x_len, 1, at, what)),
                'w' => case.input(&[K, C, filter, filter], spoilt(w_len, 2, at, what)),
                _ => case.input(&[N, K, p, q], spoilt(dy_len, 3, at, what)),
            };
            // In the last of three filters: only their maps, or their filters' gradient, may be spoilt.
            let k = 3;
            let mut case = CaseBuilder::new();
            let (x, w) = (
                input(&mut case, 'x', none),
                input(&mut case, 'w', k * terms),
            );
            case.op(conv, &[x, w], &[]);
            check(&case.case(name("forward, in w")), |i| i / (p * q) % K == k);

            let mut case = CaseBuilder::new();
            let (x, w) = (
                input(&mut case, 'x', C * H * W),
                input(&mut case, 'w', none),
            );
            case.op(conv, &[x, w], &[]);
            check(&case.case(name("forward, in x")), |i| i / (K * p * q) == 1);

            let mut case = CaseBuilder::new();
            let (dy, w) = (
                input(&mut case, 'y', k * p * q),
                input(&mut case, 'w', none),
            );
            case.op(Conv2dDgrad::new(conv, H, W), &[dy, w], &[]);
            check(&case.case(name("dgrad, in dy")), |i| i / (C * H * W) == 0);

            let mut case = CaseBuilder::new();
            let (dy, w) = (
                input(&mut case, 'y', none),
                input(&mut case, 'w', k * terms),
            );
            case.op(Conv2dDgrad::new(conv, H, W), &[dy, w], &[]);
            check(&case.case(name("dgrad, in w")), |i| {
                (i / (H * W)).is_multiple_of(C)
            });

            let mut case = CaseBuilder::new();
            let (x, dy) = (
                input(&mut case, 'x', none),
                input(&mut case, 'y', k * p * q),
            );
            case.op(Conv2dWgrad::new(conv), &[x, dy], &[]);
            check(&case.case(name("wgrad, in dy")), |i| i / terms == k);

            let mut case = CaseBuilder::new();
            let (x, dy) = (
                input(&mut case, 'x', 2 * H * W),
                input(&mut case, 'y', none),
            );
            case.op(Conv2dWgrad::new(conv), &[x, dy], &[]);
            check(&case.case(name("wgrad, in x")), |i| {
                i / (filter * filter) % C == 2
            });
        }
    }
}
