// ln(sum exp(x)) = max + ln(sum exp(x - max)): the shift keeps every exponential at or below 1.

// The running pair (max, sum of exp(x - max)) after one more x. Starts from (first x, 0).
fn accumulate(pair: vec2f, x: f32) -> vec2f {
    if x > pair.x {
        return vec2f(x, pair.y * exp(pair.x - x) + 1.0);
    }
    return vec2f(pair.x, pair.y + exp(x - pair.x));
}

fn finish(pair: vec2f) -> f32 {
    return pair.x + log(pair.y);
}
