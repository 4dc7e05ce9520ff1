// Softmax over classes: y[n,l] = exp(log_softmax(x[n])[l]), or the logarithm of it.
//   1 x read [N,L]   2 y write [N,L]
// One invocation per row. Reference: src/reference/softmax.rs

import package::common::index::{WORKGROUP, linear};
import package::common::log_softmax::{EMPTY, accumulate, finish, log_softmax, probability};

struct Uniform {
    n: u32,
    classes: u32,
    log: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.n {
        return;
    }
    let row = i * u.classes;
    var pair = EMPTY;
    for (var l = 0u; l < u.classes; l++) {
        pair = accumulate(pair, x[row + l]);
    }
    let whole = finish(pair);
    for (var l = 0u; l < u.classes; l++) {
        let value = x[row + l];
        if u.log != 0u {
            y[row + l] = log_softmax(whole, value);
        } else {
            y[row + l] = probability(whole, value);
        }
    }
}
