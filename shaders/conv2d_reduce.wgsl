// Sums the partial filter gradients of the convolution kernels, in order, and parts filters from bias.
//   dw[k,t] = sum_z partial_dw[z,k,t],  db[k] = sum_z partial_dw[z,k,terms]
//   1 partial_dw read [splits,K,terms+1]   2 dw write [K,terms]   3 db write [K]
// One invocation per element. Reference: src/reference/conv2d.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    splits: u32,
    k: u32,
    terms: u32,
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
    let columns = u.terms + 1u;
    if i >= u.k * columns {
        return;
    }
    var sum = 0.0;
    for (var z = 0u; z < u.splits; z++) {
        sum += partial_dw[z * u.k * columns + i];
    }
    let k = i / columns;
    let column = i % columns;
    if column == u.terms {
        db[k] = sum;
    } else {
        dw[k * u.terms + column] = sum;
    }
}
