// Packs the two factors of a convolution's GEMM into panels, for the kernels of conv2d_columns.wgsl.
//   a[panel,t,i] = A[t, panel*ROWS + i],   b[panel,t,j] = B[t, panel*COLUMNS + j],   t along the reduction
//   forward:  A = w[k,c,r,s] over t = (r,s,c), rows k;      B = x at tap (r,s) of pixel (n,p,q)
//     1 w read [K,C,R,S]   2 a write                        1 x read [N,C,H,W]    2 b write
//   dgrad:    A = w[k,c,r,s] over t = (r,s,k), rows c;      B = dy at tap (r,s) of pixel (n,h,w)
//     1 w read             2 a write                        1 dy read [N,K,P,Q]   2 b write
//   wgrad:    A = dy[n,k,p,q] over t = (n,p,q), rows k;     B = x at tap (r,s) of channel c, columns (c,r,s), then 1
//     1 dy read            2 a write                        1 x read              2 b write
// For one group only. Only images first_image .. first_image + images are packed, so that a large batch takes little memory.
// In wgrad each pixels_per_split pixels, whole images, are a part of the reduction with panels of its own: a[part,panel,t,i].
// An invocation owns 4 columns of a panel, or 4 rows, and walks part of the reduction: workgroup y is (r,s) for filters, r for
// maps, the image in wgrad. So a step is an addition and little is divided in a loop. Past the last row or column the
// last one is repeated; those results are not stored. The product takes terms in pairs: an odd depth ends in zeros.
// Reference: src/reference/conv2d.rs

import package::variant::{ROWS, COLUMNS};
import package::common::conv2d::{Uniform, input_tap4, output_tap4};

// A workgroup packs 64 columns or rows: whole panels.
const LANES: u32 = 16;

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> w: array<f32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> dy: array<f32>;

@group(0) @binding(2) var<storage, read_write> a: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> b: array<vec4f>;

// The 4 columns from 4*quad on, held below `end`.
fn columns_of(quad: u32, end: u32) -> vec4u {
    return min(4u * quad + vec4u(0u, 1u, 2u, 3u), vec4u(end - 1u));
}

// Where the panels keep term 0 of quad `quad`: panels of `width` columns and `depth` terms, an even number of them.
fn place(quad: u32, width: u32, depth: u32) -> u32 {
    return quad / (width / 4u) * (depth + depth % 2u) * (width / 4u) + quad % (width / 4u);
}

// Whether a term of zeros follows this part of the reduction: the last one, if the depth is odd.
fn pads(part: u32, parts: u32, depth: u32) -> bool {
    return part + 1u == parts && depth % 2u == 1u;
}

fn load_w(at: vec4u) -> vec4f {
    return vec4f(w[at.x], w[at.y], w[at.z], w[at.w]);
}

fn load_x(at: vec4u, inside: vec4<bool>) -> vec4f {
    return select(vec4f(0.0), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), inside);
}

fn load_dy(at: vec4u) -> vec4f {
    return vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]);
}

@compute @workgroup_size(LANES)
fn forward_a(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let quad = group.x * LANES + lane;
    if 4u * quad >= (u.k + ROWS - 1u) / ROWS * ROWS {
        return;
    }
    let window = u.r * u.s;
    var at = columns_of(quad, u.k) * u.c * window + group.y;
    let depth = window * u.c;
    var to = place(quad, ROWS, depth) + group.y * u.c * (ROWS / 4u);
    for (var c = 0u; c < u.c; c++) {
        a[to] = load_w(at);
        at += window;
        to += ROWS / 4u;
    }
    if pads(group.y, window, depth) {
        a[to] = vec4f(0.0);
    }
}

@compute @workgroup_size(LANES)
fn forward_b(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let quad = group.x * LANES + lane;
    let pixels = u.p * u.q;
    let column = columns_of(quad, u.images * pixels);
    let pixel = column % pixels;
    let p = pixel / u.q;
    let q = pixel % u.q;
    let image = (u.first_image + column / pixels) * u.c * u.h * u.w;
    let depth = u.r * u.s * u.c;
    var to = place(quad, COLUMNS, depth) + group.y * u.s * u.c * (COLUMNS / 4u);
    for (var s = 0u; s < u.s; s++) {
        let tap = input_tap4(u, p, q, vec4u(group.y * u.dilation_h), vec4u(s * u.dilation_w));
        var at = image + tap.at;
        for (var c = 0u; c < u.c; c++) {
            b[to] = load_x(at, tap.inside);
            at += u.h * u.w;
            to += COLUMNS / 4u;
        }
    }
    if pads(group.y, u.r, depth) {
        b[to] = vec4f(0.0);
    }
}

@compute @workgroup_size(LANES)
fn dgrad_a(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let quad = group.x * LANES + lane;
    if 4u * quad >= (u.c + ROWS - 1u) / ROWS * ROWS {
        return;
    }
    let window = u.r * u.s;
    var at = columns_of(quad, u.c) * window + group.y;
    let depth = window * u.k;
    var to = place(quad, ROWS, depth) + group.y * u.k * (ROWS / 4u);
    for (var k = 0u; k < u.k; k++) {
        a[to] = load_w(at);
        at += u.c * window;
        to += ROWS / 4u;
    }
    if pads(group.y, window, depth) {
        a[to] = vec4f(0.0);
    }
}

@compute @workgroup_size(LANES)
fn dgrad_b(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let quad = group.x * LANES + lane;
    let pixels = u.h * u.w;
    let column = columns_of(quad, u.images * pixels);
    let pixel = column % pixels;
    let h = pixel / u.w;
    let w = pixel % u.w;
    let image = (u.first_image + column / pixels) * u.k * u.p * u.q;
    let depth = u.r * u.s * u.k;
    var to = place(quad, COLUMNS, depth) + group.y * u.s * u.k * (COLUMNS / 4u);
    for (var s = 0u; s < u.s; s++) {
        let tap = output_tap4(u, h, w, vec2u(group.y * u.dilation_h, s * u.dilation_w));
        var at = image + tap.at;
        for (var k = 0u; k < u.k; k++) {
            b[to] = select(vec4f(0.0), load_dy(at), tap.inside);
            at += u.p * u.q;
            to += COLUMNS / 4u;
        }
    }
    if pads(group.y, u.r, depth) {
        b[to] = vec4f(0.0);
    }
}

// Images of a part of the reduction in wgrad.
fn images_of_part() -> u32 {
    return u.pixels_per_split / (u.p * u.q);
}

// Where the panels of wgrad, `panels` for each part, keep the first pixel of an image.
fn gradient_place(quad: u32, width: u32, panels: u32, image: u32) -> u32 {
    let depth = u.pixels_per_split;
    let part = image / images_of_part() * panels * (depth + depth % 2u) * (width / 4u);
    return part + place(quad, width, depth) + image % images_of_part() * u.p * u.q * (width / 4u);
}

// Whether a term of zeros follows an image.
fn gradient_pads(image: u32) -> bool {
    return pads(image % images_of_part(), images_of_part(), u.pixels_per_split);
}

@compute @workgroup_size(LANES)
fn wgrad_a(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let quad = group.x * LANES + lane;
    let panels = (u.k + ROWS - 1u) / ROWS;
    if 4u * quad >= panels * ROWS {
        return;
    }
    let pixels = u.p * u.q;
    var at = ((u.first_image + group.y) * u.k + columns_of(quad, u.k)) * pixels;
    var to = gradient_place(quad, ROWS, panels, group.y);
    for (var i = 0u; i < pixels; i++) {
        a[to] = load_dy(at);
        at += vec4u(1u);
        to += ROWS / 4u;
    }
    if gradient_pads(group.y) {
        a[to] = vec4f(0.0);
    }
}

@compute @workgroup_size(LANES)
fn wgrad_b(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let quad = group.x * LANES + lane;
    let terms = u.c * u.r * u.s;
    let panels = (terms + u.biased + COLUMNS - 1u) / COLUMNS;
    if 4u * quad >= panels * COLUMNS {
        return;
    }
    let column = columns_of(quad, terms);
    let down = column / u.s % u.r * u.dilation_h;
    let across = column % u.s * u.dilation_w;
    let map = ((u.first_image + group.y) * u.c + column / (u.r * u.s)) * u.h * u.w;
    // The bias gradient is the column whose input is 1.
    let one = 4u * quad + vec4u(0u, 1u, 2u, 3u) == vec4u(terms);
    var to = gradient_place(quad, COLUMNS, panels, group.y);
    for (var p = 0u; p < u.p; p++) {
        for (var q = 0u; q < u.q; q++) {
            let tap = input_tap4(u, vec4u(p), vec4u(q), down, across);
            b[to] = select(load_x(map + tap.at, tap.inside), vec4f(1.0), one);
            to += COLUMNS / 4u;
        }
    }
    if gradient_pads(group.y) {
        b[to] = vec4f(0.0);
    }
}
