// 2-D convolution as a GEMM over packed panels, without workgroup memory or barriers.
//   forward:  y[n,k,p,q]  = b[k] + sum_t a[k,t] b[t,npq], then ReLU
//     1 a read [K/ROWS,T,ROWS]   2 b read [NPQ/64,T,64]   3 bias read [K]          4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_t a[c,t] b[t,nhw], where mask > 0
//     1 a read [C/ROWS,T,ROWS]   2 b read [NHW/64,T,64]   3 mask read [N,C,H,W]    4 dx write [N,C,H,W]
//   wgrad:    partial_dw[k,crs] (+)= sum_t a[k,t] b[t,crs]; the last column is db
//     1 a read [K/ROWS,T,ROWS]   2 b read [CRS/64,T,64]   3 partial_dw write [K,C*R*S+1]
// conv2d_pack.wgsl fills the panels for images first_image .. first_image + images; wgrad adds to what earlier images left.
// For devices that run lanes on CPU cores. A lane owns ROWS rows and two vec4f of columns: the load of `a` is uniform, one
// load and a broadcast; that of `b` is a gather, which panels keep contiguous. Tried on llvmpipe (two cores, 112 GFLOP/s):
// 8 rows x 1, 2, 3 vec4f give 14, 22, 22 GFLOP/s, 16 x 2 gives 23, 16 x 4 and 32 x 2 spill (11, 14).
// Workgroups: x over panels of rows, so that neighbours share a panel of columns in the cache; y over panels of columns.
// Reference: src/reference/conv2d.rs

import package::variant::ROWS;
import package::common::conv2d::Uniform;
import package::common::micro::{Micro, add_product, row};

const LANES: u32 = 8;
const COLUMNS: u32 = 64;

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@group(0) @binding(3) var<storage, read_write> partial_dw: array<f32>;

// The outputs of a lane: 16 rows of two vec4f, of which the lower half stays unused if ROWS is 8.
struct Sums {
    top0: Micro,
    top1: Micro,
    low0: Micro,
    low1: Micro,
}

fn product(group: vec3u, lane: u32, depth: u32) -> Sums {
    var top0: Micro;
    var top1: Micro;
    var low0: Micro;
    var low1: Micro;
    var from_a = group.x * depth * (ROWS / 4u);
    var from_b = group.y * depth * (COLUMNS / 4u) + lane;
    for (var t = 0u; t < depth; t++) {
        let b0 = b[from_b];
        let b1 = b[from_b + LANES];
        let a0 = a[from_a];
        let a1 = a[from_a + 1u];
        add_product(&top0, a0, a1, b0);
        add_product(&top1, a0, a1, b1);
        if ROWS == 16u {
            let a2 = a[from_a + 2u];
            let a3 = a[from_a + 3u];
            add_product(&low0, a2, a3, b0);
            add_product(&low1, a2, a3, b1);
        }
        from_a += ROWS / 4u;
        from_b += COLUMNS / 4u;
    }
    return Sums(top0, top1, low0, low1);
}

// Four columns of a lane, and whether they exist.
struct Columns {
    at: vec4u,
    live: vec4<bool>,
}

fn columns_of(group: vec3u, half: u32, lane: u32, end: u32) -> Columns {
    let at = group.y * COLUMNS + 4u * (half * LANES + lane) + vec4u(0u, 1u, 2u, 3u);
    return Columns(min(at, vec4u(end - 1u)), at < vec4u(end));
}

// Where channel 0 of the columns lies in a tensor of `channels` maps of `pixels`.
fn place(columns: Columns, channels: u32, pixels: u32) -> vec4u {
    let n = u.first_image + columns.at / pixels;
    return n * channels * pixels + columns.at % pixels;
}

fn store_y(k: u32, to: vec4u, live: vec4<bool>, sum: vec4f) {
    if k < u.k {
        let z = sum + bias[k];
        let value = select(z, vec4f(0.0), vec4<bool>(u.relu != 0u) & (z < vec4f(0.0)));
        let at = to + k * u.p * u.q;
        for (var i = 0u; i < 4u; i++) {
            if live[i] {
                y[at[i]] = value[i];
            }
        }
    }
}

fn store_dx(c: u32, to: vec4u, live: vec4<bool>, sum: vec4f) {
    if c < u.c {
        let at = to + c * u.h * u.w;
        for (var i = 0u; i < 4u; i++) {
            if live[i] {
                dx[at[i]] = select(sum[i], 0.0, u.masked != 0u && mask[at[i]] <= 0.0);
            }
        }
    }
}

fn store_dw(k: u32, to: vec4u, live: vec4<bool>, sum: vec4f) {
    if k < u.k {
        let at = to + k * (u.c * u.r * u.r + 1u);
        for (var i = 0u; i < 4u; i++) {
            if live[i] {
                var value = sum[i];
                if u.first_image != 0u {
                    value += partial_dw[at[i]];
                }
                partial_dw[at[i]] = value;
            }
        }
    }
}

fn store_y_rows(first: u32, to: vec4u, live: vec4<bool>, sums: Micro) {
    store_y(first, to, live, sums.r0);
    store_y(first + 1u, to, live, sums.r1);
    store_y(first + 2u, to, live, sums.r2);
    store_y(first + 3u, to, live, sums.r3);
    store_y(first + 4u, to, live, sums.r4);
    store_y(first + 5u, to, live, sums.r5);
    store_y(first + 6u, to, live, sums.r6);
    store_y(first + 7u, to, live, sums.r7);
}

fn store_dx_rows(first: u32, to: vec4u, live: vec4<bool>, sums: Micro) {
    store_dx(first, to, live, sums.r0);
    store_dx(first + 1u, to, live, sums.r1);
    store_dx(first + 2u, to, live, sums.r2);
    store_dx(first + 3u, to, live, sums.r3);
    store_dx(first + 4u, to, live, sums.r4);
    store_dx(first + 5u, to, live, sums.r5);
    store_dx(first + 6u, to, live, sums.r6);
    store_dx(first + 7u, to, live, sums.r7);
}

fn store_dw_rows(first: u32, to: vec4u, live: vec4<bool>, sums: Micro) {
    store_dw(first, to, live, sums.r0);
    store_dw(first + 1u, to, live, sums.r1);
    store_dw(first + 2u, to, live, sums.r2);
    store_dw(first + 3u, to, live, sums.r3);
    store_dw(first + 4u, to, live, sums.r4);
    store_dw(first + 5u, to, live, sums.r5);
    store_dw(first + 6u, to, live, sums.r6);
    store_dw(first + 7u, to, live, sums.r7);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let sums = product(group, lane, u.r * u.r * u.c);
    let first = group.x * ROWS;
    let left = columns_of(group, 0u, lane, u.images * u.p * u.q);
    let right = columns_of(group, 1u, lane, u.images * u.p * u.q);
    let to_left = place(left, u.k, u.p * u.q);
    let to_right = place(right, u.k, u.p * u.q);
    store_y_rows(first, to_left, left.live, sums.top0);
    store_y_rows(first, to_right, right.live, sums.top1);
    if ROWS == 16u {
        store_y_rows(first + 8u, to_left, left.live, sums.low0);
        store_y_rows(first + 8u, to_right, right.live, sums.low1);
    }
}

@compute @workgroup_size(LANES)
fn dgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let sums = product(group, lane, u.r * u.r * u.k);
    let first = group.x * ROWS;
    let left = columns_of(group, 0u, lane, u.images * u.h * u.w);
    let right = columns_of(group, 1u, lane, u.images * u.h * u.w);
    let to_left = place(left, u.c, u.h * u.w);
    let to_right = place(right, u.c, u.h * u.w);
    store_dx_rows(first, to_left, left.live, sums.top0);
    store_dx_rows(first, to_right, right.live, sums.top1);
    if ROWS == 16u {
        store_dx_rows(first + 8u, to_left, left.live, sums.low0);
        store_dx_rows(first + 8u, to_right, right.live, sums.low1);
    }
}

@compute @workgroup_size(LANES)
fn wgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let sums = product(group, lane, u.images * u.p * u.q);
    let first = group.x * ROWS;
    let left = columns_of(group, 0u, lane, u.c * u.r * u.r + 1u);
    let right = columns_of(group, 1u, lane, u.c * u.r * u.r + 1u);
    let to_left = left.at;
    let to_right = right.at;
    store_dw_rows(first, to_left, left.live, sums.top0);
    store_dw_rows(first, to_right, right.live, sums.top1);
    if ROWS == 16u {
        store_dw_rows(first + 8u, to_left, left.live, sums.low0);
        store_dw_rows(first + 8u, to_right, right.live, sums.low1);
    }
}
