//! Meaning of [`crate::ops::SoftTargetCrossEntropy`].

use super::Real;
use super::softmax::Row;
use super::sum::{Pairs, sum, sum_of};
use crate::ops::SoftmaxCrossEntropy;

/// Gradient, loss of each row, and metrics.
pub(crate) fn forward<T: Real>(
    loss: &SoftmaxCrossEntropy,
    classes: usize,
    [logits, targets, weights]: [&[T]; 3],
    [dlogits, losses, metrics]: [&mut [T]; 3],
) {
    let (zero, one) = (T::default(), T::from_f64(1.0));
    let [hard, soft] = loss.parts(classes).map(T::from_f64);
    let class_weights = loss.weights_of(classes);
    let counted: T = sum(weights);
    let rows = if counted == zero { one } else { counted };
    // The first of equal maxima, as in PyTorch.
    let largest =
        |row: &[T]| (0..classes).fold(0, |best, l| if row[l] > row[best] { l } else { best });
    // Of this batch, before they join what is there of those before.
    let [mut total, mut weighed] = [Pairs::new(), Pairs::new()];
    for (n, &weight) in weights.iter().enumerate() {
        let row = n * classes..(n + 1) * classes;
        let (x, dx) = (&logits[row.clone()], &mut dlogits[row.clone()]);
        losses[n] = zero;
        dx.fill(zero);
        if weight == zero {
            continue;
        }
        let targets = &targets[row];
        let weighted = |l: usize| T::from_f64(class_weights[l].into()) * (hard * targets[l] + soft);
        let all: T = sum_of((0..classes).map(weighted));
        let softmax = Row::new(x);
        losses[n] = sum_of((0..classes).map(|l| weighted(l) * -softmax.log_softmax(x[l])));
        for (l, (dx, &x)) in dx.iter_mut().zip(x).enumerate() {
            let logarithm = softmax.log_softmax(x);
            *dx = (logarithm.exp() * all - weighted(l)) * weight / rows;
        }
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
    metrics[3 + classes] += weighed.total();
}
