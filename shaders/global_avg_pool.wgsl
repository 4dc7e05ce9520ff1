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

// Turns of an innermost sum: sums of so many are summed themselves, since one running sum of a million would lose digits.
const BLOCK: u32 = 64u;

// The sum of x[first..end]: of blocks, of blocks of those, and of what is left.
fn sum_of(first: u32, end: u32) -> f32 {
    var sum = 0.0;
    for (var far = first; far < end; far += BLOCK * BLOCK) {
        let far_end = min(far + BLOCK * BLOCK, end);
        var middle = 0.0;
        for (var near = far; near < far_end; near += BLOCK) {
            let near_end = min(near + BLOCK, far_end);
            var block = 0.0;
            for (var at = near; at < near_end; at++) {
                block += x[at];
            }
            middle += block;
        }
        sum += middle;
    }
    return sum;
}

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
    y[i] = sum_of(i * u.pixels, (i + 1u) * u.pixels) / f32(u.pixels);
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
