// GEMM over packed panels, without workgroup memory or barriers: the middle of a convolution by columns.
//   c[z,row,column] = sum_t a[z,t,row] b[z,t,column], then + bias[row] and ReLU where the next layer takes c as its b
//   1 a read [Z,rows/ROWS,T,ROWS]   2 b read [Z,columns/64,T,64]   3 c write [Z,columns/64,rows,64]   4 bias read [rows]
// conv2d_pack.wgsl packs a and b, conv2d_unpack.wgsl stores c where it belongs; or conv2d_winograd_in.wgsl and
// conv2d_winograd_out.wgsl do, a product z for each point.
// For devices that run lanes on CPU cores and have no subgroups of 8 lanes; with them, conv2d_columns_subgroup.wgsl is twice
// as fast. A lane owns 16 rows and two vec4f of columns. Tried on llvmpipe (two cores, 112 GFLOP/s): 8 rows x 1, 2, 3 vec4f
// give 14, 22, 22 GFLOP/s, 16 x 2 gives 24, 16 x 4 and 32 x 2 spill (11, 14). With the stores of an output tensor in the
// same kernel, 16 x 2 falls to 15: so they have a kernel of their own. 8 rows are for products that have no more.
// Workgroups: x over panels of rows, so that neighbours share a panel of columns in the cache; y over panels of columns; z
// over the products of a batch.
// Reference: src/reference/conv2d.rs

import package::variant::{ROWS, COLUMNS};
import package::common::micro::{Micro, add_product};

struct Uniform {
    depth: u32,
    rows: u32,
    biased: u32,
    relu: u32,
}

const LANES: u32 = 8;
// vec4f of a term in a panel of columns.
const QUADS: u32 = COLUMNS / 4;
const_assert COLUMNS == 8 * LANES && (ROWS == 8 || ROWS == 16);

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;

// 4 columns of a row.
fn finished(sum: vec4f, row: u32) -> vec4f {
    var z = sum;
    if u.biased != 0u {
        z += bias[row];
    }
    // Not-a-number fails the comparison and passes through.
    return select(z, vec4f(0.0), vec4<bool>(u.relu != 0u) & (z < vec4f(0.0)));
}

// 8 rows from `row` on.
fn store(to: u32, sums: Micro, row: u32) {
    c[to] = finished(sums.r0, row);
    c[to + QUADS] = finished(sums.r1, row + 1u);
    c[to + 2u * QUADS] = finished(sums.r2, row + 2u);
    c[to + 3u * QUADS] = finished(sums.r3, row + 3u);
    c[to + 4u * QUADS] = finished(sums.r4, row + 4u);
    c[to + 5u * QUADS] = finished(sums.r5, row + 5u);
    c[to + 6u * QUADS] = finished(sums.r6, row + 6u);
    c[to + 7u * QUADS] = finished(sums.r7, row + 7u);
}

@compute @workgroup_size(LANES)
fn product(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    var top0: Micro;
    var top1: Micro;
    var low0: Micro;
    var low1: Micro;
    let rows = group.z * groups.x + group.x;
    let columns = group.z * groups.y + group.y;
    var from_a = rows * u.depth * (ROWS / 4u);
    var from_b = columns * u.depth * QUADS + lane;
    for (var t = 0u; t < u.depth; t++) {
        let b0 = b[from_b];
        let b1 = b[from_b + LANES];
        let a0 = a[from_a];
        let a1 = a[from_a + 1u];
        add_product(&top0, a0, a1, b0);
        add_product(&top1, a0, a1, b1);
        if ROWS == 16 {
            let a2 = a[from_a + 2u];
            let a3 = a[from_a + 3u];
            add_product(&low0, a2, a3, b0);
            add_product(&low1, a2, a3, b1);
        }
        from_a += ROWS / 4u;
        from_b += QUADS;
    }
    let row = group.x * ROWS;
    let to = (columns * u.rows + row) * QUADS + lane;
    store(to, top0, row);
    store(to + LANES, top1, row);
    if ROWS == 16 {
        store(to + 8u * QUADS, low0, row + 8u);
        store(to + 8u * QUADS + LANES, low1, row + 8u);
    }
}
