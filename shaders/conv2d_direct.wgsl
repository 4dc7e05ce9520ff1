// 2-D convolution without workgroup memory: an invocation owns 4 columns and 8 rows, in registers.
//   forward:  y[n,k,p,q]  = (b[k] +) sum_{c,r,s} x[n,c,p*u-pad+r*d,q*u-pad+s*d] w[k,c,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,C,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{k,r,s} dy[n,k,(h+pad-r*d)/u,(w+pad-s*d)/u] w[k,c,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,C,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,crs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,c,...], then db[z,k] if biased
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K*C*R*S+K]
// With groups, filters are [K,C/G,R,S], and filter k sees the channels of its group.
// For devices that run lanes on CPU cores. Lanes lie along pixels (filter terms in wgrad), so the row operand's address is
// uniform: one load and a broadcast; no barrier suspends a lane. Loads are what costs there, and 4 columns x 8 rows make
// 32 multiply-adds of 12 loads. Sums are named vectors over the columns: an array indexed in a loop would go to memory.
// Workgroups: x over columns, y over 8 rows (of a group of channels) each, z over groups, in wgrad of each split. Rows and
// columns past the end repeat the last one and are not stored.
// Reference: src/reference/conv2d.rs

import package::common::conv2d::{Uniform, input_tap4, output_tap4, partial_at, tap_offset};

const LANES: u32 = 64;
const COLUMNS: u32 = 4 * LANES;
const ROWS: u32 = 8;

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

// The columns of an invocation.
fn columns_of(group: u32, lane: u32) -> vec4u {
    return group * COLUMNS + lane + LANES * vec4u(0u, 1u, 2u, 3u);
}

// The four rows from `first` on, held below `rows`.
fn quad(first: u32, rows: u32) -> vec4u {
    return min(first + vec4u(0u, 1u, 2u, 3u), vec4u(rows - 1u));
}

fn load_w(at: vec4u) -> vec4f {
    return vec4f(w[at.x], w[at.y], w[at.z], w[at.w]);
}

fn load_dy_rows(at: vec4u) -> vec4f {
    return vec4f(dy_in[at.x], dy_in[at.y], dy_in[at.z], dy_in[at.w]);
}

fn load_x(at: vec4u, inside: vec4<bool>) -> vec4f {
    return select(vec4f(0.0), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), inside);
}

fn load_dy(at: vec4u, inside: vec4<bool>) -> vec4f {
    return select(vec4f(0.0), vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), inside);
}

fn store_y(group: u32, k: u32, to: vec4u, live: vec4<bool>, sum: vec4f) {
    if k < u.k {
        var z = sum;
        if u.biased != 0u {
            z += b[group * u.k + k];
        }
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

fn store_dw(z: u32, k: u32, columns: vec4u, live: vec4<bool>, sum: vec4f) {
    if k < u.k {
        let split = u.first_split + z / u.groups;
        let row = z % u.groups * u.k + k;
        for (var i = 0u; i < 4u; i++) {
            if live[i] {
                partial_dw[partial_at(u, split, row, columns[i])] = sum[i];
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let columns = columns_of(group.x, lane);
    let live = columns < vec4u(u.n * pixels);
    let column = min(columns, vec4u(u.n * pixels - 1u));
    let n = column / pixels;
    let pixel = column % pixels;
    let window = u.r * u.s;
    let terms = u.c * window;
    let k = group.y * ROWS;
    let low = (group.z * u.k + quad(k, u.k)) * terms;
    let high = (group.z * u.k + quad(k + 4u, u.k)) * terms;
    let map = (n * u.groups + group.z) * u.c * u.h * u.w;
    var sum0 = vec4f(0.0);
    var sum1 = vec4f(0.0);
    var sum2 = vec4f(0.0);
    var sum3 = vec4f(0.0);
    var sum4 = vec4f(0.0);
    var sum5 = vec4f(0.0);
    var sum6 = vec4f(0.0);
    var sum7 = vec4f(0.0);
    for (var tap = 0u; tap < window; tap++) {
        let offset = tap_offset(u, tap);
        let input = input_tap4(u, pixel / u.q, pixel % u.q, vec4u(offset.x), vec4u(offset.y));
        var at = map + input.at;
        for (var term = tap; term < terms; term += window) {
            let values = load_x(at, input.inside);
            let w0 = load_w(low + term);
            let w1 = load_w(high + term);
            sum0 += w0.x * values;
            sum1 += w0.y * values;
            sum2 += w0.z * values;
            sum3 += w0.w * values;
            sum4 += w1.x * values;
            sum5 += w1.y * values;
            sum6 += w1.z * values;
            sum7 += w1.w * values;
            at += u.h * u.w;
        }
    }
    let to = (n * u.groups + group.z) * u.k * pixels + pixel;
    store_y(group.z, k, to, live, sum0);
    store_y(group.z, k + 1u, to, live, sum1);
    store_y(group.z, k + 2u, to, live, sum2);
    store_y(group.z, k + 3u, to, live, sum3);
    store_y(group.z, k + 4u, to, live, sum4);
    store_y(group.z, k + 5u, to, live, sum5);
    store_y(group.z, k + 6u, to, live, sum6);
    store_y(group.z, k + 7u, to, live, sum7);
}

@compute @workgroup_size(LANES)
fn dgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.h * u.w;
    let columns = columns_of(group.x, lane);
    let live = columns < vec4u(u.n * pixels);
    let column = min(columns, vec4u(u.n * pixels - 1u));
    let n = column / pixels;
    let pixel = column % pixels;
    let window = u.r * u.s;
    let filters = group.z * u.k * u.c * window;
    let c = group.y * ROWS;
    let low = filters + quad(c, u.c) * window;
    let high = filters + quad(c + 4u, u.c) * window;
    let map = (n * u.groups + group.z) * u.k * u.p * u.q;
    var sum0 = vec4f(0.0);
    var sum1 = vec4f(0.0);
    var sum2 = vec4f(0.0);
    var sum3 = vec4f(0.0);
    var sum4 = vec4f(0.0);
    var sum5 = vec4f(0.0);
    var sum6 = vec4f(0.0);
    var sum7 = vec4f(0.0);
    for (var tap = 0u; tap < window; tap++) {
        let output = output_tap4(u, pixel / u.w, pixel % u.w, tap_offset(u, tap));
        var at = map + output.at;
        for (var term = tap; term < u.k * u.c * window; term += u.c * window) {
            let values = load_dy(at, output.inside);
            let w0 = load_w(low + term);
            let w1 = load_w(high + term);
            sum0 += w0.x * values;
            sum1 += w0.y * values;
            sum2 += w0.z * values;
            sum3 += w0.w * values;
            sum4 += w1.x * values;
            sum5 += w1.y * values;
            sum6 += w1.z * values;
            sum7 += w1.w * values;
            at += u.p * u.q;
        }
    }
    let to = (n * u.groups + group.z) * u.c * pixels + pixel;
    store_dx(c, to, live, sum0);
    store_dx(c + 1u, to, live, sum1);
    store_dx(c + 2u, to, live, sum2);
    store_dx(c + 3u, to, live, sum3);
    store_dx(c + 4u, to, live, sum4);
    store_dx(c + 5u, to, live, sum5);
    store_dx(c + 6u, to, live, sum6);
    store_dx(c + 7u, to, live, sum7);
}

@compute @workgroup_size(LANES)
fn wgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let terms = u.c * u.r * u.s;
    let columns = columns_of(group.x, lane);
    let live = columns < vec4u(terms + u.biased);
    let column = min(columns, vec4u(terms - 1u));
    let in_group = group.z % u.groups;
    let map = (in_group * u.c + column / (u.r * u.s)) * u.h * u.w;
    let down = column / u.s % u.r * u.dilation_h;
    let across = column % u.s * u.dilation_w;
    let pixels = u.p * u.q;
    let x_image = u.groups * u.c * u.h * u.w;
    let dy_image = u.groups * u.k * pixels;
    let start = (u.first_split + group.z / u.groups) * u.pixels_per_split;
    let end = min(start + u.pixels_per_split, u.n * pixels);
    let k = group.y * ROWS;
    let low = (in_group * u.k + quad(k, u.k)) * pixels;
    let high = (in_group * u.k + quad(k + 4u, u.k)) * pixels;
    var sum0 = vec4f(0.0);
    var sum1 = vec4f(0.0);
    var sum2 = vec4f(0.0);
    var sum3 = vec4f(0.0);
    var sum4 = vec4f(0.0);
    var sum5 = vec4f(0.0);
    var sum6 = vec4f(0.0);
    var sum7 = vec4f(0.0);
    for (var i = start; i < end; i++) {
        let n = i / pixels;
        let pixel = i % pixels;
        let input = input_tap4(u, vec4u(pixel / u.q), vec4u(pixel % u.q), down, across);
        let loaded = load_x(n * x_image + map + input.at, input.inside);
        // The bias gradient is the column whose input is 1.
        let values = select(loaded, vec4f(1.0), columns == vec4u(terms));
        let first = n * dy_image + pixel;
        let dy0 = load_dy_rows(low + first);
        let dy1 = load_dy_rows(high + first);
        sum0 += dy0.x * values;
        sum1 += dy0.y * values;
        sum2 += dy0.z * values;
        sum3 += dy0.w * values;
        sum4 += dy1.x * values;
        sum5 += dy1.y * values;
        sum6 += dy1.z * values;
        sum7 += dy1.w * values;
    }
    store_dw(group.z, k, columns, live, sum0);
    store_dw(group.z, k + 1u, columns, live, sum1);
    store_dw(group.z, k + 2u, columns, live, sum2);
    store_dw(group.z, k + 3u, columns, live, sum3);
    store_dw(group.z, k + 4u, columns, live, sum4);
    store_dw(group.z, k + 5u, columns, live, sum5);
    store_dw(group.z, k + 6u, columns, live, sum6);
    store_dw(group.z, k + 7u, columns, live, sum7);
}
