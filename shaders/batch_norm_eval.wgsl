// Batch normalisation by its running statistics, and the convolution that it is one with.
//   scale = weight / sqrt(var + eps)
//   normalize: y = (x - mean) scale + bias, then max(y, 0) if u.relu == 1      one invocation per element
//     1 weight read [C]   2 bias read [C]   3 mean read [C]   4 variance read [C]   5 x read [N,C,pixels]   6 y write
//   fold: w_folded = w scale,  b_folded = (b - mean) scale + bias; b is 0 if u.has_b == 0   one invocation per filter's element
//     1 to 4 as above     5 w read [C,terms]   6 b read [C]   7 w_folded write [C,terms]   8 b_folded write [C]
// Reference: src/reference/batch_norm.rs

import package::common::index::{WORKGROUP, linear};
import package::common::number::is_negative;

struct Uniform {
    // Elements of x, or of w.
    len: u32,
    channels: u32,
    // Elements of a channel that lie side by side: pixels, or the terms of a filter.
    inner: u32,
    eps: f32,
    relu: u32,
    has_b: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read> mean: array<f32>;
@group(0) @binding(4) var<storage, read> variance: array<f32>;

@group(0) @binding(5) var<storage, read> x: array<f32>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@group(0) @binding(5) var<storage, read> w: array<f32>;
@group(0) @binding(6) var<storage, read> b: array<f32>;
@group(0) @binding(7) var<storage, read_write> w_folded: array<f32>;
@group(0) @binding(8) var<storage, read_write> b_folded: array<f32>;

fn scale_of(c: u32) -> f32 {
    return weight[c] / sqrt(variance[c] + u.eps);
}

@compute @workgroup_size(WORKGROUP)
fn normalize(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let c = i / u.inner % u.channels;
        let value = (x[i] - mean[c]) * scale_of(c) + bias[c];
        y[i] = select(value, 0.0, u.relu == 1u && is_negative(value));
    }
}

@compute @workgroup_size(WORKGROUP)
fn fold(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let c = i / u.inner;
        w_folded[i] = w[i] * scale_of(c);
        if i % u.inner == 0u {
            let before = select(0.0, b[c], u.has_b == 1u);
            b_folded[c] = (before - mean[c]) * scale_of(c) + bias[c];
        }
    }
}
