// Euclidean norm of all gradients: norm = sqrt(sum_i g[i]^2). Sums have a fixed order, so the norm has the same bits every time.
//   squares: partial[first + workgroup] = a workgroup's sum of squares; each invocation takes every stride-th element
//     1 g read [len]   2 partial write
//   squares_part: the same of a batch that is run part by part, of the gradients so far: s = keep s + weight g
//     1 hyper read [6]: keep and weight are the fourth and fifth   2 g read [len]   3 s update [len]   4 partial write
//   root: one workgroup adds all of those up
//     1 partial read [len]   2 norm write [1]
// Reference: src/reference/gradient_norm.rs

import package::common::gradient::with_part;

const LANES: u32 = 256;
// Turns of an innermost sum: sums of so many are summed themselves, since one running sum of a million would lose digits.
const BLOCK: u32 = 64u;

struct Uniform {
    len: u32,
    first: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> g: array<f32>;
@group(0) @binding(2) var<storage, read_write> partial: array<f32>;

@group(0) @binding(1) var<storage, read> hyper: array<f32>;
@group(0) @binding(2) var<storage, read> g_part: array<f32>;
@group(0) @binding(3) var<storage, read_write> s: array<f32>;
@group(0) @binding(4) var<storage, read_write> partial_of_part: array<f32>;

@group(0) @binding(1) var<storage, read> partials: array<f32>;
@group(0) @binding(2) var<storage, read_write> norm: array<f32>;

var<workgroup> sums: array<f32, LANES>;

// The sum of every lane's number, in the first lane.
fn add_lanes(local: u32, number: f32) -> f32 {
    sums[local] = number;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if local < half {
            sums[local] += sums[local + half];
        }
    }
    return sums[local];
}

@compute @workgroup_size(LANES)
fn squares(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let stride = workgroups.x * LANES;
    var sum = 0.0;
    for (var far = workgroup.x * LANES + local; far < u.len; far += BLOCK * stride) {
        var block = 0.0;
        for (var i = far; i < min(far + BLOCK * stride, u.len); i += stride) {
            block += g[i] * g[i];
        }
        sum += block;
    }
    let all = add_lanes(local, sum);
    if local == 0u {
        partial[u.first + workgroup.x] = all;
    }
}

@compute @workgroup_size(LANES)
fn squares_part(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let stride = workgroups.x * LANES;
    var sum = 0.0;
    for (var far = workgroup.x * LANES + local; far < u.len; far += BLOCK * stride) {
        var block = 0.0;
        for (var i = far; i < min(far + BLOCK * stride, u.len); i += stride) {
            let gradient = with_part(s[i], g_part[i], hyper[3], hyper[4]);
            s[i] = gradient;
            block += gradient * gradient;
        }
        sum += block;
    }
    let all = add_lanes(local, sum);
    if local == 0u {
        partial_of_part[u.first + workgroup.x] = all;
    }
}

@compute @workgroup_size(LANES)
fn root(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < u.len; i += LANES) {
        sum += partials[i];
    }
    let all = add_lanes(local, sum);
    if local == 0u {
        norm[0] = sqrt(all);
    }
}
