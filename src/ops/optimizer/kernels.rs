//! The kernels of optimizers: every rule with every way in which gradients come.

use super::{Adam, Optimizer, Sgd, Update, widen};
use crate::plan::{Kernel, Variant, read, uniforms, update, write};

uniforms! {
    struct OptimizerUniform {
        len: u32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, eps: f32, decoupled: u32, nesterov: u32, max_norm: f32,
    }
}

/// What all kernels are told, of slabs of `len` elements.
pub(super) fn uniform(update: &Update, len: usize) -> Vec<u32> {
    let (adam, sgd) = match update.optimizer {
        Optimizer::Adam(adam) => (adam, Sgd::default()),
        Optimizer::Sgd(sgd) => (Adam::default(), sgd),
    };
    let beta1 = match update.optimizer {
        Optimizer::Adam(adam) => adam.beta1,
        Optimizer::Sgd(sgd) => sgd.momentum,
    };
    OptimizerUniform {
        len: len as u32,
        beta1,
        rest1: (1.0 - widen(beta1)) as f32,
        beta2: adam.beta2,
        rest2: (1.0 - widen(adam.beta2)) as f32,
        eps: adam.eps,
        decoupled: adam.decoupled.into(),
        nesterov: sgd.nesterov.into(),
        max_norm: update.clip_norm.unwrap_or(0.0),
    }
    .words()
}

/// How one element moves, by the name of its function in `shaders/optimizer.wgsl`, and the kernels that move all, in the order
/// of [`Entry`].
pub(super) struct Rule {
    pub(super) name: &'static str,
    kernels: &'static [Kernel; 5],
}

/// Where the gradient comes from.
#[derive(Clone, Copy)]
pub(super) enum Entry {
    Step,
    SumStep,
    StepPart,
    SumPart,
    ClipStep,
}

macro_rules! rule {
    ($rule:ident, $name:literal, $($state:expr),+) => {
        pub(super) static $rule: Rule = Rule {
            name: $name,
            kernels: &[
                rule!("step", $($state),+, read("g")),
                rule!("sum_step", $($state),+, write("g_sum"), read("layers"), read("partial_g")),
                rule!("step_part", $($state),+, read("g"), update("s")),
                rule!("sum_part", $($state),+, update("g_sum"), read("layers"), read("partial_g")),
                rule!("clip_step", $($state),+, read("g"), read("norm")),
            ],
        };
    };
    ($entry:literal, $($binding:expr),+) => {
        Kernel {
            shader: "optimizer",
            entry: $entry,
            bindings: &[read("hyper"), $($binding),+],
            uniform: OptimizerUniform::FIELDS,
        }
    };
}

rule!(ADAM, "adam", update("p"), update("m"), update("v"));
rule!(
    ADAM_GROUPS,
    "adam_groups",
    update("p"),
    update("m"),
    update("v"),
    read("groups")
);
rule!(
    MOMENTUM_GROUPS,
    "momentum_groups",
    update("p"),
    update("m"),
    read("groups")
);
rule!(SGD_GROUPS, "sgd_groups", update("p"), read("groups"));

impl Rule {
    /// One of its kernels.
    pub(super) fn kernel(&'static self, entry: Entry) -> (&'static Kernel, Variant) {
        let variant = Variant::Optimizer {
            rule: self.name,
            // The uniform struct is binding 0, and the gradient is the last binding of a plain step.
            gradient: self.kernels[0].bindings.len() as u32,
        };
        (&self.kernels[entry as usize], variant)
    }
}

/// Every kernel in its variant.
pub(super) fn all() -> Vec<(&'static Kernel, Variant)> {
    use Entry::{ClipStep, Step, StepPart, SumPart, SumStep};
    let rules = [&ADAM, &ADAM_GROUPS, &MOMENTUM_GROUPS, &SGD_GROUPS];
    let entries = [Step, SumStep, StepPart, SumPart, ClipStep];
    let all = rules.map(|rule| entries.map(|entry| rule.kernel(entry)));
    all.as_flattened().to_vec()
}
