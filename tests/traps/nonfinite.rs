//! What becomes of one infinity, by every algorithm of a convolution: it never vanishes, and it stays in its image, its group and
//! its filter.
//!
//! Sums of the terms as they are spoil exactly what sums it. Packed panels multiply padding too, and 0 times infinity is no number;
//! Winograd's method spoils whole tiles. So there may be more of them than the definition has, but only where this says.

use crate::cases::{Case, CaseBuilder, floats, gpu, on_gpu, on_reference, shape};
use crate::{INF, NAN};
use nin_wgpu::graph::ValueId;
use nin_wgpu::ops::{Conv2d, Conv2dDgrad, Conv2dWgrad, Geometry};
use nin_wgpu::plan::Conv2dAlgorithm;

/// Rows, columns and images.
const N: usize = 2;
const H: usize = 9;
const W: usize = 11;

/// Where nothing is spoilt.
const NOWHERE: usize = usize::MAX;

/// Positive numbers, so that only padding holds zeros; the one at `at` is `what`.
fn spoilt(len: usize, seed: u32, at: usize, what: f32) -> Vec<f32> {
    let mut x: Vec<f32> = floats(len, seed).iter().map(|x| 0.1 + x.abs()).collect();
    if let Some(x) = x.get_mut(at) {
        *x = what;
    }
    x
}

/// Compares with the definition by every algorithm that serves the convolution: what is none there is none or infinite, and what
/// `may` not be is as it is there. `may` is asked of the number of a result and the place in it.
fn check(case: &Case, g: &Geometry, may: impl Fn(usize, usize) -> bool) {
    let want = on_reference::<f64>(case);
    let mut all = want.iter().flatten();
    assert!(all.any(|want| !want.is_finite()), "{}", case.name);
    let mut all = vec![("the CPU".to_owned(), on_reference::<f32>(case))];
    if let Some(gpu) = gpu() {
        let available = Conv2dAlgorithm::available(gpu.plan_options().limits);
        let serving = available.into_iter().filter(|by| by.serves(g));
        all.extend(serving.map(|by| (by.to_string(), on_gpu(gpu, case, by))));
    }
    for (by, got) in all {
        for (result, (got, want)) in got.iter().zip(&want).enumerate() {
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                let name = format!(
                    "{} by {by}: element {i} of result {result} is {got}, expected {want}",
                    case.name
                );
                if !want.is_finite() {
                    assert!(!got.is_finite(), "{name}");
                } else if !may(result, i) {
                    assert!((got - want).abs() <= 1e-3 * want.abs().max(1.0), "{name}");
                }
            }
        }
    }
}

/// A convolution with one number that is none in one of its operands.
struct Spoilt {
    conv: Conv2d,
    g: Geometry,
    case: CaseBuilder,
    what: f32,
}

impl Spoilt {
    fn new(conv: Conv2d, [c, k]: [usize; 2], what: f32) -> Self {
        let g = conv.geometry(shape(&[N, c, H, W]), k).expect("fits");
        Self {
            conv,
            g,
            case: CaseBuilder::new(),
            what,
        }
    }

    /// An operand; the one at `at` is none.
    fn input(&mut self, dims: &[usize], seed: u32, at: usize) -> ValueId {
        let len = dims.iter().product();
        self.case.input(dims, spoilt(len, seed, at, self.what))
    }

    fn x(&mut self, at: usize) -> ValueId {
        self.input(&[N, self.g.c, H, W], 1, at)
    }

    fn w(&mut self, at: usize) -> ValueId {
        let g = self.g;
        self.input(&[g.k, g.c / g.groups, g.r, g.s], 2, at)
    }

    fn dy(&mut self, at: usize) -> ValueId {
        let g = self.g;
        self.input(&[N, g.k, g.p, g.q], 3, at)
    }

    fn forward(mut self, x: usize, w: usize, b: usize, may: impl Fn(usize, usize) -> bool) {
        let mut inputs = vec![self.x(x), self.w(w)];
        if self.conv.is_biased() {
            inputs.push(self.input(&[self.g.k], 4, b));
        }
        self.case.op(self.conv, &inputs, &[]);
        self.check("forward", may);
    }

    fn dgrad(mut self, dy: usize, w: usize, may: impl Fn(usize, usize) -> bool) {
        let inputs = [self.dy(dy), self.w(w)];
        self.case
            .op(Conv2dDgrad::new(self.conv, H, W), &inputs, &[]);
        self.check("dgrad", may);
    }

    fn wgrad(mut self, x: usize, dy: usize, may: impl Fn(usize, usize) -> bool) {
        let inputs = [self.x(x), self.dy(dy)];
        self.case.op(Conv2dWgrad::new(self.conv), &inputs, &[]);
        self.check("wgrad", may);
    }

    fn check(self, direction: &str, may: impl Fn(usize, usize) -> bool) {
        let name = format!("{direction} of {}, {}", self.g, self.what);
        check(&self.case.case(name), &self.g, may);
    }
}

/// Spoils each operand of each direction in turn.
fn each_operand(conv: Conv2d, [c, k]: [usize; 2]) {
    for what in [INF, -INF, NAN] {
        let spoilt = || Spoilt::new(conv, [c, k], what);
        let g = spoilt().g;
        let (terms, window, map, pixels) = (g.terms(), g.window(), H * W, g.pixels());
        let (channels, filters) = (c / g.groups, k / g.groups);
        // One of the last group's first filters, and a channel of that group.
        let of = (g.groups - 1) * filters + filters.min(3) - 1;
        let channel = (g.groups - 1) * channels + channels.min(3) - 1;
        let within = channel % channels;
        let of_filter = |i: usize| i / filters == g.groups - 1;
        let of_channel = |i: usize| i / channels == g.groups - 1;

        let only_map = |_, i| i / pixels % k == of;
        let at = of * terms + within * window;
        spoilt().forward(NOWHERE, at, NOWHERE, only_map);
        if conv.is_biased() {
            spoilt().forward(NOWHERE, NOWHERE, of, only_map);
        }
        let at = (c + channel) * map;
        spoilt().forward(at, NOWHERE, NOWHERE, |_, i| {
            i / (k * pixels) == 1 && of_filter(i / pixels % k)
        });

        spoilt().dgrad(of * pixels, NOWHERE, |_, i| {
            i / (c * map) == 0 && of_channel(i / map % c)
        });
        let at = of * terms + within * window;
        spoilt().dgrad(NOWHERE, at, |_, i| i / map % c == channel);

        // With a bias, its gradient is the second result.
        spoilt().wgrad(NOWHERE, of * pixels, |result, i| match result {
            0 => i / terms == of,
            _ => i == of,
        });
        spoilt().wgrad(channel * map, NOWHERE, |result, i| {
            result == 0 && of_filter(i / terms) && i / window % channels == within
        });
    }
}

/// Filter, stride and padding.
const WINDOWS: [[usize; 3]; 4] = [[3, 1, 1], [5, 1, 2], [3, 2, 1], [1, 1, 0]];

fn conv([filter, stride, pad]: [usize; 3]) -> Conv2d {
    Conv2d::new(filter, stride, pad).expect("valid")
}

#[test]
fn an_infinity_never_vanishes_and_stays_in_its_image_and_filter() {
    for window in WINDOWS {
        each_operand(conv(window).without_bias(), [5, 6]);
    }
}

#[test]
fn nor_with_a_bias_which_it_does_not_reach_from_the_input() {
    for window in WINDOWS {
        each_operand(conv(window), [5, 6]);
    }
}

#[test]
fn nor_out_of_its_group() {
    for window in WINDOWS {
        let grouped = conv(window).with_groups(2).expect("valid");
        for conv in [grouped, grouped.without_bias()] {
            each_operand(conv, [6, 8]);
        }
    }
}

#[test]
fn nor_out_of_its_channel_where_each_has_filters_of_its_own() {
    for window in WINDOWS {
        let depthwise = conv(window).with_groups(5).expect("valid");
        for conv in [depthwise, depthwise.without_bias()] {
            each_operand(conv, [5, 5]);
            each_operand(conv, [5, 10]);
        }
    }
}
