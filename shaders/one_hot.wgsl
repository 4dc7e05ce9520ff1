// One-hot targets of labels: y[n,l] = 1 where l == labels[n], else 0;  weights[n] = 0 where labels[n] is IGNORE, else 1
//   1 labels read [N]   2 y write [N,L]   3 weights write [N]
// One invocation per element of y; that of column 0 writes the weight. Reference: src/reference/one_hot.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
    len: u32,
    classes: u32,
}

const IGNORE: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.len {
        return;
    }
    let label = labels[i / u.classes];
    y[i] = select(0.0, 1.0, i % u.classes == label);
    if i % u.classes == 0u {
        weights[i / u.classes] = select(1.0, 0.0, label == IGNORE);
    }
}
