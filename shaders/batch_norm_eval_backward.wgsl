// Gradient of batch normalisation by running statistics. Per channel c, with invstd = 1 / sqrt(var + eps):
//   dweight = sum dy (x - mean) invstd,  dbias = sum dy
//   dx = weight invstd dy, where x > 0 if u.masked == 1
// A workgroup owns a chunk of a channel, which is the whole of it unless channels are few and large.
//   1 dy read [N,C,pixels]   2 x read [N,C,pixels]   3 weight read [C]   4 mean read [C]   5 variance read [C]
//   6 partial_dw write [chunks,2,C]: dweight, dbias   7 dx write [N,C,pixels]
// Reference: src/reference/batch_norm.rs

import package::common::workgroup_sum::{LANES, STRETCH, workgroup_sum};

struct Uniform {
    channels: u32,
    pixels: u32,
    // Elements of a channel, and of a chunk of one.
    len: u32,
    chunk: u32,
    eps: f32,
    masked: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> mean: array<f32>;
@group(0) @binding(5) var<storage, read> variance: array<f32>;
@group(0) @binding(6) var<storage, read_write> partial_dw: array<f32>;
@group(0) @binding(7) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let c = workgroup.y;
    let invstd = 1.0 / sqrt(variance[c] + u.eps);
    let scale = weight[c] * invstd;
    let first = workgroup.x * u.chunk;
    let end = min(first + u.chunk, u.len);
    var sum = vec2f(0.0);
    for (var far = first + local; far < end; far += STRETCH) {
        var block = vec2f(0.0);
        for (var e = far; e < min(far + STRETCH, end); e += LANES) {
            // Elements of a channel are counted over images, then over pixels.
            let n = e / u.pixels;
            let at = (n * u.channels + c) * u.pixels + e - n * u.pixels;
            block += dy[at] * vec2f(x[at] - mean[c], 1.0);
            dx[at] = select(scale * dy[at], 0.0, u.masked == 1u && x[at] <= 0.0);
        }
        sum += block;
    }
    let whole = workgroup_sum(sum, local) * vec2f(invstd, 1.0);
    if local == 0u {
        let to = 2u * workgroup.x * u.channels + c;
        partial_dw[to] = whole.x;
        partial_dw[to + u.channels] = whole.y;
    }
}
