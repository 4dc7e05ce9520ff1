// Max pooling and its gradient by windows that need not be square and may be dilated; max_pool2d.wgsl has the square ones,
// and what becomes of padding, ties and what is no number.
//   forward:  y[m,p,q] = max over the window, argmax = h*W + w of it. One invocation per output.
//     1 x read [M,H,W]     2 y write [M,P,Q]           3 argmax write [M,P,Q]
//   backward: dx[m,h,w] = sum of dy over the windows whose maximum is here, where mask > 0 if masked. One invocation per
//   input, so that no two write one address.
//     1 dy read [M,P,Q]    2 argmax_in read [M,P,Q]    3 mask read [M,H,W]    4 dx write [M,H,W]
// M is batch times channels. Reference: src/reference/max_pool2d.rs

import package::common::index::{WORKGROUP, linear};
import package::common::number::is_no_number;
import package::common::pool2d::{Uniform, covering_range};

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read_write> argmax: array<u32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> argmax_in: array<u32>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

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
    // Before the first row or column it wraps round to huge, so one comparison tests both ends.
    let top = i / u.q % u.p * u.stride_h - u.pad_h;
    let left = i % u.q * u.stride_w - u.pad_w;
    var best = 0u;
    var most = 0.0;
    var is_first = true;
    for (var r = 0u; r < u.window_h; r++) {
        let h = top + r * u.dilation_h;
        for (var s = 0u; s < u.window_w; s++) {
            let w = left + s * u.dilation_w;
            if h >= u.h || w >= u.w {
                continue;
            }
            let at = h * u.w + w;
            let value = x[map + at];
            if is_first || value > most || is_no_number(value) {
                most = value;
                best = at;
                is_first = false;
            }
        }
    }
    y[i] = most;
    argmax[i] = best;
}

@compute @workgroup_size(WORKGROUP)
fn backward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= u.maps * u.h * u.w {
        return;
    }
    let here = i % (u.h * u.w);
    let map = i / (u.h * u.w) * u.p * u.q;
    let extent = vec2u((u.window_h - 1u) * u.dilation_h, (u.window_w - 1u) * u.dilation_w) + 1u;
    let rows = covering_range(here / u.w, extent.x, u.stride_h, u.pad_h, u.p);
    let columns = covering_range(here % u.w, extent.y, u.stride_w, u.pad_w, u.q);
    var sum = 0.0;
    for (var p = rows.x; p < rows.y; p++) {
        for (var q = columns.x; q < columns.y; q++) {
            let at = map + p * u.q + q;
            if argmax_in[at] == here {
                sum += dy[at];
            }
        }
    }
    if u.masked != 0u && mask[i] <= 0.0 {
        sum = 0.0;
    }
    dx[i] = sum;
}
