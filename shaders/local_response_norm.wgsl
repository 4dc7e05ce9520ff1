// Local response normalisation across channels, and its gradient. One invocation per element, which walks its window.
//   y[c] = x[c] d[c]^-beta,  d[c] = k + alpha / size * sum_{j in window(c)} x[j]^2
//   window(c): c - size / 2 .. c - size / 2 + size - 1, as far as there are channels
//   forward:  1 x read [N,C,pixels]   2 y write [N,C,pixels]
//   backward: dx[c] = dy[c] d[c]^-beta - 2 alpha beta / size x[c] sum_{j: c in window(j)} dy[j] x[j] d[j]^(-beta - 1)
//     1 x read   2 dy read [N,C,pixels]   3 dx write [N,C,pixels], where x > 0 if u.masked == 1
// The gradient takes its d[j] anew, one sum after another: that is size^2 loads that mostly hit caches, and no memory.
// Reference: src/reference/local_response_norm.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
    channels: u32,
    pixels: u32,
    size: u32,
    // alpha / size
    alpha: f32,
    beta: f32,
    k: f32,
    masked: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// d of channel c, at the pixel of an image that begins at `first`.
fn divisor(first: u32, c: u32) -> f32 {
    let before = u.size / 2u;
    let low = c - min(c, before);
    let high = min(c + u.size - before, u.channels);
    var sum = 0.0;
    for (var j = low; j < high; j++) {
        let value = x[first + j * u.pixels];
        sum += value * value;
    }
    return u.k + u.alpha * sum;
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let c = i / u.pixels % u.channels;
        y[i] = x[i] * pow(divisor(i - c * u.pixels, c), -u.beta);
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.len {
        return;
    }
    let c = i / u.pixels % u.channels;
    let first = i - c * u.pixels;
    // The windows that c lies in are those of the channels about it, mirrored.
    let behind = u.size - 1u - u.size / 2u;
    let low = c - min(c, behind);
    let high = min(c + u.size / 2u + 1u, u.channels);
    var sum = 0.0;
    for (var j = low; j < high; j++) {
        let at = first + j * u.pixels;
        sum += dy[at] * x[at] * pow(divisor(first, j), -u.beta - 1.0);
    }
    let own = dy[i] * pow(divisor(first, c), -u.beta);
    let gradient = own - 2.0 * u.alpha * u.beta * x[i] * sum;
    dx[i] = select(gradient, 0.0, u.masked == 1u && x[i] <= 0.0);
}
