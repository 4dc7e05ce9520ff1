// 2-D convolution as a GEMM over im2col columns that are never stored.
//   forward:  y[n,k,p,q]  = (b[k] +) sum_{r,s,c} x[n,c,p*u-pad+r*d,q*u-pad+s*d] w[k,c,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,C,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{r,s,k} dy[n,k,(h+pad-r*d)/u,(w+pad-s*d)/u] w[k,c,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,C,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   forward_terms: the same for channels too few to fill a slab, with the taps of all of them in one run
// With groups, filters are [K,C/G,R,S], and filter k sees the channels of its group.
// A workgroup owns TILE_M rows (channels) x TILE_N columns (pixels) and walks the reduction in slabs of TILE_K, channels
// inside of a tap: so it looks for a tap's pixels once a tap. What an invocation copies of the next slab lies in registers
// while the one in workgroup memory is multiplied; a driver leaves it there until then because of the branch around all of
// the copies, and since nothing touches them before. Workgroups: x over columns, y over rows of a group of channels, z over groups.
// No copy has a branch of its own: a driver waits at the end of one for what was loaded in it. So what lies outside is read at a
// place inside. Padding is then put to zero; rows and columns past the last are never stored, and terms past the last never
// multiplied.
// Reference: src/reference/conv2d.rs

import package::variant::{TILE_K, MICRO_N};
import package::common::conv2d::{Uniform, input_tap4, output_tap4, tap_offset};
import package::common::gemm::{
    COPIES_A, COPIES_B, LANES, QUADS_M, QUADS_N, Quads, a_slab, along_quads, along_terms, b_slab, columns_of,
    multiply_slabs, quads_of, row_of, rows_of,
};
import package::common::micro::{Micro, row};

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let map = u.h * u.w;
    let window = u.r * u.s;
    let column = min(columns_of(group.x, lane % QUADS_N), vec4u(u.n * pixels - 1u));
    let pixel = column % pixels;
    let image = (column / pixels * u.groups + group.z) * u.c * map;
    var rows: array<vec4u, COPIES_A>;
    for (var i = 0u; i < COPIES_A; i++) {
        let row = min(rows_of(group.y, along_terms(lane, i).quad), vec4u(u.k - 1u));
        rows[i] = group.z * u.k * u.c * window + row * u.c * window;
    }
    var at: vec4u;
    var inside: vec4<bool>;
    var near: Micro;
    var far: Micro;
    var tap = 0u;
    var base = 0u;
    var depth = 0u;
    let slabs = window * ((u.c + TILE_K - 1u) / TILE_K);
    for (var slab = 0u; slab <= slabs; slab++) {
        var from_a: array<vec4f, COPIES_A>;
        var from_b: array<vec4f, COPIES_B>;
        if base == 0u {
            let offset = tap_offset(u, tap);
            let input = input_tap4(u, pixel / u.q, pixel % u.q, vec4u(offset.x), vec4u(offset.y));
            at = image + input.at;
            inside = input.inside;
        }
        if slab < slabs {
            for (var i = 0u; i < COPIES_A; i++) {
                let term = min(base + along_terms(lane, i).term, u.c - 1u);
                let from_w = rows[i] + term * window + tap;
                from_a[i] = vec4f(w[from_w.x], w[from_w.y], w[from_w.z], w[from_w.w]);
            }
            for (var i = 0u; i < COPIES_B; i++) {
                let element = at + min(base + along_quads(lane, i, QUADS_N).term, u.c - 1u) * map;
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
            let place = along_quads(lane, i, QUADS_N);
            b_slab[place.term][place.quad] = select(vec4f(0.0), from_b[i], inside);
        }
        workgroupBarrier();
        depth = min(TILE_K, u.c - base);
        base += TILE_K;
        if base >= u.c {
            base = 0u;
            tap++;
        }
    }
    let quads = quads_of(lane);
    store_y(group, quads, quads.near, near);
    if MICRO_N == 8u {
        store_y(group, quads, quads.far, far);
    }
}

@compute @workgroup_size(LANES)
fn forward_terms(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.p * u.q;
    let map = u.h * u.w;
    let window = u.r * u.s;
    let terms = u.c * window;
    let column = min(columns_of(group.x, lane % QUADS_N), vec4u(u.n * pixels - 1u));
    let pixel = column % pixels;
    let image = (column / pixels * u.groups + group.z) * u.c * map;
    var rows: array<vec4u, COPIES_A>;
    for (var i = 0u; i < COPIES_A; i++) {
        rows[i] = (group.z * u.k + min(rows_of(group.y, along_terms(lane, i).quad), vec4u(u.k - 1u))) * terms;
    }
    var near: Micro;
    var far: Micro;
    var depth = 0u;
    for (var base = 0u; base < terms + TILE_K; base += TILE_K) {
        var from_a: array<vec4f, COPIES_A>;
        var from_b: array<vec4f, COPIES_B>;
        var inside: array<vec4<bool>, COPIES_B>;
        if base < terms {
            for (var i = 0u; i < COPIES_A; i++) {
                let from_w = rows[i] + min(base + along_terms(lane, i).term, terms - 1u);
                from_a[i] = vec4f(w[from_w.x], w[from_w.y], w[from_w.z], w[from_w.w]);
            }
            for (var i = 0u; i < COPIES_B; i++) {
                let term = min(base + along_quads(lane, i, QUADS_N).term, terms - 1u);
                let offset = tap_offset(u, term % window);
                let input = input_tap4(u, pixel / u.q, pixel % u.q, vec4u(offset.x), vec4u(offset.y));
                let element = image + term / window * map + input.at;
                from_b[i] = vec4f(x[element.x], x[element.y], x[element.z], x[element.w]);
                inside[i] = input.inside;
            }
        }
        multiply_slabs(&near, &far, lane, depth);
        workgroupBarrier();
        for (var i = 0u; i < COPIES_A; i++) {
            let place = along_terms(lane, i);
            a_slab[place.term][place.quad] = from_a[i];
        }
        for (var i = 0u; i < COPIES_B; i++) {
            let place = along_quads(lane, i, QUADS_N);
            b_slab[place.term][place.quad] = select(vec4f(0.0), from_b[i], inside[i]);
        }
        workgroupBarrier();
        depth = min(TILE_K, terms - min(base, terms));
    }
    let quads = quads_of(lane);
    store_y(group, quads, quads.near, near);
    if MICRO_N == 8u {
        store_y(group, quads, quads.far, far);
    }
}

fn store_y(group: vec3u, quads: Quads, quad: u32, sums: Micro) {
    let pixels = u.p * u.q;
    let columns = columns_of(group.x, quad);
    var biases: array<f32, 8>;
    if u.biased != 0u {
        for (var i = 0u; i < 8u; i++) {
            biases[i] = b[group.z * u.k + min(row_of(group.y, quads, i), u.k - 1u)];
        }
    }
    for (var j = 0u; j < 4u; j++) {
        let to = (columns[j] / pixels * u.groups + group.z) * u.k * pixels + columns[j] % pixels;
        for (var i = 0u; i < 8u; i++) {
            let k = row_of(group.y, quads, i);
            if columns[j] < u.n * pixels && k < u.k {
                let value = row(sums, i)[j] + biases[i];
                y[to + k * pixels] = select(value, 0.0, u.relu != 0u && value < 0.0);
            }
        }
    }
}

@compute @workgroup_size(LANES)
fn dgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let pixels = u.h * u.w;
    let map = u.p * u.q;
    let window = u.r * u.s;
    let column = min(columns_of(group.x, lane % QUADS_N), vec4u(u.n * pixels - 1u));
    let pixel = column % pixels;
    let image = (column / pixels * u.groups + group.z) * u.k * map;
    var rows: array<vec4u, COPIES_A>;
    for (var i = 0u; i < COPIES_A; i++) {
        let row = min(rows_of(group.y, along_quads(lane, i, QUADS_M).quad), vec4u(u.c - 1u));
        rows[i] = group.z * u.k * u.c * window + row * window;
    }
    var at: vec4u;
    var inside: vec4<bool>;
    var near: Micro;
    var far: Micro;
    var tap = 0u;
    var base = 0u;
    var depth = 0u;
    let slabs = window * ((u.k + TILE_K - 1u) / TILE_K);
    for (var slab = 0u; slab <= slabs; slab++) {
        var from_a: array<vec4f, COPIES_A>;
        var from_b: array<vec4f, COPIES_B>;
        if base == 0u {
            let input = output_tap4(u, pixel / u.w, pixel % u.w, tap_offset(u, tap));
            at = image + input.at;
            inside = input.inside;
        }
        if slab < slabs {
            for (var i = 0u; i < COPIES_A; i++) {
                let term = min(base + along_quads(lane, i, QUADS_M).term, u.k - 1u);
                let from_w = rows[i] + term * u.c * window + tap;
                from_a[i] = vec4f(w[from_w.x], w[from_w.y], w[from_w.z], w[from_w.w]);
            }
            for (var i = 0u; i < COPIES_B; i++) {
                let element = at + min(base + along_quads(lane, i, QUADS_N).term, u.k - 1u) * map;
                from_b[i] = vec4f(dy[element.x], dy[element.y], dy[element.z], dy[element.w]);
            }
        }
        multiply_slabs(&near, &far, lane, depth);
        workgroupBarrier();
        for (var i = 0u; i < COPIES_A; i++) {
            let place = along_quads(lane, i, QUADS_M);
            a_slab[place.term][place.quad] = from_a[i];
        }
        for (var i = 0u; i < COPIES_B; i++) {
            let place = along_quads(lane, i, QUADS_N);
            b_slab[place.term][place.quad] = select(vec4f(0.0), from_b[i], inside);
        }
        workgroupBarrier();
        depth = min(TILE_K, u.k - base);
        base += TILE_K;
        if base >= u.k {
            base = 0u;
            tap++;
        }
    }
    let quads = quads_of(lane);
    store_dx(group, quads, quads.near, near);
    if MICRO_N == 8u {
        store_dx(group, quads, quads.far, far);
    }
}

fn store_dx(group: vec3u, quads: Quads, quad: u32, sums: Micro) {
    let pixels = u.h * u.w;
    let columns = columns_of(group.x, quad);
    for (var j = 0u; j < 4u; j++) {
        let column = min(columns[j], u.n * pixels - 1u);
        let image = (column / pixels * u.groups + group.z) * u.c * pixels + column % pixels;
        // Loaded together: a driver waits for each that is loaded where it is used.
        var masks: array<f32, 8>;
        if u.masked != 0u {
            for (var i = 0u; i < 8u; i++) {
                masks[i] = mask[image + min(row_of(group.y, quads, i), u.c - 1u) * pixels];
            }
        }
        for (var i = 0u; i < 8u; i++) {
            let c = row_of(group.y, quads, i);
            if columns[j] < u.n * pixels && c < u.c {
                dx[image + c * pixels] = select(row(sums, i)[j], 0.0, u.masked != 0u && masks[i] <= 0.0);
            }
        }
    }
}
