// 2-D convolution without workgroup memory: an invocation owns one column and ROWS rows, held in registers.
//   forward:  y[n,k,p,q]  = b[k] + sum_{c,r,s} x[n,c,p*u-pad+r,q*u-pad+s] w[k,c,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,C,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{k,r,s} dy[n,k,(h+pad-r)/u,(w+pad-s)/u] w[k,c,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,C,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,crs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,c,...]; the last column is db
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K,C*R*S+1]
// For devices that run lanes on CPU cores: lanes lie along pixels (filter terms in wgrad), so the row operand's address
// is uniform (one load and a broadcast), and no barrier suspends a lane. Workgroups: x over columns, y over groups of
// ROWS rows, z over splits. Rows past the end repeat the last one and are not stored.
// Reference: src/reference/conv2d.rs

import package::variant::ROWS;
import package::common::conv2d::{Uniform, input_tap, output_tap};

const LANES: u32 = 64;
const QUADS: u32 = ROWS / 4;

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

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let column = group.x * LANES + lane;
    let live = min(column, u.n * pixels - 1u);
    let n = live / pixels;
    let pixel = live % pixels;
    let k0 = group.y * ROWS;
    let terms = u.c * u.r * u.r;
    var row: array<vec4u, QUADS>;
    var sum: array<vec4f, QUADS>;
    for (var i = 0u; i < QUADS; i++) {
        let k = min(k0 + 4u * i + vec4u(0u, 1u, 2u, 3u), vec4u(u.k - 1u));
        row[i] = k * terms;
        sum[i] = vec4f(b[k.x], b[k.y], b[k.z], b[k.w]);
    }
    for (var r = 0u; r < u.r; r++) {
        for (var s = 0u; s < u.r; s++) {
            let tap = input_tap(u, pixel / u.q, pixel % u.q, r, s);
            var at = n * u.c * u.h * u.w + tap.at;
            var term = r * u.r + s;
            for (var c = 0u; c < u.c; c++) {
                let value = select(0.0, x[at], tap.inside);
                for (var i = 0u; i < QUADS; i++) {
                    let t = row[i] + term;
                    sum[i] += value * vec4f(w[t.x], w[t.y], w[t.z], w[t.w]);
                }
                at += u.h * u.w;
                term += u.r * u.r;
            }
        }
    }
    if column < u.n * pixels {
        for (var i = 0u; i < ROWS; i++) {
            let value = sum[i / 4u][i % 4u];
            if k0 + i < u.k {
                y[(n * u.k + k0 + i) * pixels + pixel] = select(value, 0.0, u.relu != 0u && value < 0.0);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn dgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.h * u.w;
    let column = group.x * LANES + lane;
    let live = min(column, u.n * pixels - 1u);
    let n = live / pixels;
    let pixel = live % pixels;
    let c0 = group.y * ROWS;
    let window = u.r * u.r;
    var row: array<vec4u, QUADS>;
    var sum: array<vec4f, QUADS>;
    for (var i = 0u; i < QUADS; i++) {
        row[i] = min(c0 + 4u * i + vec4u(0u, 1u, 2u, 3u), vec4u(u.c - 1u)) * window;
    }
    for (var r = 0u; r < u.r; r++) {
        for (var s = 0u; s < u.r; s++) {
            let tap = output_tap(u, pixel / u.w, pixel % u.w, r, s);
            var at = n * u.k * u.p * u.q + tap.at;
            var term = r * u.r + s;
            for (var k = 0u; k < u.k; k++) {
                let value = select(0.0, dy[at], tap.inside);
                for (var i = 0u; i < QUADS; i++) {
                    let t = row[i] + term;
                    sum[i] += value * vec4f(w[t.x], w[t.y], w[t.z], w[t.w]);
                }
                at += u.p * u.q;
                term += u.c * window;
            }
        }
    }
    if column < u.n * pixels {
        for (var i = 0u; i < ROWS; i++) {
            if c0 + i < u.c {
                let to = (n * u.c + c0 + i) * pixels + pixel;
                dx[to] = select(sum[i / 4u][i % 4u], 0.0, u.masked != 0u && mask[to] <= 0.0);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn wgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let terms = u.c * u.r * u.r;
    let column = group.x * LANES + lane;
    let live = min(column, terms - 1u);
    let c = live / (u.r * u.r);
    let r = live / u.r % u.r;
    let s = live % u.r;
    let k0 = group.y * ROWS;
    let pixels = u.p * u.q;
    let start = group.z * u.pixels_per_split;
    let end = min(start + u.pixels_per_split, u.n * pixels);
    var row: array<vec4u, QUADS>;
    var sum: array<vec4f, QUADS>;
    for (var i = 0u; i < QUADS; i++) {
        row[i] = min(k0 + 4u * i + vec4u(0u, 1u, 2u, 3u), vec4u(u.k - 1u)) * pixels;
    }
    for (var i = start; i < end; i++) {
        let n = i / pixels;
        let pixel = i % pixels;
        let tap = input_tap(u, pixel / u.q, pixel % u.q, r, s);
        let value = select(0.0, x[(n * u.c + c) * u.h * u.w + tap.at], tap.inside);
        // The bias gradient is the column whose input is 1.
        let term = select(value, 1.0, column == terms);
        let first = n * u.k * pixels + pixel;
        for (var j = 0u; j < QUADS; j++) {
            let t = row[j] + first;
            sum[j] += term * vec4f(dy_in[t.x], dy_in[t.y], dy_in[t.z], dy_in[t.w]);
        }
    }
    if column <= terms {
        for (var i = 0u; i < ROWS; i++) {
            if k0 + i < u.k {
                let to = (group.z * u.k + k0 + i) * (terms + 1u) + column;
                partial_dw[to] = sum[i / 4u][i % 4u];
            }
        }
    }
}
