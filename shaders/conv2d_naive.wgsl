// 2-D convolution, one invocation per output: the baseline that benches compare with.
//   forward:  y[n,k,p,q]  = (b[k] +) sum_{c,r,s} x[n,c,p*u-pad+r,q*u-pad+s] w[k,c,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,C,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{k,r,s} dy[n,k,(h+pad-r)/u,(w+pad-s)/u] w[k,c,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,C,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,crs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,c,...], then db[z,k] if biased
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K*C*R*S+K]
// Workgroups: x over columns (pixels, or filter terms in wgrad), y over rows (channels), z over splits.
// Reference: src/reference/conv2d.rs

import package::common::conv2d::{Uniform, input_tap, output_tap, partial_at};

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

@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3u) {
    let pixels = u.p * u.q;
    if id.x >= u.n * pixels {
        return;
    }
    let n = id.x / pixels;
    let pixel = id.x % pixels;
    let k = id.y;
    var sum = 0.0;
    if u.biased != 0u {
        sum = b[k];
    }
    for (var c = 0u; c < u.c; c++) {
        for (var r = 0u; r < u.r; r++) {
            for (var s = 0u; s < u.r; s++) {
                let tap = input_tap(u, pixel / u.q, pixel % u.q, r, s);
                if tap.inside {
                    sum += x[(n * u.c + c) * u.h * u.w + tap.at] * w[((k * u.c + c) * u.r + r) * u.r + s];
                }
            }
        }
    }
    y[(n * u.k + k) * pixels + pixel] = select(sum, 0.0, u.relu != 0u && sum < 0.0);
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
    var sum = 0.0;
    for (var k = 0u; k < u.k; k++) {
        for (var r = 0u; r < u.r; r++) {
            for (var s = 0u; s < u.r; s++) {
                let tap = output_tap(u, pixel / u.w, pixel % u.w, r, s);
                if tap.inside {
                    sum += dy[(n * u.k + k) * u.p * u.q + tap.at] * w[((k * u.c + c) * u.r + r) * u.r + s];
                }
            }
        }
    }
    let at = (n * u.c + c) * pixels + pixel;
    if u.masked != 0u && mask[at] <= 0.0 {
        sum = 0.0;
    }
    dx[at] = sum;
}

@compute @workgroup_size(64)
fn wgrad(@builtin(global_invocation_id) id: vec3u) {
    let terms = u.c * u.r * u.r;
    if id.x >= terms + u.biased {
        return;
    }
    let k = id.y;
    let c = id.x / (u.r * u.r);
    let r = id.x / u.r % u.r;
    let s = id.x % u.r;
    let pixels = u.p * u.q;
    let start = id.z * u.pixels_per_split;
    var sum = 0.0;
    for (var i = start; i < min(start + u.pixels_per_split, u.n * pixels); i++) {
        let n = i / pixels;
        let pixel = i % pixels;
        let gradient = dy_in[(n * u.k + k) * pixels + pixel];
        if id.x == terms {
            sum += gradient;
        } else {
            let tap = input_tap(u, pixel / u.q, pixel % u.q, r, s);
            if tap.inside {
                sum += gradient * x[(n * u.c + c) * u.h * u.w + tap.at];
            }
        }
    }
    partial_dw[partial_at(u, id.z, k, id.x)] = sum;
}
