// Concatenation along channels and its gradient: a dispatch for each part, one invocation per element of the part.
// An image has `block` elements in the part and `stride` in the whole, where the part begins at element `first`.
//   forward:  y[n*stride + first + j] = x[n*block + j]     1 x read [len]           2 y write [N*stride]
//   backward: dx[n*block + j] = dy[n*stride + first + j]   1 dy read [N*stride]     2 dx write [len]
// Reference: src/reference/concat.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
    block: u32,
    stride: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

// Where element i of the part lies in the whole.
fn place(i: u32) -> u32 {
    return i / u.block * u.stride + u.first + i % u.block;
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        y[place(i)] = x[i];
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
        dx[i] = dy[place(i)];
    }
}
