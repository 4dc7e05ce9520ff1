// Batch normalisation by the statistics of the batch, with what rides behind it. Per channel c, over n images and pixels:
//   y = (x - mean) invstd weight + bias (+ shortcut if u.has_shortcut == 1), then max(y, 0) if u.relu == 1
//   mean = E[x],  invstd = 1 / sqrt(E[(x - mean)^2] + eps)
//   running mean = rest running mean + momentum mean, likewise the variance, unbiased: over n pixels - 1
// forward: a workgroup owns a channel.
//   1 x read [N,C,pixels]   2 y write [N,C,pixels]   3 saved write [2,C]: mean, invstd   4 running update: mean [C], at var_at
//   the variance [C]        5 weight read [C]   6 bias read [C]   7 shortcut read [N,C,pixels]
// Where channels are few and large it takes two dispatches of a workgroup per chunk of a channel:
//   moments:   1 x read   2 moments_out write [C,chunks]: mean of the chunk, sum of squared deviations from it
//   normalize: as forward, and 8 moments_in read [C,chunks]
// An element of a channel is counted over images, then over pixels. Reference: src/reference/batch_norm.rs

import package::common::number::is_negative;
import package::common::workgroup_sum::{LANES, STRETCH, workgroup_sum};

struct Uniform {
    channels: u32,
    pixels: u32,
    // Elements of a channel, and of a chunk of one.
    len: u32,
    chunk: u32,
    eps: f32,
    momentum: f32,
    rest: f32,
    var_at: u32,
    relu: u32,
    has_shortcut: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> x: array<f32>;

@group(0) @binding(2) var<storage, read_write> moments_out: array<vec2f>;

@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> saved: array<f32>;
@group(0) @binding(4) var<storage, read_write> running: array<f32>;
@group(0) @binding(5) var<storage, read> weight: array<f32>;
@group(0) @binding(6) var<storage, read> bias: array<f32>;
@group(0) @binding(7) var<storage, read> shortcut: array<f32>;
@group(0) @binding(8) var<storage, read> moments_in: array<vec2f>;

// Where element e of channel c lies.
fn place(e: u32, c: u32) -> u32 {
    let n = e / u.pixels;
    return (n * u.channels + c) * u.pixels + e - n * u.pixels;
}

// Mean of the elements first..end of channel c, and the sum of their squared deviations from it. Taken in two passes, since
// a difference of large sums would leave no digits of a small variance; the second corrects the first's mean too.
fn moments_of(c: u32, first: u32, end: u32, local: u32) -> vec2f {
    let count = f32(end - first);
    var sum = 0.0;
    for (var far = first + local; far < end; far += STRETCH) {
        var block = 0.0;
        for (var e = far; e < min(far + STRETCH, end); e += LANES) {
            block += x[place(e, c)];
        }
        sum += block;
    }
    let mean = workgroup_sum(vec2f(sum, 0.0), local).x / count;
    var sums = vec2f(0.0);
    for (var far = first + local; far < end; far += STRETCH) {
        var block = vec2f(0.0);
        for (var e = far; e < min(far + STRETCH, end); e += LANES) {
            let off = x[place(e, c)] - mean;
            block += vec2f(off, off * off);
        }
        sums += block;
    }
    let total = workgroup_sum(sums, local);
    let squares = total.y - total.x * total.x / count;
    return vec2f(mean + total.x / count, select(squares, 0.0, is_negative(squares)));
}

// Writes the statistics of channel c.
fn save(c: u32, moments: vec2f, invstd: f32) {
    saved[c] = moments.x;
    saved[u.channels + c] = invstd;
    running[c] = u.rest * running[c] + u.momentum * moments.x;
    running[u.var_at + c] = u.rest * running[u.var_at + c] + u.momentum * moments.y / f32(u.len - 1u);
}

fn invstd_of(moments: vec2f) -> f32 {
    return 1.0 / sqrt(moments.y / f32(u.len) + u.eps);
}

fn apply(c: u32, first: u32, end: u32, mean: f32, invstd: f32, local: u32) {
    let scale = invstd * weight[c];
    let shift = bias[c];
    for (var e = first + local; e < end; e += LANES) {
        let at = place(e, c);
        var value = (x[at] - mean) * scale + shift;
        if u.has_shortcut == 1u {
            value += shortcut[at];
        }
        y[at] = select(value, 0.0, u.relu == 1u && is_negative(value));
    }
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) workgroup: vec3u, @builtin(local_invocation_index) local: u32) {
    let c = workgroup.y;
    let moments = moments_of(c, 0u, u.len, local);
    let invstd = invstd_of(moments);
    if local == 0u {
        save(c, moments, invstd);
    }
    apply(c, 0u, u.len, moments.x, invstd, local);
}

@compute @workgroup_size(LANES)
fn moments(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let first = workgroup.x * u.chunk;
    let found = moments_of(workgroup.y, first, min(first + u.chunk, u.len), local);
    if local == 0u {
        moments_out[workgroup.y * workgroups.x + workgroup.x] = found;
    }
}

@compute @workgroup_size(LANES)
fn normalize(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let c = workgroup.y;
    // Chunk by chunk, by Chan's formula (Chan, Golub, LeVeque, 1983).
    var all = moments_in[c * workgroups.x];
    var count = f32(min(u.chunk, u.len));
    for (var chunk = 1u; chunk < workgroups.x; chunk++) {
        let one = moments_in[c * workgroups.x + chunk];
        let more = f32(min(u.chunk, u.len - chunk * u.chunk));
        let apart = one.x - all.x;
        let share = more / (count + more);
        all += vec2f(apart * share, one.y + apart * apart * count * share);
        count += more;
    }
    let invstd = invstd_of(all);
    if workgroup.x == 0u && local == 0u {
        save(c, all, invstd);
    }
    let first = workgroup.x * u.chunk;
    apply(c, first, min(first + u.chunk, u.len), all.x, invstd, local);
}
