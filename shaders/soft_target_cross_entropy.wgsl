// Softmax cross-entropy against a number for each class, its gradient and the training metrics.
//   losses[n] = sum_l v[l] nll(l), where v[l] = w[l] (hard targets[n,l] + soft), nll(l) = -log_softmax(logits[n])[l], w are
//     class_weights;  hard = 1 - smoothing, soft = smoothing / L
//   dlogits[n,l] = (p[l] sum_j v[j] - v[l]) weights[n] / sum_n weights[n], where p[l] = exp(log_softmax(logits[n])[l])
//   metrics += [sum of weights[n] losses[n], rows whose largest logit is where the largest target is, rows,
//     per class the rows whose logit is not 0, sum of weights]
//   1 logits read [N,L]   2 targets read [N,L]   3 weights read [N]   4 dlogits write [N,L]   5 losses write [N]
//   6 metrics update [4 + L]   7 class_weights read [L]
// Rows of weight 0 count for nothing. One workgroup for the whole batch: invocation i takes rows i, i + LANES, ... and the
// partial sums are added in order of i, so that equal inputs give equal bits.
// Reference: src/reference/soft_target_cross_entropy.rs

import package::common::log_softmax::{EMPTY, accumulate, finish, log_softmax, probability};

struct Uniform {
    n: u32,
    classes: u32,
    hard: f32,
    soft: f32,
}

const LANES: u32 = 256;
// Turns of an innermost sum: sums of so many are summed themselves, since one running sum of a million would lose digits.
const BLOCK: u32 = 64u;

@group(0) @binding(0) var<uniform> u: Uniform;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<f32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<storage, read_write> metrics: array<f32>;
@group(0) @binding(7) var<storage, read> class_weights: array<f32>;

// Loss, right rows, rows and their weight of each invocation.
var<workgroup> partial: array<vec4f, LANES>;

fn weighted(row: u32, l: u32) -> f32 {
    return class_weights[l] * (u.hard * targets[row + l] + u.soft);
}

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
        let row = n * u.classes;
        var pair = EMPTY;
        var all = 0.0;
        var predicted = 0u;
        var right = 0u;
        for (var l = 0u; l < u.classes; l++) {
            pair = accumulate(pair, logits[row + l]);
            all += weighted(row, l);
            // Strictly greater: ties go to the first.
            predicted = select(predicted, l, logits[row + l] > logits[row + predicted]);
            right = select(right, l, targets[row + l] > targets[row + right]);
        }
        let whole = finish(pair);
        var loss = 0.0;
        for (var l = 0u; l < u.classes; l++) {
            let want = weighted(row, l);
            loss += want * -log_softmax(whole, logits[row + l]);
            let gradient = (probability(whole, logits[row + l]) * all - want) * weights[n] / rows;
            dlogits[row + l] = select(gradient, 0.0, weights[n] == 0.0);
        }
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
        metrics[3u + u.classes] += total.w;
    }
    for (var l = local; l < u.classes; l += LANES) {
        var alive = 0u;
        for (var n = 0u; n < u.n; n++) {
            // By `==`, since `!=` is false for what is no number on Vulkan.
            alive += select(1u, 0u, weights[n] == 0.0 || logits[n * u.classes + l] == 0.0);
        }
        metrics[3u + l] += f32(alive);
    }
}
