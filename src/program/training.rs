//! How a training step moves the parameters, and by what.

use crate::graph::{Graph, GraphError, ValueId};
use crate::ops::{Adam, MeanSquaredError, OneHot, SoftmaxCrossEntropy};

/// What [`Program::training`](super::Program::training) makes of the logits; an optimizer alone will do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Training {
    /// How parameters follow from their gradients.
    pub optimizer: Adam,
    /// What is made small.
    pub loss: Loss,
}

impl From<Adam> for Training {
    fn from(optimizer: Adam) -> Self {
        Self {
            optimizer,
            loss: Loss::default(),
        }
    }
}

/// What a training makes small. Evaluations always tell the plain cross-entropy.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Softmax cross-entropy.
    CrossEntropy {
        /// Part of each target that is spread over all classes alike, at least 0 and below 1.
        label_smoothing: f32,
        /// The weight of each class; none if all are 1.
        class_weights: Vec<f32>,
    },
    /// Mean squared error of the logits against 1 for the label and 0 for all other classes.
    MeanSquaredError,
}

impl Default for Loss {
    /// Cross-entropy, plain.
    fn default() -> Self {
        Self::CrossEntropy {
            label_smoothing: 0.0,
            class_weights: Vec::new(),
        }
    }
}

impl Loss {
    /// Appends the loss of `logits [N,L]` to `graph`: the gradient of the logits and the loss of each row.
    pub(super) fn push(
        &self,
        graph: &mut Graph,
        [logits, labels, metrics]: [ValueId; 3],
    ) -> Result<[ValueId; 2], GraphError> {
        let out = match self {
            Self::CrossEntropy {
                label_smoothing,
                class_weights,
            } => {
                let plain = SoftmaxCrossEntropy::default();
                let loss = plain.with_label_smoothing(*label_smoothing)?;
                let loss = loss.with_class_weights(class_weights.clone())?;
                graph.push("loss", loss, &[logits, labels], &[metrics])?
            }
            Self::MeanSquaredError => {
                let classes = graph.shape(logits).dims().last().copied();
                let one_hot = OneHot::new(classes.unwrap_or(1));
                let targets = graph.push("loss", one_hot, &[labels], &[])?;
                let inputs = [logits, targets[0], targets[1]];
                graph.push("loss", MeanSquaredError, &inputs, &[metrics])?
            }
        };
        Ok([out[0], out[1]])
    }

    /// The weight of each class, if they differ.
    pub(super) fn class_weights(&self) -> Option<&[f32]> {
        match self {
            Self::CrossEntropy { class_weights, .. } if !class_weights.is_empty() => {
                Some(class_weights)
            }
            _ => None,
        }
    }
}
