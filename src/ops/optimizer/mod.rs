//! Optimizers: all parameters in one dispatch, whatever the rule, or one for each slab where they lie in several.

mod adam;
mod kernels;
mod sgd;
mod update;

use serde::{Deserialize, Serialize};

pub use adam::Adam;
pub use sgd::Sgd;
pub use update::{Group, Update};

use crate::graph::shape::ShapeError;

/// The rule by which parameters follow from their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Stochastic gradient descent, with momentum or without.
    Sgd(Sgd),
    /// Adam, or AdamW.
    Adam(Adam),
}

impl Default for Optimizer {
    /// [`Adam::default`].
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl From<Sgd> for Optimizer {
    fn from(sgd: Sgd) -> Self {
        Self::Sgd(sgd)
    }
}

impl From<Adam> for Optimizer {
    fn from(adam: Adam) -> Self {
        Self::Adam(adam)
    }
}

impl Optimizer {
    /// One of each rule: Adam, AdamW, SGD with Nesterov's momentum and plain SGD, these two with weight decay. For tests and the
    /// self-test.
    pub fn every_rule() -> [Self; 4] {
        let sgd = Sgd {
            weight_decay: 0.01,
            ..Sgd::default()
        };
        let nesterov = Sgd {
            momentum: 0.9,
            nesterov: true,
            ..sgd
        };
        [
            Adam::default().into(),
            Adam::adamw().into(),
            nesterov.into(),
            sgd.into(),
        ]
    }

    /// Name in plans: `sgd`, `adam` or `adamw`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Sgd(_) => "sgd",
            Self::Adam(Adam {
                decoupled: true, ..
            }) => "adamw",
            Self::Adam(_) => "adam",
        }
    }

    /// How strongly weights are drawn to zero.
    pub fn weight_decay(&self) -> f32 {
        match self {
            Self::Sgd(sgd) => sgd.weight_decay,
            Self::Adam(adam) => adam.weight_decay,
        }
    }

    /// Moments that it keeps of each parameter.
    pub fn moments(&self) -> usize {
        match self {
            Self::Sgd(sgd) => usize::from(sgd.momentum != 0.0),
            Self::Adam(_) => 2,
        }
    }

    /// The three numbers that change each step; see [`Adam::hyper`] and [`Sgd::hyper`]. `step` counts from 1.
    pub fn hyper(&self, learning_rate: f64, step: u64) -> [f32; 3] {
        match self {
            Self::Sgd(sgd) => sgd.hyper(learning_rate, step),
            Self::Adam(adam) => adam.hyper(learning_rate, step),
        }
    }

    /// [`Optimizer::hyper`], and how the gradient of a part of a batch is taken: 0 for the first part, so that it begins a new
    /// sum, else 1; its weight in the sum, which is its share of the batch's images; 1 for the last part, so that the sum
    /// is used.
    pub fn hyper_of_part(
        &self,
        learning_rate: f64,
        step: u64,
        first: bool,
        weight: f32,
        last: bool,
    ) -> [f32; 6] {
        let [rate, scale, whole] = self.hyper(learning_rate, step);
        let flag = |set: bool| if set { 1.0 } else { 0.0 };
        [rate, scale, whole, flag(!first), weight, flag(last)]
    }

    /// Checks every number's range.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`], which names the number.
    pub fn check(&self) -> Result<(), ShapeError> {
        let op = self.name();
        let refuse = |what: String| Err(ShapeError::Parameter { op, what });
        let fraction = |what, x: f32| match (0.0..1.0).contains(&x) {
            true => Ok(()),
            false => refuse(format!("{what} is {x}, expected 0 or more and less than 1")),
        };
        let decay = self.weight_decay();
        if !(decay.is_finite() && decay >= 0.0) {
            return refuse(format!("weight decay is {decay}, expected 0 or more"));
        }
        match self {
            Self::Sgd(sgd) => {
                fraction("momentum", sgd.momentum)?;
                fraction("dampening", sgd.dampening)?;
                if sgd.nesterov && (sgd.momentum == 0.0 || sgd.dampening != 0.0) {
                    let what = "Nesterov's form needs a momentum above 0 and no dampening";
                    return refuse(what.to_owned());
                }
            }
            Self::Adam(adam) => {
                fraction("beta1", adam.beta1)?;
                fraction("beta2", adam.beta2)?;
                if !(adam.eps.is_finite() && adam.eps > 0.0) {
                    return refuse(format!("eps is {}, expected a number above 0", adam.eps));
                }
            }
        }
        Ok(())
    }
}

/// The decimal that a hyper-parameter was written as: PyTorch keeps 0.999 in double precision, and `1 - beta` loses
/// five digits in single.
pub(crate) fn widen(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| x.into())
}
