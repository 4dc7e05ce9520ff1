// Sum of two tensors, one invocation per element, and what rides behind it. Not-a-number passes through.
//   forward: y = a + b, then max(y, 0) if u.relu == 1        1 a read [len]   2 b read [len]   3 y write [len]
//   masked:  y = a + b where activation > 0, else 0          1 a read [len]   2 b read [len]
//                                                            3 activation read [len]   4 y write [len]
// `a` and `b` may be one tensor. Reference: src/reference/add.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
    relu: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;

@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@group(0) @binding(3) var<storage, read> activation: array<f32>;
@group(0) @binding(4) var<storage, read_write> masked_y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        let sum = a[i] + b[i];
        // Negative by its bits: of `sum < 0` some compilers make max(sum, 0), which loses what is no number.
        let is_negative = bitcast<u32>(sum) - 0x80000000u <= 0x7f800000u;
        y[i] = select(sum, 0.0, u.relu == 1u && is_negative);
    }
}

@compute @workgroup_size(WORKGROUP)
fn masked(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        masked_y[i] = select(a[i] + b[i], 0.0, activation[i] <= 0.0);
    }
}
