//! Meaning of [`crate::ops::SoftmaxCrossEntropy`].

use super::Real;
use super::softmax::Row;
use crate::ops::IGNORE;

pub(crate) fn forward<T: Real>(
    classes: usize,
    logits: &[T],
    labels: &[u32],
    dlogits: &mut [T],
    metrics: &mut [T],
) {
    let one = T::from_f64(1.0);
    let rows = T::from_f64(
        labels
            .iter()
            .filter(|&&label| label != IGNORE)
            .count()
            .max(1) as f64,
    );
    let batch = logits
        .chunks(classes)
        .zip(dlogits.chunks_mut(classes))
        .zip(labels);
    for ((x, dx), &label) in batch {
        if label == IGNORE {
            dx.fill(T::default());
            continue;
        }
        let label = label as usize;
        let row = Row::new(x);
        for (l, (dx, &x)) in dx.iter_mut().zip(x).enumerate() {
            let target = if l == label { one } else { T::default() };
            *dx = (row.log_softmax(x).exp() - target) / rows;
        }
        // The first of equal maxima, as in PyTorch.
        let predicted = (0..classes).fold(0, |best, l| if x[l] > x[best] { l } else { best });
        metrics[0] += -row.log_softmax(x[label]);
        metrics[1] += if predicted == label {
            one
        } else {
            T::default()
        };
        metrics[2] += one;
        for (active, &x) in metrics[3..].iter_mut().zip(x) {
            *active += if x != T::default() { one } else { T::default() };
        }
    }
}
