//! Weights of classes in the loss.

use crate::data::Dataset;

/// Weights by which every class counts as much as any other, however many pictures it has: `images / (classes * its images)`.
/// A class without pictures gets that of one with one.
pub fn balanced_class_weights(data: &Dataset) -> Vec<f32> {
    balanced(&data.class_counts())
}

fn balanced(counts: &[usize]) -> Vec<f32> {
    let all: usize = counts.iter().sum();
    let weight = |&count: &usize| all as f64 / (counts.len() * count.max(1)) as f64;
    counts.iter().map(|count| weight(count) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::balanced;

    #[test]
    fn balanced_weights_give_every_class_one_sum() {
        assert_eq!(balanced(&[6, 2, 1]), [0.5, 1.5, 3.0]);
        assert_eq!(balanced(&[4, 4]), [1.0, 1.0]);
        assert_eq!(balanced(&[4, 0]), [0.5, 2.0]);
    }
}
