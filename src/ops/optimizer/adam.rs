//! Adam and AdamW.

use serde::{Deserialize, Serialize};

use super::widen;

/// Adam (Kingma and Ba, arXiv:1412.6980) in PyTorch's form: `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`,
/// `p -= rate m / (sqrt(v) scale + eps)`, where `rate` and `scale` correct the bias of the first steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
    /// How strongly weights are drawn to zero, as a factor of them.
    pub weight_decay: f32,
    /// Whether weights decay by themselves, `p -= learning rate * weight_decay * p` (AdamW, arXiv:1711.05101), and not as a
    /// part of the gradient, `g + weight_decay * p`.
    pub decoupled: bool,
}

impl Default for Adam {
    /// [`Adam::DEFAULT`].
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Adam {
    /// PyTorch's defaults: 0.9, 0.999, 1e-8, no decay.
    pub const DEFAULT: Self = Self {
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.0,
        decoupled: false,
    };

    /// AdamW at PyTorch's defaults: those of Adam, and a decoupled decay of 0.01.
    pub fn adamw() -> Self {
        Self {
            weight_decay: 0.01,
            decoupled: true,
            ..Self::DEFAULT
        }
    }

    /// The numbers that change each step: learning rate over the first bias correction, one over the square root of the
    /// second, and the learning rate itself. `step` counts from 1.
    pub fn hyper(&self, learning_rate: f64, step: u64) -> [f32; 3] {
        let correction = |beta: f32| 1.0 - widen(beta).powf(step as f64);
        [
            (learning_rate / correction(self.beta1)) as f32,
            (1.0 / correction(self.beta2).sqrt()) as f32,
            learning_rate as f32,
        ]
    }
}
