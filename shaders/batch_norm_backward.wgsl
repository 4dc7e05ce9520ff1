// Gradient of batch normalisation by the statistics of the batch. Per channel c, with xhat = (x - mean) invstd:
//   dweight = sum dy xhat,  dbias = sum dy
//   dx = weight invstd (dy - (dbias + xhat dweight) / len), where x > 0 if u.masked == 1
// backward: a workgroup owns a channel.
//   1 dy read [N,C,pixels]   2 x read [N,C,pixels]   3 saved read [2,C]: mean, invstd   4 partial_dw write [1,2,C]: dweight,
//   dbias                    5 weight read [C]       6 dx write [N,C,pixels]
// Where channels are few and large it takes two dispatches of a workgroup per chunk of a channel:
//   sums:  1, 2, 3 as above   4 partial_dw write [chunks,2,C]
//   apply: 1, 2, 3, 5, 6 as above   4 partial_in read [chunks,2,C]
// Reference: src/reference/batch_norm.rs

import package::common::workgroup_sum::{LANES, STRETCH, workgroup_sum};

struct Uniform {
    channels: u32,
    pixels: u32,
    // Elements of a channel, and of a chunk of one.
    len: u32,
    chunk: u32,
    masked: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> saved: array<f32>;
@group(0) @binding(4) var<storage, read_write> partial_dw: array<f32>;
@group(0) @binding(4) var<storage, read> partial_in: array<f32>;
@group(0) @binding(5) var<storage, read> weight: array<f32>;
@group(0) @binding(6) var<storage, read_write> dx: array<f32>;

// Where element e of channel c lies.
fn place(e: u32, c: u32) -> u32 {
    let n = e / u.pixels;
    return (n * u.channels + c) * u.pixels + e - n * u.pixels;
}

// (dweight, dbias) of the elements first..end of channel c.
fn sums_of(c: u32, first: u32, end: u32, local: u32) -> vec2f {
    let mean = saved[c];
    var sum = vec2f(0.0);
    for (var far = first + local; far < end; far += STRETCH) {
        var block = vec2f(0.0);
        for (var e = far; e < min(far + STRETCH, end); e += LANES) {
            let at = place(e, c);
            block += dy[at] * vec2f(x[at] - mean, 1.0);
        }
        sum += block;
    }
    return workgroup_sum(sum, local) * vec2f(saved[u.channels + c], 1.0);
}

fn write_sums(chunk: u32, c: u32, sum: vec2f) {
    let at = 2u * chunk * u.channels + c;
    partial_dw[at] = sum.x;
    partial_dw[at + u.channels] = sum.y;
}

fn write_dx(c: u32, first: u32, end: u32, sum: vec2f, local: u32) {
    let mean = saved[c];
    let invstd = saved[u.channels + c];
    let scale = weight[c] * invstd;
    let mean_dy = sum.y / f32(u.len);
    let slope = invstd * sum.x / f32(u.len);
    for (var e = first + local; e < end; e += LANES) {
        let at = place(e, c);
        let gradient = scale * (dy[at] - mean_dy - (x[at] - mean) * slope);
        dx[at] = select(gradient, 0.0, u.masked == 1u && x[at] <= 0.0);
    }
}

@compute @workgroup_size(LANES)
fn backward(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let c = workgroup.y;
    let sum = sums_of(c, 0u, u.len, local);
    if local == 0u {
        write_sums(0u, c, sum);
    }
    write_dx(c, 0u, u.len, sum, local);
}

@compute @workgroup_size(LANES)
fn sums(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let first = workgroup.x * u.chunk;
    let sum = sums_of(workgroup.y, first, min(first + u.chunk, u.len), local);
    if local == 0u {
        write_sums(workgroup.x, workgroup.y, sum);
    }
}

@compute @workgroup_size(LANES)
fn apply(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let c = workgroup.y;
    var sum = vec2f(0.0);
    for (var chunk = 0u; chunk < workgroups.x; chunk++) {
        let at = 2u * chunk * u.channels + c;
        sum += vec2f(partial_in[at], partial_in[at + u.channels]);
    }
    let first = workgroup.x * u.chunk;
    write_dx(c, first, min(first + u.chunk, u.len), sum, local);
}
