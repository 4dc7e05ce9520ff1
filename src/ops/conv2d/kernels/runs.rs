//! Runs of images: a batch is cut where panels or products of all of it would be too large.

use std::ops::Range;

/// Runs at most. Each is three dispatches, so with more a plan is long to make and to launch, and another algorithm serves.
pub(super) const MOST: usize = 4096;
/// Terms of a reduction at most, an even number: Mesa 22.3's software driver ends a loop after 65,535 turns, without a
/// word.
pub(super) const TERMS: usize = 65_534;

/// Cuts a batch into runs of as many images as fit together, as alike as can be, the first one the longest. One image is a run
/// whether it fits or not, and what holds several that fit, fewer fit too.
pub(super) fn runs(
    batch: usize,
    fit: &dyn Fn(usize) -> bool,
) -> impl ExactSizeIterator<Item = Range<usize>> + use<> {
    let images = batch.div_ceil(batch.div_ceil(longest(batch, fit)));
    (0..batch)
        .step_by(images)
        .map(move |first| first..batch.min(first + images))
}

/// The most images that fit. Counts are doubled first, so that none is asked about whose bytes overflow.
fn longest(batch: usize, fit: &dyn Fn(usize) -> bool) -> usize {
    let twice = |images: usize| images.saturating_mul(2).min(batch);
    let mut most = 1;
    while most < batch && fit(twice(most)) {
        most = twice(most);
    }
    let mut too_many = twice(most);
    while too_many - most > 1 {
        let middle = most.midpoint(too_many);
        if fit(middle) {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_as_few_as_can_be_and_cover_the_batch_in_order() {
        for batch in 1..70 {
            for fitting in 0..=batch + 2 {
                let runs: Vec<_> = runs(batch, &|images| images <= fitting).collect();
                assert_eq!(runs.len(), batch.div_ceil(fitting.max(1)));
                let images: Vec<usize> = runs.iter().cloned().flatten().collect();
                assert_eq!(images, (0..batch).collect::<Vec<_>>());
                let longest = runs.iter().map(ExactSizeIterator::len).max();
                assert_eq!(longest, Some(runs[0].len()));
                assert!(runs[0].len() <= fitting.max(1));
            }
        }
    }

    #[test]
    fn the_longest_run_of_a_large_batch_is_found_in_few_questions() {
        let asked = std::cell::Cell::new(0);
        let batch = u32::MAX as usize;
        let fit = |images: usize| {
            asked.set(asked.get() + 1);
            assert!(images <= 2 * 3_000_001, "{images}");
            images <= 3_000_001
        };
        assert_eq!(runs(batch, &fit).len(), batch.div_ceil(3_000_001));
        assert!(asked.get() < 64, "{}", asked.get());
    }
}
