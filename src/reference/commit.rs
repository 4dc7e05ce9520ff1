//! Meaning of [`crate::ops::Gate`] and [`crate::ops::Commit`].

use super::Real;

/// Whether a step with gradients of this norm counts.
pub(crate) fn counts<T: Real>(norm: T) -> bool {
    norm.to_f64().is_finite()
}

/// `totals += sums` or, of a step that does not count, one more at their end; nothing is left of `sums`.
pub(crate) fn sums<T: Real>(counts: bool, sums: &mut [T], totals: &mut [T]) {
    if let (false, Some(skipped)) = (counts, totals.last_mut()) {
        *skipped += T::from_f64(1.0);
    }
    for (total, sum) in totals.iter_mut().zip(sums) {
        if counts {
            *total += *sum;
        }
        *sum = T::default();
    }
}

/// What counts is kept; what does not, or is not finite, goes back to what was kept.
pub(crate) fn statistics<T: Real>(counts: bool, running: &mut [T], kept: &mut [T]) {
    for (running, kept) in running.iter_mut().zip(kept) {
        match counts && running.to_f64().is_finite() {
            true => *kept = *running,
            false => *running = *kept,
        }
    }
}
