// A batch of images out of the data set: picked by index, resized, normalised.
//   images[n,c,y,x] = (bilinear(data_images[indices[n], c], y, x) / 255 - mean[c]) / std[c],  labels[n] = data_labels[indices[n]]
// Half-pixel centres, clamped at the borders, no anti-aliasing. An index past the end yields a blank image with label IGNORE.
//   1 data_images read [M,C,h,w] bytes, four to a word   2 data_labels read [M]   3 indices read [N]
//   4 images write [N,C,H,W]                             5 labels write [N]
// One invocation per output pixel. Reference: src/reference/gather.rs

import package::common::index::{WORKGROUP, linear};

struct Uniform {
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
}

const IGNORE: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> data_images: array<u32>;
@group(0) @binding(2) var<storage, read> data_labels: array<u32>;
@group(0) @binding(3) var<storage, read> indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> images: array<f32>;
@group(0) @binding(5) var<storage, read_write> labels: array<u32>;

// Byte `at` of the data set, as 0..1.
fn pixel(at: u32) -> f32 {
    return f32((data_images[at >> 2u] >> (8u * (at & 3u))) & 0xffu) / 255.0;
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    let width = u.w;
    let map = u.h * width;
    let image = u.c * map;
    if i >= u.n * image {
        return;
    }
    let n = i / image;
    let c = i % image / map;
    let index = indices[n];
    let known = index < u.len;
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
    let source = (index * u.c + c) * u.src_h * u.src_w;
    let top = mix(pixel(source + y0 * u.src_w + x0), pixel(source + y0 * u.src_w + x1), fx);
    let bottom = mix(pixel(source + y1 * u.src_w + x0), pixel(source + y1 * u.src_w + x1), fx);
    let mean = vec4f(u.mean0, u.mean1, u.mean2, u.mean3)[c];
    let deviation = vec4f(u.std0, u.std1, u.std2, u.std3)[c];
    images[i] = (mix(top, bottom, sy - f32(y0)) - mean) / deviation;
}
