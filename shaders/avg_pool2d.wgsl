// Average pooling and its gradient. A window that ends beyond the padding is cut there; its size is what is left, or only
// what of it lies on the map, if padding is not counted, or the uniform's divisor, unless that is 0.
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

// First and past-the-end input position of the window that begins at `start` of the padded axis, and how many count: of an
// axis of `size` with `pad` before it, `padded` in all.
fn window_range(start: u32, window: u32, dilation: u32, pad: u32, size: u32, padded: u32) -> vec3u {
    let behind = start + (window - 1u) * dilation + 1u;
    let end = min(behind, pad + size);
    // Elements up to a place, rounded up: before the map, to its end, to that of the padding.
    let ends = (vec3u(max(start, pad), end, min(behind, padded)) - start + dilation - 1u) / dilation;
    let counted = select(ends.y - ends.x, ends.z, u.count_include_pad != 0u);
    return vec3u(start + ends.x * dilation - pad, end - pad, counted);
}

fn rows_of(p: u32) -> vec3u {
    return window_range(p * u.stride_h, u.window_h, u.dilation_h, u.pad_h, u.h, u.padded_h);
}

fn columns_of(q: u32) -> vec3u {
    return window_range(q * u.stride_w, u.window_w, u.dilation_w, u.pad_w, u.w, u.padded_w);
}

// By what the sum over so many rows and columns is divided.
fn divisor(height: u32, width: u32) -> f32 {
    return select(u.divisor, f32(height * width), u.divisor == 0.0);
}

// Turns of an innermost sum: sums of so many are summed themselves, since one running sum of a million would lose digits.
const BLOCK: u32 = 64u;

// The sum of a window's columns of the row that begins at `row`.
fn row_sum(row: u32, columns: vec3u) -> f32 {
    var sum = 0.0;
    for (var far = columns.x; far < columns.y; far += BLOCK * u.dilation_w) {
        var block = 0.0;
        for (var w = far; w < min(far + BLOCK * u.dilation_w, columns.y); w += u.dilation_w) {
            block += x[row + w];
        }
        sum += block;
    }
    return sum;
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
    for (var far = rows.x; far < rows.y; far += BLOCK * u.dilation_h) {
        var block = 0.0;
        for (var h = far; h < min(far + BLOCK * u.dilation_h, rows.y); h += u.dilation_h) {
            block += row_sum(map + h * u.w, columns);
        }
        sum += block;
    }
    y[i] = sum / divisor(rows.z, columns.z);
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
    let at = vec2u(here / u.w + u.pad_h, here % u.w + u.pad_w);
    let rows = covering_range(here / u.w, extent.x, u.stride_h, u.pad_h, u.p);
    let columns = covering_range(here % u.w, extent.y, u.stride_w, u.pad_w, u.q);
    var sum = 0.0;
    for (var p = rows.x; p < rows.y; p++) {
        // A gap of the window lies here.
        if (at.x - p * u.stride_h) % u.dilation_h != 0u {
            continue;
        }
        let height = rows_of(p).z;
        for (var q = columns.x; q < columns.y; q++) {
            if (at.y - q * u.stride_w) % u.dilation_w == 0u {
                sum += dy[map + p * u.q + q] / divisor(height, columns_of(q).z);
            }
        }
    }
    if u.masked != 0u && mask[i] <= 0.0 {
        sum = 0.0;
    }
    dx[i] = sum;
}
