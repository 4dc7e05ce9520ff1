// Stores the product of conv2d_columns.wgsl where it belongs, and finishes the convolution, of one group.
//   forward:  y[n,k,p,q]  = c[k,npq] + bias[k], then ReLU
//     1 c read [NPQ/COLUMNS,rows,COLUMNS]   2 bias read [K]                      3 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = c[c,nhw] where mask > 0
//     1 c read [NHW/COLUMNS,rows,COLUMNS]   2 mask read [N,C,H,W]                3 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,crs] (+)= c[z,k,crs]; with a bias the last column goes behind all rows, to db
//     1 c read [Z,CRS/COLUMNS,rows,COLUMNS] 2 partial_dw write [Z,K*C*R*S+K]
// z is a part of the reduction. For images first_image .. first_image + images; wgrad adds to what earlier images left. `rows` is
// K, or C in dgrad, up to a multiple of ROWS. An invocation owns 4 columns and walks ROWS rows, so that it divides once.
// Workgroups: x over panels of COLUMNS columns, y over groups of ROWS rows, z over parts.
// Reference: src/reference/conv2d.rs

import package::variant::{ROWS, COLUMNS};
import package::common::conv2d::{Uniform, partial_at};

const LANES: u32 = COLUMNS / 4;

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> c: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

@group(0) @binding(2) var<storage, read_write> partial_dw: array<f32>;

fn columns_of(panel: u32, lane: u32) -> vec4u {
    return panel * COLUMNS + 4u * lane + vec4u(0u, 1u, 2u, 3u);
}

// Where the product keeps row 0 of a group of rows.
fn first_quad(group: vec3u, lane: u32, rows: u32) -> u32 {
    let padded = (rows + ROWS - 1u) / ROWS * ROWS;
    return (group.x * padded + group.y * ROWS) * LANES + lane;
}

// Where map 0 of the columns lies in a tensor of `maps` maps of `pixels`.
fn place(columns: vec4u, maps: u32, pixels: u32) -> vec4u {
    let n = u.first_image + columns / pixels;
    return n * maps * pixels + columns % pixels;
}

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let columns = columns_of(group.x, lane);
    let live = columns < vec4u(u.images * pixels);
    let first = group.y * ROWS;
    var at = first_quad(group, lane, u.k);
    var to = place(columns, u.k, pixels) + first * pixels;
    for (var k = first; k < min(first + ROWS, u.k); k++) {
        var z = c[at];
        if u.biased != 0u {
            z += bias[k];
        }
        // Not-a-number fails the comparison and passes through.
        let value = select(z, vec4f(0.0), vec4<bool>(u.relu != 0u) & (z < vec4f(0.0)));
        if live.x { y[to.x] = value.x; }
        if live.y { y[to.y] = value.y; }
        if live.z { y[to.z] = value.z; }
        if live.w { y[to.w] = value.w; }
        at += LANES;
        to += pixels;
    }
}

fn store_dx(to: u32, value: f32) {
    dx[to] = select(value, 0.0, u.masked != 0u && mask[to] <= 0.0);
}

@compute @workgroup_size(LANES)
fn dgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.h * u.w;
    let columns = columns_of(group.x, lane);
    let live = columns < vec4u(u.images * pixels);
    let first = group.y * ROWS;
    var at = first_quad(group, lane, u.c);
    var to = place(columns, u.c, pixels) + first * pixels;
    for (var k = first; k < min(first + ROWS, u.c); k++) {
        let value = c[at];
        if live.x { store_dx(to.x, value.x); }
        if live.y { store_dx(to.y, value.y); }
        if live.z { store_dx(to.z, value.z); }
        if live.w { store_dx(to.w, value.w); }
        at += LANES;
        to += pixels;
    }
}

fn store_dw(part: u32, k: u32, column: u32, value: f32) {
    let to = partial_at(u, part, k, column);
    var sum = value;
    if u.first_image != 0u {
        sum += partial_dw[to];
    }
    partial_dw[to] = sum;
}

@compute @workgroup_size(LANES)
fn wgrad(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let end = u.c * u.r * u.s + u.biased;
    let columns = columns_of(group.x, lane);
    let live = columns < vec4u(end);
    let first = group.y * ROWS;
    var at = first_quad(vec3u(group.z * groups.x + group.x, group.yz), lane, u.k);
    for (var k = first; k < min(first + ROWS, u.k); k++) {
        let value = c[at];
        if live.x { store_dw(group.z, k, columns.x, value.x); }
        if live.y { store_dw(group.z, k, columns.y, value.y); }
        if live.z { store_dw(group.z, k, columns.z, value.z); }
        if live.w { store_dw(group.z, k, columns.w, value.w); }
        at += LANES;
    }
}
