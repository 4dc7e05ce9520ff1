// ReLU and its gradient, one invocation per element. Not-a-number passes through.
//   forward:   y = max(x, 0)         1 x read [len]   2 y write [len]
//   backward: dx = dy where y > 0    1 dy read [len]  2 y read [len]   3 dx write [len]
// Reference: src/reference/relu.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> activation: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        // Negative by its bits: of `x < 0` some compilers make max(x, 0), which loses what is no number.
        let is_negative = bitcast<u32>(x[i]) - 0x80000000u <= 0x7f800000u;
        y[i] = select(x[i], 0.0, is_negative);
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
        dx[i] = select(dy[i], 0.0, activation[i] <= 0.0);
    }
}
