// log_softmax(x)[l] = (x[l] - max) - ln(sum_j exp(x[j] - max)): the shift keeps every exponential at or below 1, and being
// taken off first it costs no digits, however large the logits. As in PyTorch, one that is plus infinity or no number makes
// the whole row no number, and so does a row of minus infinities; others of minus infinity have the probability 0.

import package::common::number::is_no_number;

// What a row starts from, as (max, sum of exp(x - max)): below any finite x, so that minus infinity adds exp(-inf) = 0.
const EMPTY: vec2f = vec2f(-3.4028234e38, 0.0);

// The running pair after one more x.
fn accumulate(pair: vec2f, x: f32) -> vec2f {
    // Both terms by one formula: of `x - x`, as it would stand in a branch for a new maximum, compilers make 0 even where x
    // is infinite.
    let most = max(pair.x, x);
    return vec2f(most, pair.y * exp(pair.x - most) + exp(x - most));
}

// (max, ln(sum)) of a whole row. The sum is 0 if there are but minus infinities. What exponentials and logarithms make of
// that, of infinity and of no number is not the same on every device, so ln(sum) is then made no number by its bits.
fn finish(pair: vec2f) -> vec2f {
    let is_finite = pair.y > 0.0 && pair.y < 3e38;
    return vec2f(pair.x, bitcast<f32>(select(0x7fc00000u, bitcast<u32>(log(pair.y)), is_finite)));
}

fn log_softmax(row: vec2f, x: f32) -> f32 {
    return x - row.x - row.y;
}

fn probability(row: vec2f, x: f32) -> f32 {
    let logarithm = log_softmax(row, x);
    return select(exp(logarithm), logarithm, is_no_number(logarithm));
}
