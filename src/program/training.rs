//! How a training step moves the parameters.

use crate::ops::Adam;

/// What [`Program::training`](super::Program::training) makes of the logits; an optimizer alone will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Training {
    /// How parameters follow from their gradients.
    pub optimizer: Adam,
}

impl From<Adam> for Training {
    fn from(optimizer: Adam) -> Self {
        Self { optimizer }
    }
}
