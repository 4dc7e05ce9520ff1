// Max pooling and its gradient. Padding counts as minus infinity; ties go to the first, row-major. As in PyTorch, what is no
// number is the largest, and of several the last.
//   forward:  y[m,p,q] = max over the window, argmax = h*W + w of it. One invocation per output.
//     1 x read [M,H,W]     2 y write [M,P,Q]           3 argmax write [M,P,Q]
//   values:   y alone, for windows of at most two strides. One invocation per STRIP_OUT rows of a column: it meets each row of x
//   once, for the one or two windows that it lies in.
//     1 x read [M,H,W]     2 y write [M,P,Q]
//   backward: dx[m,h,w] = sum of dy over the windows whose maximum is here, where mask > 0 if masked. It
//   gathers, so that no two invocations write one address. One invocation per STRIP rows of a column: it walks down them,
//   and divides by the stride once (software devices divide lane by lane).
//     1 dy read [M,P,Q]    2 argmax_in read [M,P,Q]    3 mask read [M,H,W]    4 dx write [M,H,W]
// M is batch times channels. Reference: src/reference/max_pool2d.rs

import package::common::index::{WORKGROUP, linear};
import package::common::number::is_no_number;

struct Uniform {
    maps: u32,
    h: u32,
    w: u32,
    window: u32,
    stride: u32,
    pad: u32,
    p: u32,
    q: u32,
    masked: u32,
}

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> argmax: array<u32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> argmax_in: array<u32>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

// As in src/ops/max_pool2d.rs.
const STRIP: u32 = 8;
const STRIP_OUT: u32 = 4;

// First and past-the-end input position of the window at output `at`, along an axis of `size`.
fn window_range(at: u32, size: u32) -> vec2u {
    let start = at * u.stride;
    return vec2u(max(start, u.pad) - u.pad, min(start + u.window - u.pad, size));
}

// First and past-the-end output whose window covers input position `at`, along an axis of `size` outputs.
fn covering_range(at: u32, size: u32) -> vec2u {
    let reach = at + u.pad;
    let first = select(0u, (reach - u.window) / u.stride + 1u, reach >= u.window);
    return vec2u(first, min(reach / u.stride + 1u, size));
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.maps * u.p * u.q {
        return;
    }
    let map = i / (u.p * u.q) * u.h * u.w;
    let rows = window_range(i / u.q % u.p, u.h);
    let columns = window_range(i % u.q, u.w);
    var best = rows.x * u.w + columns.x;
    var most = x[map + best];
    for (var h = rows.x; h < rows.y; h++) {
        for (var w = columns.x; w < columns.y; w++) {
            let at = h * u.w + w;
            let value = x[map + at];
            if value > most || is_no_number(value) {
                most = value;
                best = at;
            }
        }
    }
    y[i] = most;
    argmax[i] = best;
}

// The greater of two, the first of equals; what is no number is the greatest.
fn greatest(a: f32, b: f32) -> f32 {
    return select(a, b, b > a || is_no_number(b));
}

@compute @workgroup_size(WORKGROUP)
fn values(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    let strips = (u.p + STRIP_OUT - 1u) / STRIP_OUT;
    if i >= u.maps * strips * u.q {
        return;
    }
    let q = i % u.q;
    let first = i / u.q % strips * STRIP_OUT;
    let map = i / u.q / strips;
    let columns = window_range(q, u.w);
    var rows = window_range(first, u.h);
    var to = (map * u.p + first) * u.q + q;
    var line = (map * u.h + rows.x) * u.w;
    var h = rows.x;
    // Of the rows that a window shares with the next one.
    var shared_most = 0.0;
    for (var p = first; p < min(first + STRIP_OUT, u.p); p++) {
        let next = window_range(p + 1u, u.h);
        if h < rows.x {
            line += (rows.x - h) * u.w;
            h = rows.x;
        }
        var most = shared_most;
        for (; h < rows.y; h++) {
            var row = x[line + columns.x];
            for (var w = columns.x + 1u; w < columns.y; w++) {
                row = greatest(row, x[line + w]);
            }
            most = select(greatest(most, row), row, h == rows.x);
            shared_most = select(greatest(shared_most, row), row, h == next.x);
            line += u.w;
        }
        y[to] = most;
        to += u.q;
        rows = next;
    }
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    let strips = (u.h + STRIP - 1u) / STRIP;
    if i >= u.maps * strips * u.w {
        return;
    }
    let w = i % u.w;
    let top = i / u.w % strips * STRIP;
    let map = i / u.w / strips;
    let columns = covering_range(w, u.q);
    // The outputs whose windows cover row h: from the first that ends behind it to the last that has begun.
    var rows = covering_range(top, u.p);
    var here = top * u.w + w;
    var to = map * u.h * u.w + here;
    for (var h = top; h < min(top + STRIP, u.h); h++) {
        let reach = h + u.pad;
        if reach == rows.x * u.stride + u.window {
            rows.x++;
        }
        if reach == rows.y * u.stride && rows.y < u.p {
            rows.y++;
        }
        var sum = 0.0;
        for (var p = rows.x; p < rows.y; p++) {
            for (var q = columns.x; q < columns.y; q++) {
                let at = (map * u.p + p) * u.q + q;
                if argmax_in[at] == here {
                    sum += dy[at];
                }
            }
        }
        if u.masked != 0u && mask[to] <= 0.0 {
            sum = 0.0;
        }
        dx[to] = sum;
        to += u.w;
        here += u.w;
    }
}
