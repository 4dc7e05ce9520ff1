// What Winograd's convolution makes of its products c[xi] = a[xi] b[xi] (conv2d_winograd_in.wgsl, conv2d_columns*.wgsl).
//   over_pixels:   y[tile] = At c[.,k,tile] A, then + bias[k] and ReLU (forward), or where mask > 0 (dgrad)
//     1 c read [ALPHA^2,panel,k,tile]   2 other read: bias [K], or mask [N,K,P,Q]   3 y write [N,K,P,Q]
//   over_filters:  partial_dw[k,c,r,s] (+)= (Gt c[.,k,c] G)[r,s]; with a bias its gradient goes behind all filters
//     1 c read [ALPHA^2,panel,k,c]      2 a read, the panels of dy                  3 partial_dw write [K*C*R*R+K]
// For images first_image .. first_image + images; over_filters adds to what earlier images left. An invocation owns a column
// of one row. The first point that is 1 along both axes holds the sum of a tile of dy: its sum over tiles is the bias's
// gradient, for which the last K workgroups of over_filters are.
// Reference: src/reference/conv2d.rs

import package::variant::{ALPHA, M, R, filter_gradient_tile, output_tile};
import package::common::winograd::{Uniform, place, tiles, tile_at};

const LANES: u32 = 64;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> c: array<f32>;
@group(0) @binding(2) var<storage, read> other: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

@group(0) @binding(2) var<storage, read> a: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial_dw: array<f32>;

// Rows of the product, in whole panels.
fn rows() -> u32 {
    return u.row_panels * u.panel_rows;
}

// Called by package::variant: the product at a point.
fn product_at(source: u32, point: u32) -> f32 {
    return c[source + point * u.column_panels * u.panel_columns * rows()];
}

// A tile of an output map.
struct Output {
    map: u32,
    top: u32,
    left: u32,
    bias: f32,
}

fn put_output(to: Output, i: u32, j: u32, product: f32) {
    let p = to.top + i;
    let q = to.left + j;
    if p < u.p && q < u.q {
        let at = to.map + p * u.q + q;
        let z = product + to.bias;
        // Not-a-number fails the comparison and passes through.
        var value = select(z, 0.0, u.relu != 0u && z < 0.0);
        if u.masked != 0u {
            value = select(value, 0.0, other[at] <= 0.0);
        }
        y[at] = value;
    }
}

@compute @workgroup_size(LANES)
fn over_pixels(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let found = place(group.y * groups.x + group.x, lane, LANES, rows(), u.panel_columns);
    if found.line >= u.k || found.column >= tiles(u) {
        return;
    }
    var bias = 0.0;
    if u.biased != 0u {
        bias = other[found.line];
    }
    let tile = tile_at(u, found.column);
    output_tile(found.at, Output((tile.n * u.k + found.line) * u.p * u.q, tile.i * M, tile.j * M, bias));
}

var<workgroup> sums: array<f32, LANES>;

// Called by package::variant, from element 0 of a filter on.
fn put_filter_gradient(to: u32, i: u32, j: u32, value: f32) {
    put_dw(to + i * R + j, value);
}

fn put_dw(at: u32, value: f32) {
    var sum = value;
    if u.first_image != 0u {
        sum += partial_dw[at];
    }
    partial_dw[at] = sum;
}

@compute @workgroup_size(LANES)
fn over_filters(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    // A panel has whole blocks.
    let blocks = u.column_panels * rows() * u.panel_columns / LANES;
    if block < blocks {
        let found = place(block, lane, LANES, rows(), u.panel_columns);
        if found.line < u.k && found.column < u.c {
            filter_gradient_tile(found.at, (found.line * u.c + found.column) * R * R);
        }
    } else {
        let k = block - blocks;
        if k >= u.k {
            return;
        }
        let panel = (ALPHA + 1u) * u.row_panels + k / u.panel_rows;
        var sum = 0.0;
        for (var t = lane; t < u.depth; t += LANES) {
            sum += a[(panel * u.depth + t) * u.panel_rows + k % u.panel_rows];
        }
        sums[lane] = sum;
        workgroupBarrier();
        if lane == 0u {
            for (var i = 1u; i < LANES; i++) {
                sum += sums[i];
            }
            put_dw(u.k * u.c * R * R + k, sum);
        }
    }
}
