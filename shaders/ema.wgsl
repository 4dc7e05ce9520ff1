// Exponential moving average of all parameters, over one slab: e += weight (p - e); with a weight of 0 it stays.
//   1 weight read [1]   2 p read [len]   3 e update [len]
// One invocation per element. Reference: src/reference/ema.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read> p: array<f32>;
@group(0) @binding(3) var<storage, read_write> e: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn update(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len && weight[0] != 0.0 {
        // A whole weight makes it the parameter, whatever it was.
        e[i] = select(e[i] + weight[0] * (p[i] - e[i]), p[i], weight[0] == 1.0);
    }
}
