// GEMM over packed panels through workgroup memory: conv2d_columns.wgsl for hardware GPUs.
//   c[z,row,column] = sum_t a[z,t,row] b[z,t,column]
//   1 a read [Z,rows/TILE_M,T,TILE_M]   2 b read [Z,columns/TILE_N,T,TILE_N]   3 c write [Z,columns/TILE_N,rows,TILE_N]
// T is a multiple of TILE_K. Panels are packed, so a slab of TILE_K terms is one run of vectors: it is copied whole, without a
// division, a comparison or a branch; and the next one is on its way in registers while one is multiplied. An invocation
// owns 8 rows x 4 columns.
// Workgroups: x over panels of rows, so that neighbours share a panel of columns in the cache; y over panels of columns; z
// over the products of a batch.
// Reference: src/reference/conv2d.rs

import package::variant::{TILE_M, TILE_N, TILE_K, MICRO_N};
import package::common::micro::{Micro, add_product};

struct Uniform {
    depth: u32,
    rows: u32,
}

const QUADS_M: u32 = TILE_M / 4;
const QUADS_N: u32 = TILE_N / 4;
const LANES: u32 = TILE_M / 8 * QUADS_N;
// Of each slab an invocation copies two vectors. Its terms are written out: NVIDIA's driver keeps a loop of them as it is, and moves a
// sum from one register to another in each turn.
const_assert MICRO_N == 4 && TILE_K == 16 && QUADS_M * TILE_K == 2 * LANES && QUADS_N * TILE_K == 2 * LANES;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4f>;

var<workgroup> a_slab: array<array<vec4f, QUADS_M>, TILE_K>;
var<workgroup> b_slab: array<array<vec4f, QUADS_N>, TILE_K>;

fn multiply_term(sums: ptr<function, Micro>, t: u32, m: u32, n: u32) {
    add_product(sums, a_slab[t][m], a_slab[t][m + 1u], b_slab[t][n]);
}

fn multiply_terms(sums: ptr<function, Micro>, t: u32, m: u32, n: u32) {
    multiply_term(sums, t, m, n);
    multiply_term(sums, t + 1u, m, n);
    multiply_term(sums, t + 2u, m, n);
    multiply_term(sums, t + 3u, m, n);
}

@compute @workgroup_size(LANES)
fn product(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let rows = group.z * groups.x + group.x;
    let columns = group.z * groups.y + group.y;
    let m = lane / QUADS_N * 2u;
    let n = lane % QUADS_N;
    let half = LANES / QUADS_M;
    let other = LANES / QUADS_N;
    var from_a = rows * u.depth * QUADS_M + lane;
    var from_b = columns * u.depth * QUADS_N + lane;
    var a0 = a[from_a];
    var a1 = a[from_a + LANES];
    var b0 = b[from_b];
    var b1 = b[from_b + LANES];
    var sums: Micro;
    for (var base = TILE_K; base <= u.depth; base += TILE_K) {
        workgroupBarrier();
        a_slab[lane / QUADS_M][lane % QUADS_M] = a0;
        a_slab[lane / QUADS_M + half][lane % QUADS_M] = a1;
        b_slab[lane / QUADS_N][lane % QUADS_N] = b0;
        b_slab[lane / QUADS_N + other][lane % QUADS_N] = b1;
        workgroupBarrier();
        // After the last slab it is copied once more, rather than a branch.
        let more = base < u.depth;
        from_a += select(0u, TILE_K * QUADS_M, more);
        from_b += select(0u, TILE_K * QUADS_N, more);
        a0 = a[from_a];
        a1 = a[from_a + LANES];
        b0 = b[from_b];
        b1 = b[from_b + LANES];
        multiply_terms(&sums, 0u, m, n);
        multiply_terms(&sums, 4u, m, n);
        multiply_terms(&sums, 8u, m, n);
        multiply_terms(&sums, 12u, m, n);
    }
    let to = (columns * u.rows + group.x * TILE_M + 4u * m) * QUADS_N + n;
    c[to] = sums.r0;
    c[to + QUADS_N] = sums.r1;
    c[to + 2u * QUADS_N] = sums.r2;
    c[to + 3u * QUADS_N] = sums.r3;
    c[to + 4u * QUADS_N] = sums.r4;
    c[to + 5u * QUADS_N] = sums.r5;
    c[to + 6u * QUADS_N] = sums.r6;
    c[to + 7u * QUADS_N] = sums.r7;
}
