// 2-D convolution as a GEMM over im2col columns that are never stored.
//   forward:  y[n,k,p,q]  = b[k] + sum_{c,r,s} x[n,c,p*u-pad+r,q*u-pad+s] w[k,c,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,C,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{k,r,s} dy[n,k,(h+pad-r)/u,(w+pad-s)/u] w[k,c,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,C,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,crs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,c,...], then db[z,k]
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K*C*R*S+K]
// A workgroup owns TILE_M rows (channels) x TILE_N columns (pixels, or filter terms in wgrad) and walks the reduction in
// slabs of TILE_K: it copies both operands' slabs to workgroup memory, ragged edges as zeros, and each invocation adds
// the products of its 8 rows x 4 columns in registers. Workgroups: x over columns, y over rows, z over splits.
// The reduction runs (r,s) outer, channels inner, so that neighbouring slabs read neighbouring pixels.
// Reference: src/reference/conv2d.rs

import package::variant::{TILE_M, TILE_N, TILE_K};
import package::common::conv2d::{Uniform, input_tap, output_tap, partial_at};
import package::common::micro::{Micro, add_product, row};

const LANES_N: u32 = TILE_N / 4;
const LANES: u32 = TILE_M / 8 * LANES_N;
const LOADS_A: u32 = TILE_M * TILE_K / LANES;
const LOADS_B: u32 = TILE_N * TILE_K / LANES;

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

// Adds the products of both slabs to the sums of an invocation.
fn multiply_slabs(sums: ptr<function, Micro>, lane: u32) {
    let m = lane / LANES_N * 8u;
    let n = lane % LANES_N * 4u;
    for (var t = 0u; t < TILE_K; t++) {
        let columns = vec4f(b_slab[t][n], b_slab[t][n + 1u], b_slab[t][n + 2u], b_slab[t][n + 3u]);
        let low = vec4f(a_slab[t][m], a_slab[t][m + 1u], a_slab[t][m + 2u], a_slab[t][m + 3u]);
        let high = vec4f(a_slab[t][m + 4u], a_slab[t][m + 5u], a_slab[t][m + 6u], a_slab[t][m + 7u]);
        add_product(sums, low, high, columns);
    }
}

// A filter tap and channel from a position in the reduction: channels inner.
struct Term {
    channel: u32,
    r: u32,
    s: u32,
}

fn term(at: u32, channels: u32) -> Term {
    let tap = at / channels;
    return Term(at % channels, tap / u.r, tap % u.r);
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let columns = u.n * pixels;
    let terms = u.c * u.r * u.r;
    var sums: Micro;
    for (var base = 0u; base < terms; base += TILE_K) {
        for (var i = 0u; i < LOADS_A; i++) {
            let flat = i * LANES + lane;
            let m = flat % TILE_M;
            let k = group.y * TILE_M + m;
            let at = base + flat / TILE_M;
            let tap_of = term(at, u.c);
            var value = 0.0;
            if k < u.k && at < terms {
                value = w[((k * u.c + tap_of.channel) * u.r + tap_of.r) * u.r + tap_of.s];
            }
            a_slab[flat / TILE_M][m] = value;
        }
        for (var i = 0u; i < LOADS_B; i++) {
            let flat = i * LANES + lane;
            let n = flat % TILE_N;
            let column = group.x * TILE_N + n;
            let at = base + flat / TILE_N;
            let tap_of = term(at, u.c);
            let pixel = column % pixels;
            let tap = input_tap(u, pixel / u.q, pixel % u.q, tap_of.r, tap_of.s);
            var value = 0.0;
            if column < columns && at < terms && tap.inside {
                value = x[(column / pixels * u.c + tap_of.channel) * u.h * u.w + tap.at];
            }
            b_slab[flat / TILE_N][n] = value;
        }
        workgroupBarrier();
        multiply_slabs(&sums, lane);
        workgroupBarrier();
    }
    for (var i = 0u; i < 8u; i++) {
        let k = group.y * TILE_M + lane / LANES_N * 8u + i;
        for (var j = 0u; j < 4u; j++) {
            let column = group.x * TILE_N + lane % LANES_N * 4u + j;
            if k < u.k && column < columns {
                let value = row(sums, i)[j] + b[k];
                let to = (column / pixels * u.k + k) * pixels + column % pixels;
                y[to] = select(value, 0.0, u.relu != 0u && value < 0.0);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn dgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.h * u.w;
    let columns = u.n * pixels;
    let terms = u.k * u.r * u.r;
    var sums: Micro;
    for (var base = 0u; base < terms; base += TILE_K) {
        for (var i = 0u; i < LOADS_A; i++) {
            let flat = i * LANES + lane;
            let m = flat % TILE_M;
            let c = group.y * TILE_M + m;
            let at = base + flat / TILE_M;
            let tap_of = term(at, u.k);
            var value = 0.0;
            if c < u.c && at < terms {
                value = w[((tap_of.channel * u.c + c) * u.r + tap_of.r) * u.r + tap_of.s];
            }
            a_slab[flat / TILE_M][m] = value;
        }
        for (var i = 0u; i < LOADS_B; i++) {
            let flat = i * LANES + lane;
            let n = flat % TILE_N;
            let column = group.x * TILE_N + n;
            let at = base + flat / TILE_N;
            let tap_of = term(at, u.k);
            let pixel = column % pixels;
            let tap = output_tap(u, pixel / u.w, pixel % u.w, tap_of.r, tap_of.s);
            var value = 0.0;
            if column < columns && at < terms && tap.inside {
                value = dy[(column / pixels * u.k + tap_of.channel) * u.p * u.q + tap.at];
            }
            b_slab[flat / TILE_N][n] = value;
        }
        workgroupBarrier();
        multiply_slabs(&sums, lane);
        workgroupBarrier();
    }
    for (var i = 0u; i < 8u; i++) {
        let c = group.y * TILE_M + lane / LANES_N * 8u + i;
        for (var j = 0u; j < 4u; j++) {
            let column = group.x * TILE_N + lane % LANES_N * 4u + j;
            if c < u.c && column < columns {
                let to = (column / pixels * u.c + c) * pixels + column % pixels;
                dx[to] = select(row(sums, i)[j], 0.0, u.masked != 0u && mask[to] <= 0.0);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn wgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let terms = u.c * u.r * u.r;
    let start = group.z * u.pixels_per_split;
    let end = min(start + u.pixels_per_split, u.n * pixels);
    var sums: Micro;
    for (var base = start; base < end; base += TILE_K) {
        // Along the reduction, which is along pixels, both operands are contiguous: so it is the fast index here.
        for (var i = 0u; i < LOADS_A; i++) {
            let flat = i * LANES + lane;
            let m = flat / TILE_K;
            let k = group.y * TILE_M + m;
            let at = base + flat % TILE_K;
            var value = 0.0;
            if k < u.k && at < end {
                value = dy_in[(at / pixels * u.k + k) * pixels + at % pixels];
            }
            a_slab[flat % TILE_K][m] = value;
        }
        for (var i = 0u; i < LOADS_B; i++) {
            let flat = i * LANES + lane;
            let n = flat / TILE_K;
            let column = group.x * TILE_N + n;
            let at = base + flat % TILE_K;
            let pixel = at % pixels;
            let tap = input_tap(u, pixel / u.q, pixel % u.q, column / u.r % u.r, column % u.r);
            var value = 0.0;
            if at < end {
                if column == terms {
                    // The bias gradient is the column whose input is 1.
                    value = 1.0;
                } else if column < terms && tap.inside {
                    value = x[(at / pixels * u.c + column / (u.r * u.r)) * u.h * u.w + tap.at];
                }
            }
            b_slab[flat % TILE_K][n] = value;
        }
        workgroupBarrier();
        multiply_slabs(&sums, lane);
        workgroupBarrier();
    }
    for (var i = 0u; i < 8u; i++) {
        let k = group.y * TILE_M + lane / LANES_N * 8u + i;
        for (var j = 0u; j < 4u; j++) {
            let column = group.x * TILE_N + lane % LANES_N * 4u + j;
            if k < u.k && column <= terms {
                partial_dw[partial_at(u, group.z, k, column)] = row(sums, i)[j];
            }
        }
    }
}
