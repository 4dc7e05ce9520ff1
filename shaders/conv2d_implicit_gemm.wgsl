// 2-D convolution as a GEMM over im2col columns that are never stored.
//   forward:  y[n,k,p,q]  = (b[k] +) sum_{r,s,c} x[n,c,p*u-pad+r*d,q*u-pad+s*d] w[k,c,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,C,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{r,s,k} dy[n,k,(h+pad-r*d)/u,(w+pad-s*d)/u] w[k,c,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,C,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,crs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,c,...], then db[z,k] if biased
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K*C*R*S+K]
// With groups, filters are [K,C/G,R,S], and filter k sees the channels of its group.
// A workgroup owns TILE_M rows (channels) x TILE_N columns (pixels, or filter terms in wgrad) and walks the reduction in
// slabs of TILE_K: it copies both operands' slabs to workgroup memory, ragged edges as zeros, and each invocation adds
// the products of its 8 rows x MICRO_N columns in registers. Workgroups: x over columns, y over rows of a group of channels, z over
// groups, in wgrad of each split.
// An invocation copies one column (in forward and dgrad) and walks channels inside of a tap: so it looks for the tap's pixel
// once a tap, and the loop over slabs only adds and compares. In wgrad it copies one pixel of a slab.
// Reference: src/reference/conv2d.rs

import package::variant::{TILE_M, TILE_N, TILE_K, MICRO_N};
import package::common::conv2d::{Uniform, input_tap, output_tap, partial_at, tap_offset};
import package::common::micro::{Micro, add_product, row};

const LANES_N: u32 = TILE_N / MICRO_N;
// A multiple of all three sides of the tile: so an invocation copies the same row or column in each round.
const LANES: u32 = TILE_M / 8 * LANES_N;
const ROUNDS_A: u32 = TILE_M * TILE_K / LANES;
const ROUNDS_B: u32 = TILE_N * TILE_K / LANES;

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@group(0) @binding(2) var<storage, read> dy_in: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial_dw: array<f32>;

// Slabs, reduction-major: a_slab[t][m], b_slab[t][n]. Scalars: a store to one component of a vector may touch the others.
var<workgroup> a_slab: array<array<f32, TILE_M>, TILE_K>;
var<workgroup> b_slab: array<array<f32, TILE_N>, TILE_K>;

// Columns between the near and, if MICRO_N is 8, the far 4 of an invocation.
const FAR: u32 = 4 * LANES_N;

fn columns_at(t: u32, n: u32) -> vec4f {
    return vec4f(b_slab[t][n], b_slab[t][n + 1u], b_slab[t][n + 2u], b_slab[t][n + 3u]);
}

// Adds the products of both slabs to the sums of an invocation.
fn multiply_slabs(near: ptr<function, Micro>, far: ptr<function, Micro>, lane: u32) {
    let m = lane / LANES_N * 8u;
    let n = lane % LANES_N * 4u;
    for (var t = 0u; t < TILE_K; t++) {
        let low = vec4f(a_slab[t][m], a_slab[t][m + 1u], a_slab[t][m + 2u], a_slab[t][m + 3u]);
        let high = vec4f(a_slab[t][m + 4u], a_slab[t][m + 5u], a_slab[t][m + 6u], a_slab[t][m + 7u]);
        add_product(near, low, high, columns_at(t, n));
        if MICRO_N == 8u {
            add_product(far, low, high, columns_at(t, n + FAR));
        }
    }
}

// First row of an invocation, and its first near or far column.
fn first_row(group: vec3u, lane: u32) -> u32 {
    return group.y * TILE_M + lane / LANES_N * 8u;
}

fn first_column(group: vec3u, lane: u32, half: u32) -> u32 {
    return group.x * TILE_N + lane % LANES_N * 4u + half * FAR;
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let window = u.r * u.s;
    let columns = u.n * pixels;
    let m = lane % TILE_M;
    let k = group.y * TILE_M + m;
    let n = lane % TILE_N;
    let column = group.x * TILE_N + n;
    let pixel = column % pixels;
    var near: Micro;
    var far: Micro;
    for (var tap = 0u; tap < window; tap++) {
        let input = input_tap(u, pixel / u.q, pixel % u.q, tap_offset(u, tap));
        let inside = input.inside && column < columns;
        let from_x = (column / pixels * u.groups + group.z) * u.c * u.h * u.w + input.at;
        let from_w = (group.z * u.k + k) * u.c * window + tap;
        for (var base = 0u; base < u.c; base += TILE_K) {
            for (var i = 0u; i < ROUNDS_A; i++) {
                let t = lane / TILE_M + i * (LANES / TILE_M);
                var value = 0.0;
                if k < u.k && base + t < u.c {
                    value = w[from_w + (base + t) * window];
                }
                a_slab[t][m] = value;
            }
            for (var i = 0u; i < ROUNDS_B; i++) {
                let t = lane / TILE_N + i * (LANES / TILE_N);
                var value = 0.0;
                if inside && base + t < u.c {
                    value = x[from_x + (base + t) * u.h * u.w];
                }
                b_slab[t][n] = value;
            }
            workgroupBarrier();
            multiply_slabs(&near, &far, lane);
            workgroupBarrier();
        }
    }
    store_y(group.z, first_row(group, lane), first_column(group, lane, 0u), near);
    if MICRO_N == 8u {
        store_y(group.z, first_row(group, lane), first_column(group, lane, 1u), far);
    }
}

fn store_y(group: u32, first: u32, left: u32, sums: Micro) {
    let pixels = u.p * u.q;
    for (var j = 0u; j < 4u; j++) {
        let column = left + j;
        if column < u.n * pixels {
            let to = (column / pixels * u.groups + group) * u.k * pixels + column % pixels;
            for (var i = 0u; i < 8u && first + i < u.k; i++) {
                var value = row(sums, i)[j];
                if u.biased != 0u {
                    value += b[group * u.k + first + i];
                }
                y[to + (first + i) * pixels] = select(value, 0.0, u.relu != 0u && value < 0.0);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn dgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.h * u.w;
    let window = u.r * u.s;
    let columns = u.n * pixels;
    let m = lane % TILE_M;
    let c = group.y * TILE_M + m;
    let n = lane % TILE_N;
    let column = group.x * TILE_N + n;
    let pixel = column % pixels;
    var near: Micro;
    var far: Micro;
    for (var tap = 0u; tap < window; tap++) {
        let output = output_tap(u, pixel / u.w, pixel % u.w, tap_offset(u, tap));
        let inside = output.inside && column < columns;
        let from_dy = (column / pixels * u.groups + group.z) * u.k * u.p * u.q + output.at;
        let from_w = (group.z * u.k * u.c + c) * window + tap;
        for (var base = 0u; base < u.k; base += TILE_K) {
            for (var i = 0u; i < ROUNDS_A; i++) {
                let t = lane / TILE_M + i * (LANES / TILE_M);
                var value = 0.0;
                if c < u.c && base + t < u.k {
                    value = w[from_w + (base + t) * u.c * window];
                }
                a_slab[t][m] = value;
            }
            for (var i = 0u; i < ROUNDS_B; i++) {
                let t = lane / TILE_N + i * (LANES / TILE_N);
                var value = 0.0;
                if inside && base + t < u.k {
                    value = dy[from_dy + (base + t) * u.p * u.q];
                }
                b_slab[t][n] = value;
            }
            workgroupBarrier();
            multiply_slabs(&near, &far, lane);
            workgroupBarrier();
        }
    }
    store_dx(group.z, first_row(group, lane), first_column(group, lane, 0u), near);
    if MICRO_N == 8u {
        store_dx(group.z, first_row(group, lane), first_column(group, lane, 1u), far);
    }
}

fn store_dx(group: u32, first: u32, left: u32, sums: Micro) {
    let pixels = u.h * u.w;
    for (var j = 0u; j < 4u; j++) {
        let column = left + j;
        if column < u.n * pixels {
            let image = (column / pixels * u.groups + group) * u.c * pixels + column % pixels;
            for (var i = 0u; i < 8u && first + i < u.c; i++) {
                let to = image + (first + i) * pixels;
                dx[to] = select(row(sums, i)[j], 0.0, u.masked != 0u && mask[to] <= 0.0);
            }
        }
    }
}

// The channel's map, and the offset in the window, of each column of wgrad.
var<workgroup> maps: array<u32, TILE_N>;
var<workgroup> taps: array<vec2u, TILE_N>;

@compute @workgroup_size(LANES)
fn wgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let terms = u.c * u.r * u.s;
    let in_group = group.z % u.groups;
    let first_k = in_group * u.k;
    let split = group.z / u.groups;
    let start = split * u.pixels_per_split;
    let end = min(start + u.pixels_per_split, u.n * pixels);
    for (var n = lane; n < TILE_N; n += LANES) {
        let column = group.x * TILE_N + n;
        maps[n] = (in_group * u.c + column / (u.r * u.s)) * u.h * u.w;
        taps[n] = tap_offset(u, column % (u.r * u.s));
    }
    workgroupBarrier();
    // Along pixels both operands are contiguous: so they are the fast index here.
    let t = lane % TILE_K;
    var near: Micro;
    var far: Micro;
    for (var base = start; base < end; base += TILE_K) {
        let at = base + t;
        let image = at / pixels * u.groups;
        let pixel = at % pixels;
        let p = pixel / u.q;
        let q = pixel % u.q;
        for (var i = 0u; i < ROUNDS_A; i++) {
            let m = lane / TILE_K + i * (LANES / TILE_K);
            let k = group.y * TILE_M + m;
            var value = 0.0;
            if k < u.k && at < end {
                value = dy_in[(image * u.k + first_k + k) * pixels + pixel];
            }
            a_slab[t][m] = value;
        }
        for (var i = 0u; i < ROUNDS_B; i++) {
            let n = lane / TILE_K + i * (LANES / TILE_K);
            let column = group.x * TILE_N + n;
            let tap = input_tap(u, p, q, taps[n]);
            var value = 0.0;
            if at < end {
                if column == terms {
                    // The bias gradient is the column whose input is 1.
                    value = 1.0;
                } else if column < terms && tap.inside {
                    value = x[image * u.c * u.h * u.w + maps[n] + tap.at];
                }
            }
            b_slab[t][n] = value;
        }
        workgroupBarrier();
        multiply_slabs(&near, &far, lane);
        workgroupBarrier();
    }
    store_dw(split, first_k, first_row(group, lane), first_column(group, lane, 0u), near);
    if MICRO_N == 8u {
        store_dw(split, first_k, first_row(group, lane), first_column(group, lane, 1u), far);
    }
}

fn store_dw(split: u32, first_k: u32, first: u32, left: u32, sums: Micro) {
    for (var j = 0u; j < 4u && left + j < u.c * u.r * u.s + u.biased; j++) {
        for (var i = 0u; i < 8u && first + i < u.k; i++) {
            partial_dw[partial_at(u, split, first_k + first + i, left + j)] = row(sums, i)[j];
        }
    }
}
