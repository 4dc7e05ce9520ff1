// Optimizers over one slab that holds every parameter (gaps between parameters have gradient 0 and stay 0). The variant names
// the rule by which one element moves, and how many bindings stand before those of the gradient:
//   1 hyper read [3]: rate, scale, learning rate   2 p update [len]   then m update [len] of all rules that keep it, v update [len]
//   of Adam's, and but for `adam` groups read: one line a range of parameters, (first element, factor of its rate, its decay, 0)
//   step:      G g read [len]
//   sum_step:  the gradients come in parts, summed here in order: g[i] = sum_z partial_g[base + z*stride + i - start]
//     G g_sum write [len]   G+1 layers read [2*layers]   G+2 partial_g read
//   step_part, sum_part: the same of a batch that is run part by part; hyper read [6]: also keep, weight, last
//     s = keep s + weight g;  only with `last` do parameters move, by s.   step_part: G+1 s update [len]   sum_part: G g_sum update
//   clip_step: G g read [len]: of the whole batch   G+1 norm read [1]: that of all gradients, which is brought down to
//     max_norm; hyper read [6]: only with `last` do parameters move
// A layer is (w start, w end, b start, b end) in the slab, then (base, parts, 0, 0). One part of a layer is the gradient of
// its filters and behind it that of its bias. One invocation per element. Reference: src/reference/optimizer.rs

import package::common::gradient::with_part;
import package::common::index::{WORKGROUP, linear};
import package::variant::{GRADIENT, move_parameter};

struct Uniform {
    len: u32,
    // Decay of the first moment; SGD's momentum.
    beta1: f32,
    // 1 - beta1, from double precision.
    rest1: f32,
    beta2: f32,
    rest2: f32,
    eps: f32,
    // 1 if the decay of the weights leaves the moments out (AdamW).
    decoupled: u32,
    nesterov: u32,
    max_norm: f32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> p: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;
@group(0) @binding(GRADIENT - 1) var<storage, read> groups: array<vec4u>;

@group(0) @binding(GRADIENT) var<storage, read> g: array<f32>;

@group(0) @binding(GRADIENT + 1) var<storage, read_write> s: array<f32>;

@group(0) @binding(GRADIENT + 1) var<storage, read> norm: array<f32>;

@group(0) @binding(GRADIENT) var<storage, read_write> g_sum: array<f32>;
@group(0) @binding(GRADIENT + 1) var<storage, read> layers: array<vec4u>;
@group(0) @binding(GRADIENT + 2) var<storage, read> partial_g: array<f32>;

// Factor of the rate and decay of the group that an element is in: the last that begins at or before it.
fn group_of(i: u32) -> vec2f {
    var low = 0u;
    var high = arrayLength(&groups);
    while high - low > 1u {
        let middle = (low + high) / 2u;
        let before = groups[middle].x <= i;
        low = select(low, middle, before);
        high = select(middle, high, before);
    }
    return bitcast<vec2f>(groups[low].yz);
}

// m = beta1 m + rest1 g,  v = beta2 v + rest2 g^2,  p -= rate m / (sqrt(v) scale + eps)
fn adam(i: u32, gradient: f32) {
    let first = u.beta1 * m[i] + u.rest1 * gradient;
    let second = u.beta2 * v[i] + u.rest2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    p[i] -= hyper[0] * first / (sqrt(second) * hyper[1] + u.eps);
}

// The same of g + decay p; or, decoupled, of g, after p -= learning rate * decay p.
fn adam_groups(i: u32, gradient: f32) {
    let group = group_of(i);
    let decay = group.y * p[i];
    let decoupled = u.decoupled != 0u;
    let before = p[i] - select(0.0, hyper[2] * group.x * decay, decoupled);
    let decayed = gradient + select(decay, 0.0, decoupled);
    let first = u.beta1 * m[i] + u.rest1 * decayed;
    let second = u.beta2 * v[i] + u.rest2 * decayed * decayed;
    m[i] = first;
    v[i] = second;
    p[i] = before - hyper[0] * group.x * first / (sqrt(second) * hyper[1] + u.eps);
}

// p -= rate (g + decay p)
fn sgd_groups(i: u32, gradient: f32) {
    let group = group_of(i);
    p[i] -= hyper[0] * group.x * (gradient + group.y * p[i]);
}

// The same along m = beta1 m + scale (g + decay p); Nesterov's looks one step of m ahead.
fn momentum_groups(i: u32, gradient: f32) {
    let group = group_of(i);
    let decayed = gradient + group.y * p[i];
    let first = u.beta1 * m[i] + hyper[1] * decayed;
    m[i] = first;
    p[i] -= hyper[0] * group.x * select(first, decayed + u.beta1 * first, u.nesterov != 0u);
}

@compute @workgroup_size(WORKGROUP)
fn step(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        move_parameter(i, g[i]);
    }
}

@compute @workgroup_size(WORKGROUP)
fn clip_step(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len && hyper[5] != 0.0 {
        let factor = u.max_norm / (norm[0] + 1e-6);
        move_parameter(i, g[i] * select(factor, 1.0, factor > 1.0));
    }
}

fn summed_gradient(i: u32) -> f32 {
    for (var layer = 0u; layer < arrayLength(&layers); layer += 2u) {
        let span = layers[layer];
        let in_w = i >= span.x && i < span.y;
        if in_w || (i >= span.z && i < span.w) {
            let parts = layers[layer + 1u];
            let weights = span.y - span.x;
            let stride = weights + span.w - span.z;
            var at = parts.x + select(weights + i - span.z, i - span.x, in_w);
            var sum = 0.0;
            for (var z = 0u; z < parts.y; z++) {
                sum += partial_g[at];
                at += stride;
            }
            return sum;
        }
    }
    return 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn sum_step(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let gradient = summed_gradient(i);
        g_sum[i] = gradient;
        move_parameter(i, gradient);
    }
}

@compute @workgroup_size(WORKGROUP)
fn step_part(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let gradient = with_part(s[i], g[i], hyper[3], hyper[4]);
        s[i] = gradient;
        if hyper[5] != 0.0 {
            move_parameter(i, gradient);
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn sum_part(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let gradient = with_part(g_sum[i], summed_gradient(i), hyper[3], hyper[4]);
        g_sum[i] = gradient;
        if hyper[5] != 0.0 {
            move_parameter(i, gradient);
        }
    }
}
