// Dropout: y = x * scale where the element's random word reaches the threshold, else 0. Its own gradient.
//   1 x read [len]   2 random read [3]: seed, step, first   3 y write [len]
// Element 0 is the first of image `first` of the batch, each of which has `stride` elements.
// One invocation per element. Reference: src/reference/dropout.rs

import package::common::index::{WORKGROUP, linear};
import package::common::rng::pcg4d;

struct Uniform {
    len: u32,
    stream: u32,
    threshold: u32,
    scale: f32,
    stride: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> random: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let word = pcg4d(vec4u(random[2] * u.stride + i, u.stream, random[1], random[0])).x;
        y[i] = select(0.0, x[i] * u.scale, word >= u.threshold);
    }
}
