// The filter gradient of a 2-D convolution as a GEMM over im2col columns that are never stored.
//   wgrad:    partial_dw[z,k,crs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,c,...], then db[z,k] if biased
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K*C*R*S+K]
// With groups, filters are [K,C/G,R,S], and filter k sees the channels of its group.
// A workgroup owns TILE_M rows (filters) x TILE_N columns (filter terms) and walks the pixels of its part in slabs of TILE_K,
// as conv2d_implicit_gemm.wgsl has it, whose head says how copies are made. An invocation copies one pixel of each slab, and
// follows it from slab to slab without a division. Workgroups: x over columns, y over filters of a group, z over groups of each split.
// Reference: src/reference/conv2d.rs

import package::variant::{TILE_K, MICRO_N};
import package::common::conv2d::{Uniform, partial_at};
import package::common::gemm::{
    COPIES_A, COPIES_B, LANES, QUADS_N, Quads, a_slab, along_terms, b_slab, columns_of, multiply_slabs, quads_of, row_of, rows_of,
};
import package::common::micro::{Micro, row};

// More rows down than any image has.
const OUTSIDE: u32 = 0x40000000;

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy_in: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial_dw: array<f32>;

// The four filter terms of each quad of columns: where they lie in an image from the pixel that their window begins at, how far
// down and across, and what they are outside of it.
var<workgroup> offsets: array<vec4u, QUADS_N>;
var<workgroup> downs: array<vec4u, QUADS_N>;
var<workgroup> acrosses: array<vec4u, QUADS_N>;
var<workgroup> paddings: array<vec4f, QUADS_N>;

@compute @workgroup_size(LANES)
fn wgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let map = u.h * u.w;
    let window = u.r * u.s;
    let terms = u.c * window;
    let first_k = group.z % u.groups * u.k;
    let first_c = group.z % u.groups * u.c;
    let split = u.first_split + group.z / u.groups;
    let start = split * u.pixels_per_split;
    let end = min(start + u.pixels_per_split, u.n * pixels);
    for (var quad = lane; quad < QUADS_N; quad += LANES) {
        let column = columns_of(group.x, quad);
        let down = column % window / u.s * u.dilation_h;
        let across = column % window % u.s * u.dilation_w;
        offsets[quad] = (first_c + column / window) * map + down * u.w + across;
        // The bias gradient is the column behind the last term: outside of all images, where it is 1.
        downs[quad] = select(vec4u(OUTSIDE), down, column < vec4u(terms));
        acrosses[quad] = across;
        paddings[quad] = select(vec4f(0.0), vec4f(1.0), column == vec4u(terms));
    }
    var rows: array<vec4u, COPIES_A>;
    for (var i = 0u; i < COPIES_A; i++) {
        rows[i] = (first_k + min(rows_of(group.y, along_terms(lane, i).quad), vec4u(u.k - 1u))) * pixels;
    }
    // The pixel of an invocation moves by TILE_K from slab to slab: so many images, rows, and columns.
    let step_image = TILE_K / pixels;
    let step_p = TILE_K % pixels / u.q;
    let step_q = TILE_K % u.q;
    let at = start + lane % TILE_K;
    var image = at / pixels;
    var p = at % pixels / u.q;
    var q = at % u.q;
    var near: Micro;
    var far: Micro;
    var depth = 0u;
    workgroupBarrier();
    for (var base = start; base < end + TILE_K; base += TILE_K) {
        var from_a: array<vec4f, COPIES_A>;
        var from_b: array<vec4f, COPIES_B>;
        var inside: array<vec4<bool>, COPIES_B>;
        if base < end {
            let n = min(image, u.n - 1u);
            let from_dy = n * (u.groups * u.k * pixels) + p * u.q + q;
            let h = p * u.stride_h - u.pad_h;
            let w = q * u.stride_w - u.pad_w;
            let from_x = n * (u.groups * u.c * map) + h * u.w + w;
            for (var i = 0u; i < COPIES_A; i++) {
                let element = from_dy + rows[i];
                from_a[i] = vec4f(dy_in[element.x], dy_in[element.y], dy_in[element.z], dy_in[element.w]);
            }
            for (var i = 0u; i < COPIES_B; i++) {
                let quad = along_terms(lane, i).quad;
                inside[i] = (h + downs[quad] < vec4u(u.h)) & (w + acrosses[quad] < vec4u(u.w));
                let element = select(vec4u(0u), from_x + offsets[quad], inside[i]);
                from_b[i] = vec4f(x[element.x], x[element.y], x[element.z], x[element.w]);
            }
        }
        multiply_slabs(&near, &far, lane, depth);
        workgroupBarrier();
        for (var i = 0u; i < COPIES_A; i++) {
            let place = along_terms(lane, i);
            a_slab[place.term][place.quad] = from_a[i];
        }
        for (var i = 0u; i < COPIES_B; i++) {
            let place = along_terms(lane, i);
            b_slab[place.term][place.quad] = select(paddings[place.quad], from_b[i], inside[i]);
        }
        workgroupBarrier();
        depth = min(TILE_K, end - min(base, end));
        q += step_q;
        let turn_q = q >= u.q;
        q = min(q, q - u.q);
        p += step_p + select(0u, 1u, turn_q);
        let turn_p = p >= u.p;
        p = min(p, p - u.p);
        image += step_image + select(0u, 1u, turn_p);
    }
    let quads = quads_of(lane);
    store_dw(group, quads, quads.near, near);
    if MICRO_N == 8u {
        store_dw(group, quads, quads.far, far);
    }
}

fn store_dw(group: vec3u, quads: Quads, quad: u32, sums: Micro) {
    let columns = columns_of(group.x, quad);
    let split = u.first_split + group.z / u.groups;
    for (var j = 0u; j < 4u; j++) {
        for (var i = 0u; i < 8u; i++) {
            let k = row_of(group.y, quads, i);
            if columns[j] < u.c * u.r * u.s + u.biased && k < u.k {
                partial_dw[partial_at(u, split, group.z % u.groups * u.k + k, columns[j])] = row(sums, i)[j];
            }
        }
    }
}
