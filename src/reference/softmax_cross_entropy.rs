//! Meaning of [`crate::ops::SoftmaxCrossEntropy`].

use super::Real;
use super::softmax::Row;
use super::sum::{Pairs, sum, sum_of};
use crate::ops::{IGNORE, SoftmaxCrossEntropy};

/// Gradient, metrics and the loss of each row.
pub(crate) fn forward<T: Real>(
    loss: &SoftmaxCrossEntropy,
    classes: usize,
    logits: &[T],
    labels: &[u32],
    [dlogits, metrics, losses]: [&mut [T]; 3],
) {
    let one = T::from_f64(1.0);
    let zero = T::default();
    let [hard, soft] = loss.parts(classes).map(T::from_f64);
    let weights = loss.weights_of(classes);
    let weights: Vec<T> = weights.iter().map(|&w| T::from_f64(w.into())).collect();
    let all_weights: T = sum(&weights);
    let counted = labels.iter().filter(|&&label| label != IGNORE);
    let counted: T = sum_of(counted.map(|&label| weights[label as usize]));
    let rows = if counted == zero { one } else { counted };
    // Of this batch, before they join what is there of those before.
    let [mut total, mut weighed] = [Pairs::new(), Pairs::new()];
    let batch = logits
        .chunks(classes)
        .zip(dlogits.chunks_mut(classes))
        .zip(labels)
        .zip(losses);
    for (((x, dx), &label), loss) in batch {
        if label == IGNORE {
            dx.fill(zero);
            *loss = zero;
            continue;
        }
        let label = label as usize;
        let row = Row::new(x);
        *loss = hard * weights[label] * -row.log_softmax(x[label]);
        for (l, (dx, &x)) in dx.iter_mut().zip(x).enumerate() {
            let target = if l == label { one } else { zero };
            let p = row.log_softmax(x).exp();
            let mut gradient = hard * weights[label] * (p - target);
            // Without smoothing an infinite term must not count, even times 0.
            if soft != zero {
                gradient += soft * (p * all_weights - weights[l]);
            }
            *dx = gradient / rows;
        }
        if soft != zero {
            let terms = x.iter().zip(&weights);
            *loss += sum_of(terms.map(|(&x, &w)| soft * w * -row.log_softmax(x)));
        }
        // The first of equal maxima, as in PyTorch.
        let predicted = (0..classes).fold(0, |best, l| if x[l] > x[best] { l } else { best });
        total.push(*loss);
        weighed.push(weights[label]);
        metrics[1] += if predicted == label { one } else { zero };
        metrics[2] += one;
        for (active, &x) in metrics[3..].iter_mut().zip(x) {
            *active += if x != zero { one } else { zero };
        }
    }
    metrics[0] += total.total();
    metrics[3 + classes] += weighed.total();
}
