//! Meaning of [`crate::ops::MeanSquaredError`].

use super::Real;
use super::sum::{Pairs, sum, sum_of};

/// Gradient, loss of each row, and metrics.
pub(crate) fn forward<T: Real>(
    features: usize,
    [x, targets, weights]: [&[T]; 3],
    [dx, losses, metrics]: [&mut [T]; 3],
) {
    let (zero, one, two) = (T::default(), T::from_f64(1.0), T::from_f64(2.0));
    let each = T::from_f64(features as f64);
    let counted: T = sum(weights);
    let rows = if counted == zero { one } else { counted };
    let largest =
        |row: &[T]| (0..features).fold(0, |best, f| if row[f] > row[best] { f } else { best });
    // Of this batch, before they join what is there of those before.
    let [mut total, mut weighed] = [Pairs::new(), Pairs::new()];
    for (n, &weight) in weights.iter().enumerate() {
        let row = n * features..(n + 1) * features;
        let (x, targets, dx) = (&x[row.clone()], &targets[row.clone()], &mut dx[row]);
        losses[n] = zero;
        dx.fill(zero);
        if weight == zero {
            continue;
        }
        for ((dx, &x), &target) in dx.iter_mut().zip(x).zip(targets) {
            let off = x - target;
            *dx = two * off / each * weight / rows;
        }
        let squares = x.iter().zip(targets).map(|(&x, &target)| {
            let off = x - target;
            off * off / each
        });
        losses[n] = sum_of(squares);
        total.push(weight * losses[n]);
        weighed.push(weight);
        metrics[1] += if largest(x) == largest(targets) {
            one
        } else {
            zero
        };
        metrics[2] += one;
        for (active, &x) in metrics[3..].iter_mut().zip(x) {
            *active += if x != zero { one } else { zero };
        }
    }
    metrics[0] += total.total();
    metrics[3 + features] += weighed.total();
}
