// 2-D convolution, one invocation per output: the baseline that benches compare with.
//   forward:  y[n,k,p,q]  = (b[k] +) sum_{c,r,s} x[n,c,p*u-pad+r*d,q*u-pad+s*d] w[k,c,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,C,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{k,r,s} dy[n,k,(h+pad-r*d)/u,(w+pad-s*d)/u] w[k,c,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,C,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,crs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,c,...], then db[z,k] if biased
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K*C*R*S+K]
// With groups, filters are [K,C/G,R,S], and filter k sees the channels of its group.
// Workgroups: x over columns (pixels, or filter terms in wgrad), y over rows (channels of a group), z over groups, in wgrad of each
// split.
// Reference: src/reference/conv2d.rs

import package::common::conv2d::{Uniform, input_tap, output_tap, partial_at, tap_offset};

@group(0) @binding(0) var<uniform> u: Uniform;

@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> w: array<f32>;
@group(0) @binding(3) var<storage, read> b: array<f32>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read> mask: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;

@group(0) @binding(2) var<storage, read> dy_in: array<f32>;
@group(0) @binding(3) var<storage, read_write> partial_dw: array<f32>;

// The first map of a group of an image, in a tensor of so many maps a group.
fn first_map(image: u32, group: u32, maps: u32) -> u32 {
    return (image * u.groups + group) * maps;
}

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    let pixels = u.p * u.q;
    if id.x >= u.n * pixels {
        return;
    }
    let n = id.x / pixels;
    let pixel = id.x % pixels;
    let x_map = first_map(n, id.z, u.c);
    let k = first_map(0u, id.z, u.k) + id.y;
    var sum = 0.0;
    if u.biased != 0u {
        sum = b[k];
    }
    for (var c = 0u; c < u.c; c++) {
        for (var i = 0u; i < u.r * u.s; i++) {
            let tap = input_tap(u, pixel / u.q, pixel % u.q, tap_offset(u, i));
            if tap.inside {
                sum += x[(x_map + c) * u.h * u.w + tap.at] * w[(k * u.c + c) * u.r * u.s + i];
            }
        }
    }
    y[(first_map(n, id.z, u.k) + id.y) * pixels + pixel] = select(sum, 0.0, u.relu != 0u && sum < 0.0);
}

@compute @workgroup_size(64)
fn dgrad(@builtin(global_invocation_id) id: vec3u) {
    let pixels = u.h * u.w;
    if id.x >= u.n * pixels {
        return;
    }
    let n = id.x / pixels;
    let pixel = id.x % pixels;
    let c = id.y;
    let dy_map = first_map(n, id.z, u.k);
    let first = first_map(0u, id.z, u.k);
    var sum = 0.0;
    for (var k = 0u; k < u.k; k++) {
        for (var i = 0u; i < u.r * u.s; i++) {
            let tap = output_tap(u, pixel / u.w, pixel % u.w, tap_offset(u, i));
            if tap.inside {
                sum += dy[(dy_map + k) * u.p * u.q + tap.at] * w[((first + k) * u.c + c) * u.r * u.s + i];
            }
        }
    }
    let at = (first_map(n, id.z, u.c) + c) * pixels + pixel;
    if u.masked != 0u && mask[at] <= 0.0 {
        sum = 0.0;
    }
    dx[at] = sum;
}

@compute @workgroup_size(64)
fn wgrad(@builtin(global_invocation_id) id: vec3u) {
    let window = u.r * u.s;
    let terms = u.c * window;
    if id.x >= terms + u.biased {
        return;
    }
    let k = id.y;
    let group = id.z % u.groups;
    let split = u.first_split + id.z / u.groups;
    let c = id.x / window;
    let offset = tap_offset(u, id.x % window);
    let pixels = u.p * u.q;
    let start = split * u.pixels_per_split;
    var sum = 0.0;
    for (var i = start; i < min(start + u.pixels_per_split, u.n * pixels); i++) {
        let n = i / pixels;
        let pixel = i % pixels;
        let gradient = dy_in[(first_map(n, group, u.k) + k) * pixels + pixel];
        if id.x == terms {
            sum += gradient;
        } else {
            let tap = input_tap(u, pixel / u.q, pixel % u.q, offset);
            if tap.inside {
                sum += gradient * x[(first_map(n, group, u.c) + c) * u.h * u.w + tap.at];
            }
        }
    }
    partial_dw[partial_at(u, split, group * u.k + k, id.x)] = sum;
}
