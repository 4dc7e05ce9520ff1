// Average pooling and its gradient. A window that ends beyond the padding is cut there; its size is what is left, or only
// what of it lies on the map, if padding is not counted.
//   forward:  y[m,p,q] = sum over the window / its size. One invocation per output.
//     1 x read [M,H,W]     2 y write [M,P,Q]
//   backward: dx[m,h,w] = sum of dy / size over the windows that cover it, where mask > 0 if masked. One invocation per
//   input, so that no two write one address.
//     1 dy read [M,P,Q]    2 mask read [M,H,W]    3 dx write [M,H,W]
// M is batch times channels. Reference: src/reference/avg_pool2d.rs

import package::common::index::{WORKGROUP, linear};
import package::common::pool2d::{Uniform, covering_range};

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> mask: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

// First and past-the-end input position of the window at output `at` of an axis of `size`, and how many count.
fn window_range(at: u32, window: u32, stride: u32, pad: u32, size: u32) -> vec3u {
    let start = at * stride;
    let first = max(start, pad) - pad;
    let end = min(start + window - pad, size);
    let padded = min(start + window, size + 2u * pad) - start;
    return vec3u(first, end, select(end - first, padded, u.count_include_pad != 0u));
}

fn rows_of(p: u32) -> vec3u {
    return window_range(p, u.window_h, u.stride_h, u.pad_h, u.h);
}

fn columns_of(q: u32) -> vec3u {
    return window_range(q, u.window_w, u.stride_w, u.pad_w, u.w);
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
    let rows = rows_of(i / u.q % u.p);
    let columns = columns_of(i % u.q);
    var sum = 0.0;
    for (var h = rows.x; h < rows.y; h++) {
        for (var w = columns.x; w < columns.y; w++) {
            sum += x[map + h * u.w + w];
        }
    }
    y[i] = sum / f32(rows.z * columns.z);
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
    let rows = covering_range(here / u.w, u.window_h, u.stride_h, u.pad_h, u.p);
    let columns = covering_range(here % u.w, u.window_w, u.stride_w, u.pad_w, u.q);
    var sum = 0.0;
    for (var p = rows.x; p < rows.y; p++) {
        let height = rows_of(p).z;
        for (var q = columns.x; q < columns.y; q++) {
            sum += dy[map + p * u.q + q] / f32(height * columns_of(q).z);
        }
    }
    if u.masked != 0u && mask[i] <= 0.0 {
        sum = 0.0;
    }
    dx[i] = sum;
}
