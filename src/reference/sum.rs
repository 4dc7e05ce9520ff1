//! Sums of many terms that lose no digits: in blocks, and the sums of blocks in pairs.
//!
//! A single running sum of a million terms is off by their count; one of pairs by the logarithm of it. The order follows from the
//! number of terms alone. Convolutions have sums of their own.

use super::Real;

/// Terms of a block that are added side by side, so that a compiler makes vectors of them.
const LANES: usize = 16;
/// Terms of a block.
pub(super) const BLOCK: usize = 16 * LANES;

/// Sums of blocks, added in pairs: level `i` holds that of `2^i` blocks, if bit `i` of the count is set.
pub(super) struct Pairs<T> {
    levels: [T; usize::BITS as usize],
    count: usize,
}

impl<T: Real> Pairs<T> {
    pub(super) fn new() -> Self {
        Self {
            levels: [T::default(); usize::BITS as usize],
            count: 0,
        }
    }

    /// Adds one more.
    pub(super) fn push(&mut self, mut sum: T) {
        let mut level = 0;
        while self.count >> level & 1 == 1 {
            sum = self.levels[level] + sum;
            level += 1;
        }
        self.levels[level] = sum;
        self.count += 1;
    }

    /// The sum of all.
    pub(super) fn total(&self) -> T {
        let levels = self.levels.iter().enumerate();
        let held = levels.filter(|(level, _)| self.count >> level & 1 == 1);
        held.fold(T::default(), |total, (_, &sum)| total + sum)
    }
}

/// The sum of a slice.
pub(super) fn sum<T: Real>(terms: &[T]) -> T {
    let block = |block: &[T]| {
        let mut lanes = [T::default(); LANES];
        let (whole, rest) = block.as_chunks::<LANES>();
        for terms in whole {
            for i in 0..LANES {
                lanes[i] += terms[i];
            }
        }
        lanes.iter().chain(rest).copied().sum::<T>()
    };
    if terms.len() <= BLOCK {
        return block(terms);
    }
    let mut pairs = Pairs::new();
    terms
        .chunks(BLOCK)
        .for_each(|terms| pairs.push(block(terms)));
    pairs.total()
}

/// The sum of what an iterator yields.
pub(super) fn sum_of<T: Real>(mut terms: impl Iterator<Item = T>) -> T {
    const FEW: usize = 32;
    let mut pairs = Pairs::new();
    while let Some(first) = terms.next() {
        pairs.push(
            terms
                .by_ref()
                .take(FEW - 1)
                .fold(first, |sum, term| sum + term),
        );
    }
    pairs.total()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_a_million_equal_terms_keep_their_digits() {
        for len in [0, 1, 15, 255, 256, 257, 1025, 224 * 224, 1 << 20, 3_000_001] {
            let terms = vec![0.1f32; len];
            let want = f64::from(0.1f32) * len as f64;
            for got in [sum(&terms), sum_of(terms.iter().copied())] {
                let off = (f64::from(got) - want).abs();
                assert!(off <= 2e-6 * want, "{len}: {got}, expected {want}");
            }
        }
    }

    #[test]
    fn what_is_no_number_or_infinite_stays_in_a_sum() {
        for at in [0, 300, 999] {
            let mut terms = vec![1f32; 1000];
            terms[at] = f32::INFINITY;
            assert_eq!(sum(&terms), f32::INFINITY);
            terms[500] = f32::NEG_INFINITY;
            assert!(sum(&terms).is_nan() && sum_of(terms.into_iter()).is_nan());
        }
    }
}
