// Gradients of a batch that is run part by part.

// The sum so far, with the gradient of one more part; nothing is kept of the batch before.
fn with_part(before: f32, gradient: f32, keep: f32, weight: f32) -> f32 {
    return select(0.0, before, keep != 0.0) + weight * gradient;
}
