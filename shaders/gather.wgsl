// A batch of images out of the data set: picked by index, resized, normalised.
//   images[n,c,y,x] = (bilinear(data_images[indices[n], c], y, x) / 255 - mean[c]) / std[c],  labels[n] = data_labels[indices[n]]
// Half-pixel centres, clamped at the borders, no anti-aliasing. An index past the end yields a blank image with label IGNORE.
// `augmented` first moves each image by up to `crop` pixels each way, zeros moving in, and mirrors every other one.
// `resized` takes the part boxes[n] of each image instead, scales it with anti-aliasing, and mirrors every other one:
//   sum_pq v(p,y) v(q,x) part[p,q] / sum_pq v(p,y) v(q,x),  v(p,y) = max(1 - |p + 1/2 - (y + 1/2) s| / max(s, 1), 0),  s = height/H
//   1 data_images read [rows,C,h,w] bytes, four to a word   2 data_labels read [M]   3 indices read [N]
//   4 images write [N,C,H,W]                             5 labels write [N]          6 random read [3]: seed, step, first
//   7 boxes read [N,4]: top, left, height, width
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
@group(0) @binding(7) var<storage, read> boxes: array<vec4u>;

// Where a pixel of an augmented image comes from.
struct Crop {
    down: u32,
    right: u32,
    mirrored: bool,
}

const WHOLE: Crop = Crop(0u, 0u, false);

fn words_of(n: u32) -> vec4u {
    return pcg4d(vec4u(random[2] + n, STREAM, random[1], random[0]));
}

fn is_mirrored(words: vec4u) -> bool {
    return u.flip == 1u && (words.z >> 31u) == 1u;
}

fn crop_of(n: u32) -> Crop {
    let words = words_of(n);
    // Below zero wraps round, which the test for `inside` relies on.
    let moved = words.xy % (2u * u.crop + 1u) - u.crop;
    return Crop(moved.x, moved.y, is_mirrored(words));
}

fn byte(at: u32) -> f32 {
    return f32((data_images[at >> 2u] >> (8u * (at & 3u))) & 0xffu);
}

// Pixel (y, x) of the map that begins at byte `map`, as 0..1.
fn pixel(map: u32, y: u32, x: u32, crop: Crop) -> f32 {
    let row = y + crop.down;
    let column = select(x, u.src_w - 1u - x, crop.mirrored) + crop.right;
    let inside = row < u.src_h && column < u.src_w;
    let at = map + select(0u, row * u.src_w + column, inside);
    return select(0.0, byte(at) / 255.0, inside);
}

// The pixels of a line that have a part in one of the scaled line: those in first..end, by their distance from `centre`.
struct Taps {
    first: i32,
    end: i32,
    // In pixels from `near` on, which it lies in.
    centre: f32,
    near: i32,
    stretch: f32,
}

// Of pixel `at` of the `to` that a line of `len` is scaled to. Both are below 2^15, so that whole numbers hold the products, and
// places are as exact at the end of a line as at its beginning.
fn taps_of(at: u32, len: u32, to: u32) -> Taps {
    let place = (2u * at + 1u) * len;
    let near = i32(place / (2u * to));
    let centre = f32(place % (2u * to)) / f32(2u * to);
    let stretch = max(f32(len) / f32(to), 1.0);
    let first = near + i32(floor(centre - 0.5 - stretch)) + 1;
    let end = near + i32(ceil(centre - 0.5 + stretch));
    return Taps(max(first, 0), min(end, i32(len)), centre, near, stretch);
}

fn weight(taps: Taps, at: i32) -> f32 {
    return max(1.0 - abs(f32(at - taps.near) + 0.5 - taps.centre) / taps.stretch, 0.0);
}

// Pixel (y, x) of the part `box` (top, left, height, width) of the map that begins at byte `map`, scaled, as 0..1.
fn part_pixel(map: u32, y: u32, x: u32, box: vec4u) -> f32 {
    let size = vec2u(u.src_h, u.src_w);
    let start = min(box.xy, size - 1u);
    let sides = clamp(box.zw, vec2u(1u), size - start);
    let down = taps_of(y, sides.x, u.h);
    let across = taps_of(x, sides.y, u.w);
    var sum = 0.0;
    var total = 0.0;
    for (var p = down.first; p < down.end; p++) {
        let line = map + (start.x + u32(p)) * u.src_w + start.y;
        var row = 0.0;
        var weights = 0.0;
        for (var q = across.first; q < across.end; q++) {
            let share = weight(across, q);
            row += share * byte(line + u32(q));
            weights += share;
        }
        let share = weight(down, p);
        sum += share * row;
        total += share * weights;
    }
    return sum / (255.0 * total);
}

fn length() -> u32 {
    return u.n * u.c * u.h * u.w;
}

// An element of the batch's images.
struct Element {
    i: u32,
    n: u32,
    c: u32,
    y: u32,
    x: u32,
}

// Three divisions, since software devices divide lane by lane.
fn element(i: u32) -> Element {
    let line = i / u.w;
    let map = line / u.h;
    let n = map / u.c;
    return Element(i, n, map - n * u.c, line - map * u.h, i - line * u.w);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i < length() {
        fetch(element(i), WHOLE);
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
        let to = element(i);
        fetch(to, crop_of(to.n));
    }
}

@compute @workgroup_size(WORKGROUP)
fn resized(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let i = linear(workgroup, workgroups, local);
    if i >= length() {
        return;
    }
    let to = element(i);
    if is_here(to) {
        let mirrored = is_mirrored(words_of(to.n));
        let value = part_pixel(map_of(to), to.y, select(to.x, u.w - 1u - to.x, mirrored), boxes[to.n]);
        images[i] = normalized(to.c, value);
    }
}

// An element of images that are cropped at most.
fn fetch(to: Element, crop: Crop) {
    if !is_here(to) {
        return;
    }
    let source = map_of(to);
    if u.scale_h == 1.0 && u.scale_w == 1.0 {
        images[to.i] = normalized(to.c, pixel(source, to.y, to.x, crop));
        return;
    }
    let sy = max((f32(to.y) + 0.5) * u.scale_h - 0.5, 0.0);
    let sx = max((f32(to.x) + 0.5) * u.scale_w - 0.5, 0.0);
    let y0 = min(u32(sy), u.src_h - 1u);
    let x0 = min(u32(sx), u.src_w - 1u);
    let y1 = min(y0 + 1u, u.src_h - 1u);
    let x1 = min(x0 + 1u, u.src_w - 1u);
    let fx = sx - f32(x0);
    let top = mix(pixel(source, y0, x0, crop), pixel(source, y0, x1, crop), fx);
    let bottom = mix(pixel(source, y1, x0, crop), pixel(source, y1, x1, crop), fx);
    images[to.i] = normalized(to.c, mix(top, bottom, sy - f32(y0)));
}

// Whether this page has the picture of an element; writes the label at the first element of an image, and blanks images of none.
fn is_here(to: Element) -> bool {
    let index = indices[to.n];
    let known = index < u.len;
    // Below `first` it wraps round. What is in no page is the first one's to blank.
    let here = select(u.first == 0u, index - u.first < u.rows, known);
    if here && (to.c | to.y | to.x) == 0u {
        labels[to.n] = select(IGNORE, data_labels[min(index, u.len - 1u)], known);
    }
    if here && !known {
        images[to.i] = 0.0;
    }
    return here && known;
}

// The first byte of the map that an element is made of.
fn map_of(to: Element) -> u32 {
    return ((indices[to.n] - u.first) * u.c + to.c) * u.src_h * u.src_w;
}

fn normalized(c: u32, value: f32) -> f32 {
    let mean = vec4f(u.mean0, u.mean1, u.mean2, u.mean3)[c];
    let deviation = vec4f(u.std0, u.std1, u.std2, u.std3)[c];
    return (value - mean) / deviation;
}
