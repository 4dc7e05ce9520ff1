// Adam over one slab that holds every parameter (gaps between parameters have gradient 0 and stay 0).
//   m = beta1 m + rest1 g,  v = beta2 v + rest2 g^2,  p -= rate m / (sqrt(v) scale + eps)
//   1 hyper read [2]: rate, scale   2 p update [len]   3 m update [len]   4 v update [len]
//   step:      5 g read [len]
//   sum_step:  the gradients come in parts, summed here in order: g[i] = sum_z partial_g[base + z*stride + i - start]
//     5 g_sum write [len]   6 layers read [2*layers]   7 partial_g read
//   step_part, sum_part: the same of a batch that is run part by part; hyper read [5]: rate, scale, keep, weight, last
//     s = keep s + weight g;  only with `last` do p, m and v move, by s.   step_part: 6 s update [len]   sum_part: 5 s update [len]
// A layer is (w start, w end, b start, b end) in the slab, then (base, parts, 0, 0). One part of a layer is the gradient of
// its filters and behind it that of its bias; without one, b is empty. One invocation per element. Reference: src/reference/adam.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
    beta1: f32,
    // 1 - beta1, from double precision.
    rest1: f32,
    beta2: f32,
    rest2: f32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read_write> p: array<f32>;
@group(0) @binding(3) var<storage, read_write> m: array<f32>;
@group(0) @binding(4) var<storage, read_write> v: array<f32>;

@group(0) @binding(5) var<storage, read> g: array<f32>;

@group(0) @binding(6) var<storage, read_write> s: array<f32>;

@group(0) @binding(5) var<storage, read_write> g_sum: array<f32>;
@group(0) @binding(6) var<storage, read> layers: array<vec4u>;
@group(0) @binding(7) var<storage, read> partial_g: array<f32>;

fn move_parameter(i: u32, gradient: f32) {
    let first = u.beta1 * m[i] + u.rest1 * gradient;
    let second = u.beta2 * v[i] + u.rest2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    p[i] -= hyper[0] * first / (sqrt(second) * hyper[1] + u.eps);
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

// The sum so far, with the gradient of this part.
fn with_part(before: f32, gradient: f32) -> f32 {
    return select(0.0, before, hyper[2] != 0.0) + hyper[3] * gradient;
}

@compute @workgroup_size(WORKGROUP)
fn step_part(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let gradient = with_part(s[i], g[i]);
        s[i] = gradient;
        if hyper[4] != 0.0 {
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
        let gradient = with_part(g_sum[i], summed_gradient(i));
        g_sum[i] = gradient;
        if hyper[4] != 0.0 {
            move_parameter(i, gradient);
        }
    }
}
