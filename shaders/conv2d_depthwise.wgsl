// Depthwise 2-D convolution: each channel has M filters of its own, k = c*M .. c*M+M. For windows of any kind.
//   forward:  y[n,k,p,q]  = (b[k] +) sum_{r,s} x[n,k/M,p*u-pad+r*d,q*u-pad+s*d] w[k,0,r,s], then ReLU
//     1 x read [N,C,H,W]   2 w read [K,1,R,S]      3 b read [K]              4 y write [N,K,P,Q]
//   dgrad:    dx[n,c,h,w] = sum_{r,s,m} dy[n,c*M+m,(h+pad-r*d)/u,(w+pad-s*d)/u] w[c*M+m,0,r,s], where mask > 0
//     1 dy read [N,K,P,Q]  2 w read [K,1,R,S]      3 mask read [N,C,H,W]     4 dx write [N,C,H,W]
//   wgrad:    partial_dw[z,k,rs] = sum over the z-th part of (n,p,q) of dy[n,k,p,q] x[n,k/M,...], then db[z,k] if biased
//     1 x read [N,C,H,W]   2 dy_in read [N,K,P,Q]  3 partial_dw write [splits,K*R*S+K]
// Nothing is shared between channels, so there is no product of matrices, and loads are what costs. In forward and dgrad an
// invocation owns 4 pixels of one map, a quarter of the map apart so that lanes read neighbours, and loads each weight once
// for them. In wgrad a workgroup owns 4 columns of one filter (its elements, then the bias), its lanes the pixels; their sums
// are added in one order.
// Workgroups: forward and dgrad folded over y (plan/lowering.rs); wgrad x over columns, y over filters, z over splits.
// Reference: src/reference/conv2d.rs

import package::common::index::{WORKGROUP, linear};
import package::common::conv2d::{Uniform, input_tap4, output_tap4, partial_at, tap_offset};

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

const FOUR: vec4u = vec4u(0u, 1u, 2u, 3u);

fn load_x(at: vec4u, inside: vec4<bool>) -> vec4f {
    return select(vec4f(0.0), vec4f(x[at.x], x[at.y], x[at.z], x[at.w]), inside);
}

fn load_dy(at: vec4u, inside: vec4<bool>) -> vec4f {
    return select(vec4f(0.0), vec4f(dy[at.x], dy[at.y], dy[at.z], dy[at.w]), inside);
}

@compute @workgroup_size(WORKGROUP)
fn forward(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let pixels = u.p * u.q;
    let quads = (pixels + 3u) / 4u;
    let i = linear(workgroup, workgroups, local);
    // n*K + k; that of the channel, n*C + k/M, follows since K is C*M.
    let map = i / quads;
    if map >= u.n * u.groups * u.k {
        return;
    }
    let columns = i % quads + quads * FOUR;
    let pixel = min(columns, vec4u(pixels - 1u));
    let p = pixel / u.q;
    let q = pixel % u.q;
    let first = map / u.k * u.h * u.w;
    let k = map % (u.groups * u.k);
    var sum = vec4f(0.0);
    for (var tap = 0u; tap < u.r * u.s; tap++) {
        let offset = tap_offset(u, tap);
        let input = input_tap4(u, p, q, vec4u(offset.x), vec4u(offset.y));
        sum += w[k * u.r * u.s + tap] * load_x(first + input.at, input.inside);
    }
    if u.biased != 0u {
        sum += b[k];
    }
    // Not-a-number fails the comparison and passes through.
    sum = select(sum, vec4f(0.0), vec4<bool>(u.relu != 0u) & (sum < vec4f(0.0)));
    for (var j = 0u; j < 4u; j++) {
        if columns[j] < pixels {
            y[map * pixels + columns[j]] = sum[j];
        }
    }
}

@compute @workgroup_size(WORKGROUP)
fn dgrad(
    @builtin(workgroup_id) workgroup: vec3u,
    @builtin(num_workgroups) workgroups: vec3u,
    @builtin(local_invocation_index) local: u32,
) {
    let pixels = u.h * u.w;
    let quads = (pixels + 3u) / 4u;
    let i = linear(workgroup, workgroups, local);
    let map = i / quads;
    if map >= u.n * u.groups {
        return;
    }
    let columns = i % quads + quads * FOUR;
    let pixel = min(columns, vec4u(pixels - 1u));
    let h = pixel / u.w;
    let w_at = pixel % u.w;
    let window = u.r * u.s;
    let k = map % u.groups * u.k;
    var sum = vec4f(0.0);
    for (var tap = 0u; tap < window; tap++) {
        let output = output_tap4(u, h, w_at, tap_offset(u, tap));
        for (var m = 0u; m < u.k; m++) {
            let values = load_dy((map * u.k + m) * u.p * u.q + output.at, output.inside);
            sum += w[(k + m) * window + tap] * values;
        }
    }
    for (var j = 0u; j < 4u; j++) {
        if columns[j] < pixels {
            let to = map * pixels + columns[j];
            dx[to] = select(sum[j], 0.0, u.masked != 0u && mask[to] <= 0.0);
        }
    }
}

var<workgroup> sums: array<vec4f, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn wgrad(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
    let window = u.r * u.s;
    let columns = 4u * group.x + FOUR;
    let column = min(columns, vec4u(window - 1u));
    let down = column / u.s * u.dilation_h;
    let across = column % u.s * u.dilation_w;
    // The bias gradient is the column whose input is 1.
    let one = columns == vec4u(window);
    let pixels = u.p * u.q;
    let k = group.y;
    let split = u.first_split + group.z;
    let end = min((split + 1u) * u.pixels_per_split, u.n * pixels);
    var sum = vec4f(0.0);
    for (var i = split * u.pixels_per_split + lane; i < end; i += WORKGROUP) {
        let map = i / pixels * u.groups * u.k + k;
        let pixel = i % pixels;
        let input = input_tap4(u, vec4u(pixel / u.q), vec4u(pixel % u.q), down, across);
        let values = load_x(map / u.k * u.h * u.w + input.at, input.inside);
        sum += dy_in[map * pixels + pixel] * select(values, vec4f(1.0), one);
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var step = WORKGROUP / 2u; step > 0u; step /= 2u) {
        if lane < step {
            sums[lane] += sums[lane + step];
        }
        workgroupBarrier();
    }
    if lane == 0u {
        for (var j = 0u; j < 4u; j++) {
            if columns[j] < window + u.biased {
                partial_dw[partial_at(u, split, k, columns[j])] = sums[0][j];
            }
        }
    }
}
