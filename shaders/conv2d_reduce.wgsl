// Sums the partial gradients of one convolution, in order. For graphs whose optimizer does not (optimizer.wgsl).
//   dw[i] = sum_z partial_dw[z,i],  db[k] = sum_z partial_dw[z,len + k], len = K*C*R*S
//   1 partial_dw read [splits,len+K]   2 dw write [len]   3 db write [K]; without a bias k is 0 and db never written
// One invocation per element. Reference: src/reference/conv2d.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    splits: u32,
    len: u32,
    k: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> partial_dw: array<f32>;
@group(0) @binding(2) var<storage, read_write> dw: array<f32>;
@group(0) @binding(3) var<storage, read_write> db: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn wgrad(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.len + u.k {
        return;
    }
    var sum = 0.0;
    for (var z = 0u; z < u.splits; z++) {
        sum += partial_dw[z * (u.len + u.k) + i];
    }
    if i < u.len {
        dw[i] = sum;
    } else {
        db[i - u.len] = sum;
    }
}
