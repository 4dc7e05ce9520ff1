//! How a training step moves the parameters, and by what.

use serde::{Deserialize, Serialize};

use crate::graph::{Graph, GraphError, ValueId};
use crate::ops::{Adam, Group, MeanSquaredError, OneHot, Optimizer, Sgd, SoftmaxCrossEntropy};

/// What [`Program::training`](super::Program::training) makes of the logits; an optimizer alone will do.
///
/// Where parameters are named by a prefix, it ends where a part of the name does: `conv.1` is a prefix of `conv.1.weight`, and
/// not of `conv.10.weight`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Training {
    /// How parameters follow from their gradients.
    pub optimizer: Optimizer,
    /// What is made small.
    pub loss: Loss,
    /// Whether biases and the parameters of normalisations decay as filters do. They are the vectors, of one dimension, and
    /// are left out by default, since nothing is gained by drawing them to zero.
    pub decay_all: bool,
    /// Factors of the learning rate for the parameters whose names begin so; of several prefixes the longest counts.
    pub rates: Vec<(String, f32)>,
    /// Prefixes of parameters that stay as they are: no gradient is computed for them, nor kept any moment.
    pub frozen: Vec<String>,
    /// The norm of all gradients that larger ones are scaled down to before anything else is made of them, as by
    /// `torch.nn.utils.clip_grad_norm_`.
    pub clip_norm: Option<f32>,
    /// Whether a step whose gradients are not all finite moves nothing, and training goes on with the next batch: parameters,
    /// moments, running statistics and the average stay as they were, its images count in no loss and no accuracy, and it is told of
    /// as skipped ([`Metrics::skipped`](super::Metrics::skipped)). It is a step all the same: those behind it have their own number, by
    /// which learning rate, dropout and Adam's correction of bias go. What is looked at is the norm of all gradients, so that a step is
    /// skipped too where that overflows, above 1.8e19.
    pub skip_non_finite: bool,
    /// Decay of an exponential moving average of the parameters, 0.999 say, which is kept beside them
    /// ([`Run::averaged`](super::Run::averaged)).
    pub ema: Option<f32>,
}

impl From<Optimizer> for Training {
    fn from(optimizer: Optimizer) -> Self {
        Self {
            optimizer,
            ..Self::default()
        }
    }
}

impl From<Adam> for Training {
    fn from(adam: Adam) -> Self {
        Optimizer::from(adam).into()
    }
}

impl From<Sgd> for Training {
    fn from(sgd: Sgd) -> Self {
        Optimizer::from(sgd).into()
    }
}

/// Whether the parts of `prefix` are the first of `name`.
fn begins(name: &str, prefix: &str) -> bool {
    let rest = name.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || prefix.ends_with('.'))
}

/// Refuses a prefix that no parameter begins with.
fn check_prefix(graph: &Graph, option: &'static str, prefix: &str) -> Result<(), GraphError> {
    let names: Vec<&str> = graph
        .parameters()
        .map(|id| graph.value(id).name.as_str())
        .collect();
    if names.iter().any(|name| begins(name, prefix)) {
        return Ok(());
    }
    let mut layers: Vec<&str> = names
        .iter()
        .map(|name| name.rsplit_once('.').map_or(*name, |(layer, _)| layer))
        .collect();
    layers.dedup();
    Err(GraphError::NoParameter {
        option,
        prefix: prefix.to_owned(),
        layers: layers.join(", "),
    })
}

impl Training {
    /// Checks what needs no network.
    ///
    /// # Errors
    /// [`GraphError::Op`] or [`GraphError::Option`], which name what is outside its range.
    pub fn check(&self) -> Result<(), GraphError> {
        self.optimizer.check()?;
        let refuse = |option, got: f32, want| {
            let got = got.to_string();
            Err(GraphError::Option { option, got, want })
        };
        let positive = |x: f32| x.is_finite() && x > 0.0;
        if let Some(norm) = self.clip_norm.filter(|norm| !positive(*norm)) {
            return refuse(
                "norm that gradients are clipped to",
                norm,
                "a number above 0",
            );
        }
        if let Some(decay) = self.ema.filter(|decay| !(0.0..1.0).contains(decay)) {
            let want = "0 or more and less than 1";
            return refuse("decay of the average", decay, want);
        }
        match self.rates.iter().find(|(_, factor)| !positive(*factor)) {
            Some((_, factor)) => refuse("factor of the learning rate", *factor, "a number above 0"),
            None => Ok(()),
        }
    }

    /// The parameters that stay as they are.
    pub(super) fn frozen(&self, graph: &Graph) -> Result<Vec<ValueId>, GraphError> {
        for prefix in &self.frozen {
            check_prefix(graph, "frozen", prefix)?;
        }
        let is_frozen = |id: &ValueId| {
            let name = &graph.value(*id).name;
            self.frozen.iter().any(|prefix| begins(name, prefix))
        };
        Ok(graph.parameters().filter(is_frozen).collect())
    }

    /// What sets each of these parameters apart.
    pub(super) fn groups(
        &self,
        graph: &Graph,
        parameters: &[ValueId],
    ) -> Result<Vec<Group>, GraphError> {
        for (prefix, _) in &self.rates {
            check_prefix(graph, "factor of the learning rate", prefix)?;
        }
        let group = |&id: &ValueId| {
            let value = graph.value(id);
            let named = self.rates.iter();
            let named = named.filter(|(prefix, _)| begins(&value.name, prefix));
            let rate = named.max_by_key(|(prefix, _)| prefix.len());
            let decays = self.decay_all || value.shape.dims().len() > 1;
            Group {
                rate: rate.map_or(1.0, |(_, factor)| *factor),
                decay: if decays {
                    self.optimizer.weight_decay()
                } else {
                    0.0
                },
            }
        };
        Ok(parameters.iter().map(group).collect())
    }
}

/// What a training makes small. Evaluations always tell the plain cross-entropy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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
    pub(crate) fn class_weights(&self) -> Option<&[f32]> {
        match self {
            Self::CrossEntropy { class_weights, .. } if !class_weights.is_empty() => {
                Some(class_weights)
            }
            _ => None,
        }
    }
}
