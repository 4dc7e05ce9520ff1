// Mean squared error, its gradient and the training metrics.
//   losses[n] = sum_f (x[n,f] - target[n,f])^2 / F
//   dx[n,f] = 2 (x[n,f] - target[n,f]) / F * weights[n] / sum_n weights[n]
//   metrics += [sum of weights[n] losses[n], rows whose largest x is where the largest target is, rows,
//     per column the rows whose x is not 0, sum of weights]
//   1 x read [N,F]   2 targets read [N,F]   3 weights read [N]   4 dx write [N,F]   5 losses write [N]   6 metrics update [4 + F]
// Rows of weight 0 count for nothing. One workgroup for the whole batch: invocation i takes rows i, i + LANES, ... and the
// partial sums are added in order of i, so that equal inputs give equal bits.
// Reference: src/reference/mean_squared_error.rs

struct Uniform {
    n: u32,
    features: u32,
}

const LANES: u32 = 256;
// Turns of an innermost sum: sums of so many are summed themselves, since one running sum of a million would lose digits.
const BLOCK: u32 = 64u;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<storage, read_write> metrics: array<f32>;

// Loss, right rows, rows and their weight of each invocation.
var<workgroup> partial: array<vec4f, LANES>;

@compute @workgroup_size(LANES)
fn forward(@builtin(local_invocation_index) local: u32) {
    var counted = 0.0;
    for (var first = 0u; first < u.n; first += BLOCK) {
        var block = 0.0;
        for (var n = first; n < min(first + BLOCK, u.n); n++) {
            block += weights[n];
        }
        counted += block;
    }
    // Rows without any weight divide by 1.
    let rows = select(counted, 1.0, counted == 0.0);

    var sums = vec4f(0.0);
    for (var n = local; n < u.n; n += LANES) {
        let row = n * u.features;
        var loss = 0.0;
        var predicted = 0u;
        var right = 0u;
        var block = 0.0;
        for (var f = 0u; f < u.features; f++) {
            if f % BLOCK == 0u {
                loss += block;
                block = 0.0;
            }
            let off = x[row + f] - targets[row + f];
            block += off * off;
            dx[row + f] = select(2.0 * off / f32(u.features) * weights[n] / rows, 0.0, weights[n] == 0.0);
            // Strictly greater: ties go to the first.
            predicted = select(predicted, f, x[row + f] > x[row + predicted]);
            right = select(right, f, targets[row + f] > targets[row + right]);
        }
        loss = (loss + block) / f32(u.features);
        losses[n] = select(loss, 0.0, weights[n] == 0.0);
        if weights[n] > 0.0 {
            sums += vec4f(weights[n] * loss, select(0.0, 1.0, predicted == right), 1.0, weights[n]);
        }
    }
    partial[local] = sums;
    workgroupBarrier();

    if local == 0u {
        var total = vec4f(0.0);
        for (var first = 0u; first < LANES; first += 16u) {
            var block = vec4f(0.0);
            for (var i = first; i < first + 16u; i++) {
                block += partial[i];
            }
            total += block;
        }
        metrics[0] += total.x;
        metrics[1] += total.y;
        metrics[2] += total.z;
        metrics[3u + u.features] += total.w;
    }
    for (var f = local; f < u.features; f += LANES) {
        var alive = 0u;
        for (var n = 0u; n < u.n; n++) {
            // By `==`, since `!=` is false for what is no number on Vulkan.
            alive += select(1u, 0u, weights[n] == 0.0 || x[n * u.features + f] == 0.0);
        }
        metrics[3u + f] += f32(alive);
    }
}
