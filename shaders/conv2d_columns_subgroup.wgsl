// GEMM over packed panels whose lanes share what they load: conv2d_columns.wgsl with subgroup operations.
//   c[z,row,column] = sum_t a[z,t,row] b[z,t,column], then + bias[row] and ReLU where the next layer takes c as its b
//   1 a read [Z,rows/32,T,32]   2 b read [Z,columns/32,T,32]   3 c write [Z,columns/32,rows,32]   4 bias read [rows]
// T is even. For devices that run lanes on CPU cores. Such a device loads lane by lane, each with its own check, even where all lanes
// want the same address; so 8 lanes load 32 rows of `a` between them, a vec4f each, and pass them round by broadcast.
// A lane owns 32 rows and one vec4f of columns, of which two halves take turns: two terms are added to a few sums before
// the next few, so that these stay in registers. Tried on llvmpipe (two cores, 112 GFLOP/s): 45 GFLOP/s against 23 without
// subgroups; 34 if all four columns go together, 9 if all rows do.
// Workgroups: x over panels of rows, so that neighbours share a panel of columns in the cache; y over panels of columns; z
// over the products of a batch.
// Reference: src/reference/conv2d.rs

import package::variant::{ROWS, COLUMNS};

struct Uniform {
    depth: u32,
    rows: u32,
    biased: u32,
    relu: u32,
}

const LANES: u32 = 8;
// vec4f of a term in a panel.
const QUADS: u32 = COLUMNS / 4;
const_assert COLUMNS == 4 * LANES && ROWS == 4 * LANES;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(4) var<storage, read> bias: array<vec4f>;

// The sums of 4 rows and 2 columns.
struct Sums {
    r0: vec2f,
    r1: vec2f,
    r2: vec2f,
    r3: vec2f,
}

// Adds two terms.
fn add(sums: ptr<function, Sums>, a0: vec4f, a1: vec4f, b0: vec2f, b1: vec2f) {
    (*sums).r0 += a0.x * b0;
    (*sums).r0 += a1.x * b1;
    (*sums).r1 += a0.y * b0;
    (*sums).r1 += a1.y * b1;
    (*sums).r2 += a0.z * b0;
    (*sums).r2 += a1.z * b1;
    (*sums).r3 += a0.w * b0;
    (*sums).r3 += a1.w * b1;
}

// 4 rows from two lanes' loads, added to both halves.
fn add_rows(low: ptr<function, Sums>, high: ptr<function, Sums>, a0: vec4f, a1: vec4f, b0: vec4f, b1: vec4f) {
    add(low, a0, a1, b0.xy, b1.xy);
    add(high, a0, a1, b0.zw, b1.zw);
}

fn finished(sum: vec4f, shift: f32) -> vec4f {
    let z = sum + shift;
    // Not-a-number fails the comparison and passes through.
    return select(z, vec4f(0.0), vec4<bool>(u.relu != 0u) & (z < vec4f(0.0)));
}

// 4 rows and their biases.
fn store(to: u32, low: Sums, high: Sums, shifts: vec4f) {
    c[to] = finished(vec4f(low.r0, high.r0), shifts.x);
    c[to + QUADS] = finished(vec4f(low.r1, high.r1), shifts.y);
    c[to + 2u * QUADS] = finished(vec4f(low.r2, high.r2), shifts.z);
    c[to + 3u * QUADS] = finished(vec4f(low.r3, high.r3), shifts.w);
}

// The workgroup is smaller than a subgroup, so these 8 lanes are all of theirs.
@compute @workgroup_size(LANES)
fn product(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(subgroup_invocation_id) lane: u32,
) {
    var low0: Sums; var low1: Sums; var low2: Sums; var low3: Sums;
    var low4: Sums; var low5: Sums; var low6: Sums; var low7: Sums;
    var high0: Sums; var high1: Sums; var high2: Sums; var high3: Sums;
    var high4: Sums; var high5: Sums; var high6: Sums; var high7: Sums;
    let rows = group.z * groups.x + group.x;
    let columns = group.z * groups.y + group.y;
    var from_a = rows * u.depth * LANES + lane;
    var from_b = columns * u.depth * LANES + lane;
    for (var t = 0u; t < u.depth; t += 2u) {
        let a0 = a[from_a];
        let a1 = a[from_a + LANES];
        let b0 = b[from_b];
        let b1 = b[from_b + LANES];
        add_rows(&low0, &high0, subgroupBroadcast(a0, 0u), subgroupBroadcast(a1, 0u), b0, b1);
        add_rows(&low1, &high1, subgroupBroadcast(a0, 1u), subgroupBroadcast(a1, 1u), b0, b1);
        add_rows(&low2, &high2, subgroupBroadcast(a0, 2u), subgroupBroadcast(a1, 2u), b0, b1);
        add_rows(&low3, &high3, subgroupBroadcast(a0, 3u), subgroupBroadcast(a1, 3u), b0, b1);
        add_rows(&low4, &high4, subgroupBroadcast(a0, 4u), subgroupBroadcast(a1, 4u), b0, b1);
        add_rows(&low5, &high5, subgroupBroadcast(a0, 5u), subgroupBroadcast(a1, 5u), b0, b1);
        add_rows(&low6, &high6, subgroupBroadcast(a0, 6u), subgroupBroadcast(a1, 6u), b0, b1);
        add_rows(&low7, &high7, subgroupBroadcast(a0, 7u), subgroupBroadcast(a1, 7u), b0, b1);
        from_a += 2u * LANES;
        from_b += 2u * LANES;
    }
    let to = (columns * u.rows + group.x * ROWS) * QUADS + lane;
    var shifts = vec4f(0.0);
    if u.biased != 0u {
        shifts = bias[group.x * LANES + lane];
    }
    store(to, low0, high0, subgroupBroadcast(shifts, 0u));
    store(to + 4u * QUADS, low1, high1, subgroupBroadcast(shifts, 1u));
    store(to + 8u * QUADS, low2, high2, subgroupBroadcast(shifts, 2u));
    store(to + 12u * QUADS, low3, high3, subgroupBroadcast(shifts, 3u));
    store(to + 16u * QUADS, low4, high4, subgroupBroadcast(shifts, 4u));
    store(to + 20u * QUADS, low5, high5, subgroupBroadcast(shifts, 5u));
    store(to + 24u * QUADS, low6, high6, subgroupBroadcast(shifts, 6u));
    store(to + 28u * QUADS, low7, high7, subgroupBroadcast(shifts, 7u));
}
