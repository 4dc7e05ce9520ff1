// Adam over one slab that holds every parameter (gaps between parameters have gradient 0 and stay 0).
//   m = beta1 m + rest1 g,  v = beta2 v + rest2 g^2,  p -= rate m / (sqrt(v) scale + eps)
//   1 hyper read [2]: rate, scale   2 g read [len]   3 p update [len]   4 m update [len]   5 v update [len]
// One invocation per element. Reference: src/reference/adam.rs

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
@group(0) @binding(2) var<storage, read> g: array<f32>;
@group(0) @binding(3) var<storage, read_write> p: array<f32>;
@group(0) @binding(4) var<storage, read_write> m: array<f32>;
@group(0) @binding(5) var<storage, read_write> v: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn step(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.len {
        return;
    }
    let gradient = g[i];
    let first = u.beta1 * m[i] + u.rest1 * gradient;
    let second = u.beta2 * v[i] + u.rest2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    p[i] -= hyper[0] * first / (sqrt(second) * hyper[1] + u.eps);
}
