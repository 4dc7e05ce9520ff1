// The most that a device multiplies and adds: chains of fused multiply-adds that touch registers only.
//   y = sum of 16 chains x <- x multiplier + addend, 4 links a round
//   1 y write [invocations]
// One invocation per element of y. Host: src/gpu/peak.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    rounds: u32,
    multiplier: f32,
    addend: f32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn chains(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    let m = vec4f(u.multiplier);
    let a = vec4f(u.addend);
    // No two chains start alike, or one might be computed for all.
    var p = vec4f(0.0, 0.1, 0.2, 0.3) + f32(i);
    var q = p + 0.4;
    var r = p + 0.8;
    var s = p + 1.2;
    for (var round = 0u; round < u.rounds; round++) {
        p = fma(p, m, a);
        q = fma(q, m, a);
        r = fma(r, m, a);
        s = fma(s, m, a);
        p = fma(p, m, a);
        q = fma(q, m, a);
        r = fma(r, m, a);
        s = fma(s, m, a);
        p = fma(p, m, a);
        q = fma(q, m, a);
        r = fma(r, m, a);
        s = fma(s, m, a);
        p = fma(p, m, a);
        q = fma(q, m, a);
        r = fma(r, m, a);
        s = fma(s, m, a);
    }
    y[i] = dot(p + q + r + s, vec4f(1.0));
}
