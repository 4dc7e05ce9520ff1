//! Loss and accuracy, from the sums that a device accumulates.

use serde::{Deserialize, Serialize};

/// Loss and accuracy over the images of one or more runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    loss: f64,
    correct: f64,
    rows: f64,
    active: Vec<f64>,
    /// Sum of the weights of the images' classes; runs begun before there were any have none.
    #[serde(default)]
    weight: f64,
    /// Steps that were skipped.
    #[serde(default)]
    skipped: f64,
    #[serde(skip)]
    gradient_norm: Option<f64>,
}

impl Metrics {
    /// From the accumulator of [`SoftmaxCrossEntropy`](crate::ops::SoftmaxCrossEntropy); with `skips` from that of
    /// [`Commit`](crate::ops::Commit), which has one more.
    pub(super) fn new(sums: &[f32], skips: bool) -> Self {
        let (skipped, sums) = match sums.split_last() {
            Some((&skipped, sums)) if skips => (skipped, sums),
            _ => (0.0, sums),
        };
        let at = |i: usize| sums.get(i).map_or(0.0, |&x| f64::from(x));
        let classes = sums.len().saturating_sub(4);
        let active = sums.iter().skip(3).take(classes);
        let active = active.map(|&x| f64::from(x)).collect();
        Self {
            loss: at(0),
            correct: at(1),
            rows: at(2),
            active,
            weight: at(3 + classes),
            skipped: skipped.into(),
            gradient_norm: None,
        }
    }

    /// The same with the norm of the last step's gradients.
    pub(super) fn with_gradient_norm(self, norm: f32) -> Self {
        Self {
            gradient_norm: Some(norm.into()),
            ..self
        }
    }

    /// What [`Metrics::new`] made it of, bit for bit.
    pub(super) fn sums(&self, skips: bool) -> Vec<f32> {
        let head = [self.loss, self.correct, self.rows].into_iter();
        let all = head.chain(self.active.iter().copied()).chain([self.weight]);
        let all = all.chain(skips.then_some(self.skipped));
        all.map(|x| x as f32).collect()
    }

    fn weight(&self) -> f64 {
        if self.weight == 0.0 {
            self.rows
        } else {
            self.weight
        }
    }

    /// Mean loss over the images, each weighted as its class is; no number where no image counts.
    pub fn loss(&self) -> f64 {
        self.loss / self.weight()
    }

    /// Part of the images whose most probable class was right; no number where no image counts.
    pub fn accuracy(&self) -> f64 {
        self.correct / self.rows
    }

    /// Images counted.
    pub fn images(&self) -> u64 {
        self.rows as u64
    }

    /// Steps that moved nothing, since their gradients were not finite, and whose images do not count
    /// ([`Training::skip_non_finite`](super::Training::skip_non_finite)).
    pub fn skipped(&self) -> u64 {
        self.skipped as u64
    }

    /// Takes the steps that were skipped out, and says how many.
    pub(crate) fn forget_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped) as u64
    }

    /// Whether there was no step.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0.0 && self.skipped == 0.0
    }

    /// Norm of all gradients of the last step, as it was before they were clipped; `None` unless they are
    /// ([`Training::clip_norm`](super::Training::clip_norm)) or steps may be skipped
    /// ([`Training::skip_non_finite`](super::Training::skip_non_finite)), since else nothing wants it.
    pub fn gradient_norm(&self) -> Option<f64> {
        self.gradient_norm
    }

    /// Classes whose logit was zero for every image: behind a last ReLU they no longer learn.
    pub fn dead_classes(&self) -> Vec<usize> {
        (0..self.active.len())
            .filter(|&class| self.active[class] == 0.0)
            .collect()
    }

    /// Adds the images of another interval.
    pub fn add(&mut self, other: &Self) {
        self.weight = self.weight() + other.weight();
        self.loss += other.loss;
        self.correct += other.correct;
        self.rows += other.rows;
        self.skipped += other.skipped;
        self.gradient_norm = other.gradient_norm;
        self.active.resize(other.active.len(), 0.0);
        for (to, from) in self.active.iter_mut().zip(&other.active) {
            *to += from;
        }
    }

    /// No images yet.
    pub fn empty() -> Self {
        Self {
            loss: 0.0,
            correct: 0.0,
            rows: 0.0,
            active: Vec::new(),
            weight: 0.0,
            skipped: 0.0,
            gradient_norm: None,
        }
    }
}
