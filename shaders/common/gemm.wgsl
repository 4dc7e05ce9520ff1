// A workgroup's tile of a GEMM: TILE_M rows x TILE_N columns, of which each invocation sums 8 x MICRO_N in registers, from
// slabs of TILE_K terms of both operands in workgroup memory.

import package::variant::{TILE_M, TILE_N, TILE_K, MICRO_N};
import package::common::micro::{Micro, add_product};

const LANES_N: u32 = TILE_N / MICRO_N;
const LANES: u32 = TILE_M / 8 * LANES_N;

// Rows and columns come in fours that lie a quarter of the tile apart: so invocations next to one another copy and store
// elements next to one another, and load vectors next to one another.
const QUADS_M: u32 = TILE_M / 4;
const QUADS_N: u32 = TILE_N / 4;

// Vectors that an invocation copies of each slab.
const COPIES_A: u32 = QUADS_M * TILE_K / LANES;
const COPIES_B: u32 = QUADS_N * TILE_K / LANES;

// Whole vectors, each loaded and stored at once. One more than there are, so that the terms of a quad lie in different banks.
var<workgroup> a_slab: array<array<vec4f, QUADS_M + 1>, TILE_K>;
var<workgroup> b_slab: array<array<vec4f, QUADS_N + 1>, TILE_K>;

// A vector of a slab.
struct Place {
    term: u32,
    quad: u32,
}

// The i-th vector that an invocation copies, where invocations next to one another copy terms next to one another, and
// where they copy quads next to one another. The first is always of one term, the second always of one quad.
fn along_terms(lane: u32, i: u32) -> Place {
    return Place(lane % TILE_K, lane / TILE_K + i * (LANES / TILE_K));
}

fn along_quads(lane: u32, i: u32, quads: u32) -> Place {
    return Place(lane / quads + i * (LANES / quads), lane % quads);
}

// The four rows or columns of a vector.
fn rows_of(group: u32, quad: u32) -> vec4u {
    return group * TILE_M + quad + vec4u(0u, QUADS_M, 2u * QUADS_M, 3u * QUADS_M);
}

fn columns_of(group: u32, quad: u32) -> vec4u {
    return group * TILE_N + quad + vec4u(0u, QUADS_N, 2u * QUADS_N, 3u * QUADS_N);
}

// The vectors that an invocation multiplies: its upper and lower four rows, its near and, if MICRO_N is 8, far columns.
struct Quads {
    low: u32,
    high: u32,
    near: u32,
    far: u32,
}

fn quads_of(lane: u32) -> Quads {
    let m = lane / LANES_N;
    let n = lane % LANES_N;
    return Quads(m, m + QUADS_M / 2u, n, n + LANES_N);
}

// The i-th row of an invocation: its sums' order in Micro.
fn row_of(group: u32, quads: Quads, i: u32) -> u32 {
    return group * TILE_M + select(quads.high, quads.low, i < 4u) + i % 4u * QUADS_M;
}

// Adds the products of the first `depth` terms of both slabs to the sums of an invocation.
fn multiply_slabs(near: ptr<function, Micro>, far: ptr<function, Micro>, lane: u32, depth: u32) {
    let quads = quads_of(lane);
    if depth == TILE_K {
        for (var t = 0u; t < TILE_K; t += 4u) {
            multiply_term(near, far, quads, t);
            multiply_term(near, far, quads, t + 1u);
            multiply_term(near, far, quads, t + 2u);
            multiply_term(near, far, quads, t + 3u);
        }
    } else {
        for (var t = 0u; t < depth; t++) {
            multiply_term(near, far, quads, t);
        }
    }
}

fn multiply_term(near: ptr<function, Micro>, far: ptr<function, Micro>, quads: Quads, t: u32) {
    let low = a_slab[t][quads.low];
    let high = a_slab[t][quads.high];
    add_product(near, low, high, b_slab[t][quads.near]);
    if MICRO_N == 8u {
        add_product(far, low, high, b_slab[t][quads.far]);
    }
}
