// Global average pooling and its gradient.
//   forward:  y[m] = sum_i x[m,i] / pixels                     one invocation per map
//     1 x read [M,pixels]   2 y write [M]
//   backward: dx[m,i] = dy[m] / pixels, where mask > 0 if masked   one invocation per pixel
//     1 dy read [M]         2 mask read [M,pixels]   3 dx write [M,pixels]
// M is batch times channels. Reference: src/reference/global_avg_pool.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    maps: u32,
    pixels: u32,
    masked: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.maps {
        return;
    }
    var sum = 0.0;
    for (var at = i * u.pixels; at < (i + 1u) * u.pixels; at++) {
        sum += x[at];
    }
    y[i] = sum / f32(u.pixels);
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.maps * u.pixels {
        return;
    }
    var gradient = dy[i / u.pixels] / f32(u.pixels);
    if u.masked != 0u && mask[i] <= 0.0 {
        gradient = 0.0;
    }
    dx[i] = gradient;
}
