// Activations and their gradients, one invocation per element. The variant names the function f.
//   forward:   y = f(x)          1 x read [len]    2 y write [len]
//   backward: dx = dy f'(x)      1 dy read [len]   2 x_in read [len]   3 dx write [len]
// Infinities and what is no number become what they become in PyTorch; nothing finite overflows. Where a product with x
// carries what is no number on, nothing else needs to. Reference: src/reference/activation.rs

import package::common::index::{WORKGROUP, linear};
import package::common::number::is_no_number;
import package::variant::{activate, differentiate};

struct Uniform {
    len: u32,
    negative_slope: f32,
}

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x_in: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        y[i] = activate(x[i]);
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        dx[i] = differentiate(dy[i], x_in[i]);
    }
}

// exp(-|x|). Beyond 110 it is zero, which not every exponential says of infinity.
fn decay(x: f32) -> f32 {
    return exp(-min(abs(x), 110.0));
}

// (1 / (1 + exp(-x)), 1 / (1 + exp(x))), each to its last digits; what is no number becomes any.
fn logistic(x: f32) -> vec2f {
    let e = decay(x);
    return select(vec2f(e, 1.0), vec2f(1.0, e), x >= 0.0) / (1.0 + e);
}

// The normal distribution's (integral up to x, density at x); what is no number becomes any. The integral is
// (1 + erf(x / sqrt 2)) / 2: near zero 1/2 + x P(x^2), P fitted for |x| <= 1.1 within 1e-8 of its value; beyond it the tail
// is exp(-x^2 / 2) t Q(t), t = 1 / (1 + 0.28 |x|), fitted within 8e-8. Rounded as f32 is, erf is off by 1.7e-7 at most.
fn normal(x: f32) -> vec2f {
    // Beyond 15 both are zero, and no square overflows.
    let a = min(abs(x), 15.0);
    let s = a * a;
    let e = exp(-0.5 * s);
    let p = ((((-7.35679347e-6 * s + 1.12764164e-4) * s - 1.18573063e-3) * s + 9.9731293e-3) * s - 6.64903403e-2) * s;
    let near = a * (p + 0.39894228);
    let t = 1.0 / (1.0 + 0.28 * a);
    let q = ((-5.94370658e-2 * t + 0.131387694) * t - 3.66523905e-3) * t + 0.110094906;
    let tail = e * t * (((q * t + 9.75179e-2) * t + 0.112347493) * t + 0.111672085);
    // Of the two sides first the smaller, which so keeps its digits.
    let small = select(tail, 0.5 - near, a < 1.1);
    return vec2f(select(1.0 - small, small, x < 0.0), 0.39894228 * e);
}

// Positive by its bits: what is no number is not, and has the negative slope, as in PyTorch.
fn is_positive(x: f32) -> bool {
    return bitcast<u32>(x) - 1u < 0x7f800000u;
}

fn leaky_relu_value(x: f32) -> f32 {
    return select(u.negative_slope * x, x, is_positive(x));
}

fn leaky_relu_gradient(dy: f32, x: f32) -> f32 {
    return select(u.negative_slope * dy, dy, is_positive(x));
}

fn sigmoid_value(x: f32) -> f32 {
    return select(logistic(x).x, x, is_no_number(x));
}

fn sigmoid_gradient(dy: f32, x: f32) -> f32 {
    let s = logistic(x);
    return select(dy * (s.x * s.y), x, is_no_number(x));
}

// Near zero, where 1 - exp(-2 |x|) has few digits left, the polynomial of Cephes' tanhf; so that none depends on how a device
// does its own.
fn tanh_value(x: f32) -> f32 {
    let s = x * x;
    let p = (((-5.70498873e-3 * s + 2.06390888e-2) * s - 5.37397156e-2) * s + 0.133314422) * s - 0.333332819;
    let e = decay(2.0 * x);
    let far = (1.0 - e) / (1.0 + e);
    let y = select(select(far, -far, x < 0.0), p * s * x + x, abs(x) < 0.625);
    return select(y, x, is_no_number(x));
}

fn tanh_gradient(dy: f32, x: f32) -> f32 {
    let s = logistic(2.0 * x);
    return select(dy * (4.0 * s.x * s.y), x, is_no_number(x));
}

fn silu_value(x: f32) -> f32 {
    return x * logistic(x).x;
}

fn silu_gradient(dy: f32, x: f32) -> f32 {
    let s = logistic(x);
    return dy * (s.x * (x * s.y + 1.0));
}

fn gelu_value(x: f32) -> f32 {
    return x * normal(x).x;
}

fn gelu_gradient(dy: f32, x: f32) -> f32 {
    let p = normal(x);
    return dy * (x * p.y + p.x);
}

// v = sqrt(2 / pi) (x + 0.044715 x^3), where (1 + tanh v) / 2 = 1 / (1 + exp(-2v)), and dv/dx. Beyond 15 that is 0 or 1.
fn gelu_inner(x: f32) -> vec2f {
    let c = clamp(x, -15.0, 15.0);
    let s = 0.044715 * c * c;
    return 0.797884561 * vec2f(s * c + c, 3.0 * s + 1.0);
}

fn gelu_tanh_value(x: f32) -> f32 {
    return x * logistic(2.0 * gelu_inner(x).x).x;
}

fn gelu_tanh_gradient(dy: f32, x: f32) -> f32 {
    let v = gelu_inner(x);
    let s = logistic(2.0 * v.x);
    return dy * (x * (2.0 * s.x * s.y * v.y) + s.x);
}

fn hard_swish_value(x: f32) -> f32 {
    return x * (clamp(x + 3.0, 0.0, 6.0) / 6.0);
}

fn hard_swish_gradient(dy: f32, x: f32) -> f32 {
    let inside = select(dy * (x / 3.0 + 0.5), dy, x >= 3.0);
    return select(select(inside, 0.0, x <= -3.0), x, is_no_number(x));
}

// tanh(ln(1 + exp(x))), which is n / (n + 2) with n = exp(x) (exp(x) + 2), and its slope; where x is positive, both by exp(-x).
fn mish(x: f32) -> vec2f {
    let e = decay(x);
    let is_below = x < 0.0;
    let n = select(1.0 + 2.0 * e, e * (e + 2.0), is_below);
    let d = n + select(2.0 * e * e, 2.0, is_below);
    let slope = 4.0 * e * (1.0 + e) / (d * d);
    return vec2f(n / d, select(slope * e, slope, is_below));
}

fn mish_value(x: f32) -> f32 {
    return x * mish(x).x;
}

fn mish_gradient(dy: f32, x: f32) -> f32 {
    let m = mish(x);
    return dy * (x * m.y + m.x);
}
