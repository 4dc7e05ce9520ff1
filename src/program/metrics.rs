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
    #[serde(skip)]
    gradient_norm: Option<f64>,
}

impl Metrics {
    /// From the accumulator of [`SoftmaxCrossEntropy`](crate::ops::SoftmaxCrossEntropy).
    pub(super) fn new(sums: &[f32]) -> Self {
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
    pub(super) fn sums(&self) -> Vec<f32> {
        let head = [self.loss, self.correct, self.rows].into_iter();
        let all = head.chain(self.active.iter().copied()).chain([self.weight]);
        all.map(|x| x as f32).collect()
    }

    fn weight(&self) -> f64 {
        if self.weight == 0.0 {
            self.rows
        } else {
            self.weight
        }
    }

    /// Mean loss over the images, each weighted as its class is.
    pub fn loss(&self) -> f64 {
        self.loss / self.weight()
    }

    /// Part of the images whose most probable class was right.
    pub fn accuracy(&self) -> f64 {
        self.correct / self.rows
    }

    /// Images counted.
    pub fn images(&self) -> u64 {
        self.rows as u64
    }

    /// Norm of all gradients of the last step, as it was before they were clipped; `None` where they are not
    /// ([`Training::clip_norm`](super::Training::clip_norm)), since then nothing else wants it.
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
            gradient_norm: None,
        }
    }
}
