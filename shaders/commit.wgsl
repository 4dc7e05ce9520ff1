// What a training step leaves behind where steps whose gradients are not finite are skipped: all of these look at the norm of all
// gradients, which is finite neither if one of them is not, nor if the sum of their squares overflows.
//   gate: y = x, or 0 if the norm is not finite: an optimizer then moves nothing, an average stays
//     1 norm read [1]   2 x read [len]   3 y write [len]
// The others do nothing before the last part of a batch, whose hyper[5] is not 0:
//   sums: totals += sums, or, if the norm is not finite, one more step at the end of totals; sums = 0
//     1 norm read [1]   2 hyper read [6]   3 sums update [len]   4 totals update [len + 1]
//   statistics: kept = running, or running = kept if the norm is not finite, or the statistic itself is not
//     1 norm read [1]   2 hyper read [6]   3 running update [len]   4 kept update [len]
// One invocation per element. Reference: src/reference/commit.rs

import package::common::index::{WORKGROUP, linear};
import package::common::number::is_finite;

struct Uniform {
    len: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> norm: array<f32>;

@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@group(0) @binding(2) var<storage, read> hyper: array<f32>;
@group(0) @binding(3) var<storage, read_write> step_sums: array<f32>;
@group(0) @binding(4) var<storage, read_write> totals: array<f32>;

@group(0) @binding(3) var<storage, read_write> running: array<f32>;
@group(0) @binding(4) var<storage, read_write> kept: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn gate(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < u.len {
        y[i] = select(0.0, x[i], is_finite(norm[0]));
    }
}

@compute @workgroup_size(WORKGROUP)
fn sums(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if hyper[5] == 0.0 || i > u.len {
        return;
    }
    let counts = is_finite(norm[0]);
    if i == u.len {
        totals[i] += select(1.0, 0.0, counts);
        return;
    }
    // Sums of a step that is skipped may be no numbers.
    totals[i] += select(0.0, step_sums[i], counts);
    step_sums[i] = 0.0;
}

@compute @workgroup_size(WORKGROUP)
fn statistics(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if hyper[5] == 0.0 || i >= u.len {
        return;
    }
    if is_finite(norm[0]) && is_finite(running[i]) {
        kept[i] = running[i];
    } else {
        running[i] = kept[i];
    }
}
