// Softmax cross-entropy, its gradient and the training metrics.
//   losses[n] = hard w[y] nll(y) + soft sum_l w[l] nll(l), where y = labels[n], nll(l) = -log_softmax(logits[n])[l] and w are
//     class_weights;  hard = 1 - smoothing, soft = smoothing / L
//   dlogits[n,l] = (hard w[y] (p[l] - [l == y]) + soft (p[l] sum_j w[j] - w[l])) / sum_n w[labels[n]],
//     where p[l] = exp(log_softmax(logits[n])[l])
//   metrics += [sum of losses, correct rows, rows, per class the rows whose logit is not 0, sum of w[labels[n]]]
//   forward:  1 logits read [N,L]    2 labels read [N]   3 dlogits write [N,L]   4 metrics update [4 + L]
//     5 losses write [N]      6 class_weights read [L]
//   pooled:   logits[n,l] = sum_i x[n,l,i] / pixels before, dx[n,l,i] = dlogits[n,l] / pixels, where x > 0 if masked, after
//     1 logits write [N,L]   2 labels read [N]   3 dlogits write [N,L]   4 metrics update [4 + L]
//     5 losses write [N]     6 class_weights read [L]
//     7 x read [N,L,pixels]   8 dx write [N,L,pixels]
// Rows with label IGNORE count for nothing. One workgroup for the whole batch: invocation i takes rows i, i + LANES, ...
// and the partial sums are added in order of i, so that equal inputs give equal bits.
// Reference: src/reference/softmax_cross_entropy.rs

import package::common::log_softmax::{EMPTY, accumulate, finish, log_softmax, probability};

struct Uniform {
    n: u32,
    classes: u32,
    pixels: u32,
    masked: u32,
    hard: f32,
    soft: f32,
}

const LANES: u32 = 256;
// Turns of an innermost sum: sums of so many are summed themselves, since one running sum of a million would lose digits.
const BLOCK: u32 = 64u;
const IGNORE: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> u: Uniform;
// Only `pooled` writes it.
@group(0) @binding(1) var<storage, read_write> logits: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> dlogits: array<f32>;
@group(0) @binding(4) var<storage, read_write> metrics: array<f32>;

@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
@group(0) @binding(6) var<storage, read> class_weights: array<f32>;

@group(0) @binding(7) var<storage, read> x: array<f32>;
@group(0) @binding(8) var<storage, read_write> dx: array<f32>;

// Loss, correct rows, rows and their weight of each invocation.
var<workgroup> partial: array<vec4f, LANES>;

fn weight_of(label: u32) -> f32 {
    if label == IGNORE {
        return 0.0;
    }
    return class_weights[label];
}

fn cross_entropy(local: u32) {
    var counted = 0.0;
    for (var first = 0u; first < u.n; first += BLOCK) {
        var block = 0.0;
        for (var n = first; n < min(first + BLOCK, u.n); n++) {
            block += weight_of(labels[n]);
        }
        counted += block;
    }
    // Rows without any weight divide by 1.
    let rows = select(counted, 1.0, counted == 0.0);
    var all_weights = 0.0;
    for (var first = 0u; first < u.classes; first += BLOCK) {
        var block = 0.0;
        for (var l = first; l < min(first + BLOCK, u.classes); l++) {
            block += class_weights[l];
        }
        all_weights += block;
    }

    var sums = vec4f(0.0);
    for (var n = local; n < u.n; n += LANES) {
        let row = n * u.classes;
        let label = labels[n];
        let weight = weight_of(label);
        var pair = EMPTY;
        var predicted = 0u;
        for (var l = 0u; l < u.classes; l++) {
            pair = accumulate(pair, logits[row + l]);
            // Strictly greater: ties go to the first.
            predicted = select(predicted, l, logits[row + l] > logits[row + predicted]);
        }
        let whole = finish(pair);
        var loss = 0.0;
        if label != IGNORE {
            loss = u.hard * weight * -log_softmax(whole, logits[row + label]);
        }
        for (var l = 0u; l < u.classes; l++) {
            let p = probability(whole, logits[row + l]);
            var gradient = u.hard * weight * (p - select(0.0, 1.0, l == label));
            // Without smoothing an infinite term must not count, even times 0.
            if u.soft != 0.0 && label != IGNORE {
                gradient += u.soft * (p * all_weights - class_weights[l]);
                loss += u.soft * class_weights[l] * -log_softmax(whole, logits[row + l]);
            }
            dlogits[row + l] = select(gradient / rows, 0.0, label == IGNORE);
        }
        losses[n] = loss;
        if label != IGNORE {
            sums += vec4f(loss, select(0.0, 1.0, predicted == label), 1.0, weight);
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
            alive += select(1u, 0u, labels[n] == IGNORE || logits[n * u.classes + l] == 0.0);
        }
        metrics[3u + l] += f32(alive);
    }
}

// The sum of x[first..end]: of blocks, of blocks of those, and of what is left.
fn sum_of(first: u32, end: u32) -> f32 {
    var sum = 0.0;
    for (var far = first; far < end; far += BLOCK * BLOCK) {
        let far_end = min(far + BLOCK * BLOCK, end);
        var middle = 0.0;
        for (var near = far; near < far_end; near += BLOCK) {
            let near_end = min(near + BLOCK, far_end);
            var block = 0.0;
            for (var at = near; at < near_end; at++) {
                block += x[at];
            }
            middle += block;
        }
        sum += middle;
    }
    return sum;
}

@compute @workgroup_size(LANES)
fn forward(@builtin(local_invocation_index) local: u32) {
    cross_entropy(local);
}

@compute @workgroup_size(LANES)
fn pooled(@builtin(local_invocation_index) local: u32) {
    for (var map = local; map < u.n * u.classes; map += LANES) {
        logits[map] = sum_of(map * u.pixels, (map + 1u) * u.pixels) / f32(u.pixels);
    }
    storageBarrier();
    cross_entropy(local);
    storageBarrier();
    for (var i = local; i < u.n * u.classes * u.pixels; i += LANES) {
        let gradient = dlogits[i / u.pixels] / f32(u.pixels);
        dx[i] = select(gradient, 0.0, u.masked != 0u && x[i] <= 0.0);
    }
}
