// The most that a device moves: a copy, 16 bytes an invocation.
//   y = x
//   1 x read [len]   2 y write [len], of four floats each
// Host: src/gpu/peak.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(WORKGROUP)
fn copy(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        y[i] = x[i];
    }
}
