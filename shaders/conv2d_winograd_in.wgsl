// The factors of Winograd's convolution: tiles of maps and filters at the points of F(M,R), packed into panels.
//   over_pixels:   a[xi,panel,t,i] = (G w[k] Gt)[xi],      b[xi,panel,t,j] = (Bt x[tile] B)[xi],   terms t: channels
//     1 maps read [N,C,H,W]   2 w read (K x C filters of R x R)   3 a write   4 b write
//     rows i: filters k; columns j: tiles of ALPHA x ALPHA pixels, M apart
//   over_filters:  a[xi,panel,t,i] = (A dy[tile] At)[xi],  b[xi,panel,t,j] = (Bt x[tile] B)[xi],   terms t: tiles
//     1 maps read [N,C,H,W]   2 dy read [N,K,P,Q]                 3 a write   4 b write
//     rows i: maps of dy, in tiles of M x M; columns j: channels of x
// for every point xi of ALPHA x ALPHA. conv2d_columns*.wgsl multiplies the panels of a point, conv2d_winograd_out.wgsl makes
// outputs of the products. Of dgrad the maps are dy, and the filters are transposed and flipped. Only images first_image ..
// first_image + images are packed. The first a_blocks workgroups pack `a`, the others `b`; an invocation owns a row or
// column of one term. Terms past the last one are zeros; past the last row or column the last one is repeated, which nobody
// stores. Matrices are applied by package::variant, which src/plan/transforms.rs writes.
// Reference: src/reference/conv2d.rs

import package::variant::{M, R, filter_tile, gradient_tile, input_tile};
import package::common::winograd::{Uniform, Place, Tile, place, tiles, tile_at};

const LANES: u32 = 64;
// A row that lies in no image.
const NOWHERE: u32 = 0x40000000;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> maps: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> a: array<f32>;
@group(0) @binding(4) var<storage, read_write> b: array<f32>;

// Where the elements of a tile lie: in which map, from which row and column on.
struct Source {
    map: u32,
    top: u32,
    left: u32,
}

// A filter, and whether it is one.
struct Filter {
    at: u32,
    live: bool,
}

// Called by package::variant, as are the next ones: an element of a tile of x.
fn input_at(source: Source, i: u32, j: u32) -> f32 {
    let h = source.top + i;
    let v = source.left + j;
    // Above and on the left of an image, positions wrap round to huge ones.
    let inside = h < u.h && v < u.w;
    return select(0.0, maps[select(0u, source.map + h * u.w + v, inside)], inside);
}

fn gradient_at(source: Source, i: u32, j: u32) -> f32 {
    let p = source.top + i;
    let q = source.left + j;
    let inside = p < u.p && q < u.q;
    return select(0.0, dy[select(0u, source.map + p * u.q + q, inside)], inside);
}

fn filter_at(source: Filter, i: u32, j: u32) -> f32 {
    let tap = i * R + j;
    return select(0.0, w[source.at + select(tap, R * R - 1u - tap, u.flipped != 0u)], source.live);
}

fn put_a(to: u32, point: u32, value: f32) {
    a[to + point * u.row_panels * u.panel_rows * u.depth] = value;
}

fn put_b(to: u32, point: u32, value: f32) {
    b[to + point * u.column_panels * u.panel_columns * u.depth] = value;
}

// The input of a tile of outputs; if not live, nothing.
fn input_of(map: u32, tile: Tile, live: bool) -> Source {
    return Source(map, select(NOWHERE, tile.i * M - u.pad_h, live), tile.j * M - u.pad_w);
}

fn place_a(block: u32, lane: u32) -> Place {
    return place(block, lane, LANES, u.depth, u.panel_rows);
}

fn place_b(block: u32, lane: u32) -> Place {
    return place(block - u.a_blocks, lane, LANES, u.depth, u.panel_columns);
}

// Whether it lies in a panel: not behind the last term, nor in a workgroup too many.
fn lies_in_b(to: Place) -> bool {
    return to.line < u.depth && to.column < u.column_panels * u.panel_columns;
}

@compute @workgroup_size(LANES)
fn over_pixels(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    if block < u.a_blocks {
        let to = place_a(block, lane);
        if to.line < u.depth {
            let live = to.line < u.c;
            let at = min(to.column, u.k - 1u) * u.filter_row + select(0u, to.line, live) * u.filter_term;
            filter_tile(Filter(at, live), to.at);
        }
    } else {
        let to = place_b(block, lane);
        if lies_in_b(to) {
            let tile = tile_at(u, min(to.column, tiles(u) - 1u));
            input_tile(input_of((tile.n * u.c + to.line) * u.h * u.w, tile, to.line < u.c), to.at);
        }
    }
}

@compute @workgroup_size(LANES)
fn over_filters(
    @builtin(workgroup_id) group: vec3u,
    @builtin(num_workgroups) groups: vec3u,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = group.y * groups.x + group.x;
    if block < u.a_blocks {
        let to = place_a(block, lane);
        if to.line < u.depth {
            let tile = tile_at(u, to.line);
            let map = (tile.n * u.k + min(to.column, u.k - 1u)) * u.p * u.q;
            let top = select(NOWHERE, tile.i * M, to.line < tiles(u));
            gradient_tile(Source(map, top, tile.j * M), to.at);
        }
    } else {
        let to = place_b(block, lane);
        if lies_in_b(to) {
            let tile = tile_at(u, to.line);
            let map = (tile.n * u.c + min(to.column, u.c - 1u)) * u.h * u.w;
            input_tile(input_of(map, tile, to.line < tiles(u)), to.at);
        }
    }
}
