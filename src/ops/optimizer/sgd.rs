//! Stochastic gradient descent.

use serde::{Deserialize, Serialize};

use super::widen;

/// Stochastic gradient descent in PyTorch's form: `g += weight_decay p`, `m = momentum m + (1 - dampening) g`, at the first
/// step `m = g`, and `p -= rate m`; with Nesterov's momentum `p -= rate (g + momentum m)`. Without momentum there is no `m`, and
/// `p -= rate g`.
///
/// Source: Sutskever and others, <https://proceedings.mlr.press/v28/sutskever13.html>.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sgd {
    /// Part of the last direction that a step keeps; 0 for none.
    pub momentum: f32,
    /// Part of the gradient that does not go into the direction.
    pub dampening: f32,
    /// How strongly weights are drawn to zero, as a factor of them.
    pub weight_decay: f32,
    /// Whether a step looks ahead along the direction.
    pub nesterov: bool,
}

impl Default for Sgd {
    /// [`Sgd::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Sgd {
    /// PyTorch's defaults: neither momentum nor decay.
    pub const DEFAULT: Self = Self {
        momentum: 0.0,
        dampening: 0.0,
        weight_decay: 0.0,
        nesterov: false,
    };

    /// The numbers that change each step: the learning rate, the part of the gradient that goes into the direction, and the
    /// learning rate again. `step` counts from 1.
    pub fn hyper(&self, learning_rate: f64, step: u64) -> [f32; 3] {
        let part = if step == 1 {
            1.0
        } else {
            (1.0 - widen(self.dampening)) as f32
        };
        let rate = learning_rate as f32;
        [rate, part, rate]
    }
}
