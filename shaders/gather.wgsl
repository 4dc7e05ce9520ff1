// A batch of images out of the data set: picked by index, resized, normalised.
//   images[n,c,y,x] = (bilinear(data_images[indices[n], c], y, x) / 255 - mean[c]) / std[c],  labels[n] = data_labels[indices[n]]
// Half-pixel centres, clamped at the borders, no anti-aliasing. An index past the end yields a blank image with label IGNORE.
// `augmented` first moves each image by up to `crop` pixels each way, zeros moving in, and mirrors every other one.
//   1 data_images read [rows,C,h,w] bytes, four to a word   2 data_labels read [M]   3 indices read [N]
//   4 images write [N,C,H,W]                             5 labels write [N]          6 random read [3]: seed, step, first
// The M images lie in one buffer, or in several that are dispatched one after the other: `rows` of them from `first` on are here.
// One invocation per output pixel. Reference: src/reference/gather.rs

import package::common::index::{WORKGROUP, linear};
import package::common::rng::pcg4d;

struct Uniform {
    first: u32,
    rows: u32,
    len: u32,
    c: u32,
    src_h: u32,
    src_w: u32,
    n: u32,
    h: u32,
    w: u32,
    scale_h: f32,
    scale_w: f32,
    mean0: f32,
    mean1: f32,
    mean2: f32,
    mean3: f32,
    std0: f32,
    std1: f32,
    std2: f32,
    std3: f32,
    crop: u32,
    flip: u32,
}

const IGNORE: u32 = 0xffffffffu;
// Of the random words; dropout's layers have others.
const STREAM: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> data_images: array<u32>;
@group(0) @binding(2) var<storage, read> data_labels: array<u32>;
@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> images: array<f32>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;
@group(0) @binding(6) var<storage, read> random: array<u32>;

// Where a pixel of an augmented image comes from.
struct Crop {
    down: u32,
    right: u32,
    mirrored: bool,
}

const WHOLE: Crop = Crop(0u, 0u, false);

fn crop_of(n: u32) -> Crop {
    let word = pcg4d(vec4u(random[2] + n, STREAM, random[1], random[0]));
    // Below zero wraps round, which the test for `inside` relies on.
    let moved = word.xy % (2u * u.crop + 1u) - u.crop;
    return Crop(moved.x, moved.y, u.flip == 1u && (word.z >> 31u) == 1u);
}

// Pixel (y, x) of the map that begins at byte `map`, as 0..1.
fn pixel(map: u32, y: u32, x: u32, crop: Crop) -> f32 {
    let row = y + crop.down;
    let column = select(x, u.src_w - 1u - x, crop.mirrored) + crop.right;
    let inside = row < u.src_h && column < u.src_w;
    let at = map + select(0u, row * u.src_w + column, inside);
    return select(0.0, f32((data_images[at >> 2u] >> (8u * (at & 3u))) & 0xffu) / 255.0, inside);
}

fn length() -> u32 {
    return u.n * u.c * u.h * u.w;
}

fn image_of(i: u32) -> u32 {
    return i / (u.c * u.h * u.w);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < length() {
        fetch(i, WHOLE);
    }
}

@compute @workgroup_size(WORKGROUP)
fn augmented(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < length() {
        fetch(i, crop_of(image_of(i)));
    }
}

// Element i of the batch's images, and at the first of an image its label.
fn fetch(i: u32, crop: Crop) {
    let width = u.w;
    let map = u.h * width;
    let image = u.c * map;
    let n = image_of(i);
    let c = i % image / map;
    let index = indices[n];
    let known = index < u.len;
    // Below `first` it wraps round. What is in no page is the first one's to blank.
    let here = select(u.first == 0u, index - u.first < u.rows, known);
    if !here {
        return;
    }
    if i % image == 0u {
        labels[n] = select(IGNORE, data_labels[min(index, u.len - 1u)], known);
    }
    if !known {
        images[i] = 0.0;
        return;
    }
    let sy = max((f32(i % map / width) + 0.5) * u.scale_h - 0.5, 0.0);
    let sx = max((f32(i % width) + 0.5) * u.scale_w - 0.5, 0.0);
    let y0 = min(u32(sy), u.src_h - 1u);
    let x0 = min(u32(sx), u.src_w - 1u);
    let y1 = min(y0 + 1u, u.src_h - 1u);
    let x1 = min(x0 + 1u, u.src_w - 1u);
    let fx = sx - f32(x0);
    let source = ((index - u.first) * u.c + c) * u.src_h * u.src_w;
    let top = mix(pixel(source, y0, x0, crop), pixel(source, y0, x1, crop), fx);
    let bottom = mix(pixel(source, y1, x0, crop), pixel(source, y1, x1, crop), fx);
    let mean = vec4f(u.mean0, u.mean1, u.mean2, u.mean3)[c];
    let deviation = vec4f(u.std0, u.std1, u.std2, u.std3)[c];
    images[i] = (mix(top, bottom, sy - f32(y0)) - mean) / deviation;
}
