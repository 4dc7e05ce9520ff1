//! Optimizers: all parameters in one dispatch, whatever the rule, or one for each slab where they lie in several.

mod adam;
mod sgd;

use serde::{Deserialize, Serialize};

pub use adam::Adam;
pub use sgd::Sgd;

use super::{Definition, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{
    BufferId, Kernel, Lowering, Parts, PlanError, Region, Variant, read, uniforms, update, write,
};
use crate::reference::{Io, Real, optimizer};

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

/// What sets a parameter apart from others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Group {
    /// Factor of the learning rate.
    pub rate: f32,
    /// How strongly it is drawn to zero.
    pub decay: f32,
}

/// One update of every parameter.
///
/// Inputs: `hyper [3]` (see [`Optimizer::hyper`]), then the `n` gradients; updates: the `n` parameters, the `n` first moments,
/// the `n` second moments, as many as the rule keeps ([`Optimizer::moments`]), all in one order.
///
/// A batch that is run part by part has `hyper [6]` (see [`Optimizer::hyper_of_part`]) and `n` more updates, the sums of the
/// gradients so far: parameters and moments move with the last part only.
///
/// Where gradients are clipped, `hyper [6]` comes too, the gradients are those of the whole batch, and behind them comes
/// their norm `[1]` ([`GradientNorm`](super::GradientNorm)).
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// The rule.
    pub optimizer: Optimizer,
    /// Of each parameter its own; empty if the optimizer's numbers hold for all.
    pub groups: Vec<Group>,
    /// The norm that larger gradients are brought down to, by the factor `clip_norm / (norm + 1e-6)`.
    pub clip_norm: Option<f32>,
}

impl From<Optimizer> for Update {
    fn from(optimizer: Optimizer) -> Self {
        Self {
            optimizer,
            groups: Vec::new(),
            clip_norm: None,
        }
    }
}

impl From<Adam> for Update {
    fn from(adam: Adam) -> Self {
        Optimizer::from(adam).into()
    }
}

impl From<Sgd> for Update {
    fn from(sgd: Sgd) -> Self {
        Optimizer::from(sgd).into()
    }
}

/// The decimal that a hyper-parameter was written as: PyTorch keeps 0.999 in double precision, and `1 - beta` loses
/// five digits in single.
pub(crate) fn widen(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| x.into())
}

uniforms! {
    struct OptimizerUniform {
        len: u32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, eps: f32, decoupled: u32, nesterov: u32, max_norm: f32,
    }
}

/// How one element moves, by the name of its function in `shaders/optimizer.wgsl`, and the kernels that move all, in the order
/// of [`Entry`].
struct Rule {
    name: &'static str,
    kernels: &'static [Kernel; 5],
}

/// Where the gradient comes from.
#[derive(Clone, Copy)]
enum Entry {
    Step,
    SumStep,
    StepPart,
    SumPart,
    ClipStep,
}

macro_rules! rule {
    ($rule:ident, $name:literal, $($state:expr),+) => {
        static $rule: Rule = Rule {
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
    fn kernel(&'static self, entry: Entry) -> (&'static Kernel, Variant) {
        let variant = Variant::Optimizer {
            rule: self.name,
            // The uniform struct is binding 0, and the gradient is the last binding of a plain step.
            gradient: self.kernels[0].bindings.len() as u32,
        };
        (&self.kernels[entry as usize], variant)
    }
}

/// The table of layers in `shaders/optimizer.wgsl`: where each layer's gradient and its parts lie, in elements.
fn layers(parts: &[Parts]) -> Vec<u32> {
    let span = |region: Region| [region.offset, region.offset + region.bytes];
    let layer = |parts: &Parts| {
        let [w, w_end] = span(parts.weights);
        let [b, b_end] = parts.bias.map_or([0; 2], span);
        let elements = [w, w_end, b, b_end, parts.partial.offset].map(|bytes| (bytes / 4) as u32);
        elements.into_iter().chain([parts.splits, 0, 0])
    };
    parts.iter().flat_map(layer).collect()
}

impl Update {
    fn group(&self, parameter: usize) -> Group {
        let all = Group {
            rate: 1.0,
            decay: self.optimizer.weight_decay(),
        };
        self.groups.get(parameter).copied().unwrap_or(all)
    }

    /// Parameters of a node with so many operands besides `hyper`, `kinds` of each.
    fn count(&self, operands: usize, kinds: usize) -> usize {
        (operands - usize::from(self.clip_norm.is_some())) / kinds
    }

    fn rule(&self, parameters: usize) -> &'static Rule {
        let plain = Group {
            rate: 1.0,
            decay: 0.0,
        };
        match &self.optimizer {
            Optimizer::Adam(_) if (0..parameters).all(|i| self.group(i) == plain) => &ADAM,
            Optimizer::Adam(_) => &ADAM_GROUPS,
            Optimizer::Sgd(_) if self.optimizer.moments() == 1 => &MOMENTUM_GROUPS,
            Optimizer::Sgd(_) => &SGD_GROUPS,
        }
    }

    /// The table of groups in `shaders/optimizer.wgsl`, of the parameters that lie in one slab.
    fn table(&self, parameters: &[ValueId], slab: BufferId, to: &Lowering<'_>) -> Vec<u32> {
        let pieces = parameters.iter().enumerate().flat_map(|(i, &id)| {
            let pages = to.pages(id).into_iter();
            pages.map(move |page| (page.region, self.group(i)))
        });
        let mut lines: Vec<(Region, Group)> =
            pieces.filter(|(region, _)| region.buffer == slab).collect();
        lines.sort_by_key(|(region, _)| region.offset);
        lines.dedup_by_key(|(_, group)| *group);
        let words = |(region, group): &(Region, Group)| {
            let start = (region.offset / 4) as u32;
            [start, group.rate.to_bits(), group.decay.to_bits(), 0]
        };
        lines.iter().flat_map(words).collect()
    }

    fn uniform(&self, len: usize) -> OptimizerUniform {
        let (adam, sgd) = match self.optimizer {
            Optimizer::Adam(adam) => (adam, Sgd::default()),
            Optimizer::Sgd(sgd) => (Adam::default(), sgd),
        };
        let beta1 = match self.optimizer {
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
            max_norm: self.clip_norm.unwrap_or(0.0),
        }
    }
}

impl Definition for Update {
    fn name(&self) -> &'static str {
        self.optimizer.name()
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = self.name();
        self.optimizer.check()?;
        let hyper = float(operands, 0, op, "hyper")?;
        let clipped = self.clip_norm.is_some();
        let in_parts = hyper.len() == 6;
        let want = if clipped || in_parts { 6 } else { 3 };
        same(op, "hyper", hyper, Shape::new(&[want])?)?;
        let mut kinds = vec!["parameter", "first moment", "second moment"];
        kinds.truncate(1 + self.optimizer.moments());
        if in_parts && !clipped {
            kinds.push("sum");
        }
        let n = self.count(operands.len() - 1, 1 + kinds.len());
        if n == 0 {
            let what = "there is no parameter to update".to_owned();
            return Err(ShapeError::Parameter { op, what });
        }
        if clipped {
            let norm = float(operands, 1 + n, op, "norm")?;
            same(op, "norm", norm, Shape::new(&[1])?)?;
        }
        for i in 0..n {
            let g = float(operands, 1 + i, op, "gradient")?;
            for (part, &what) in (1..).zip(&kinds) {
                let at = 1 + usize::from(clipped) + part * n + i;
                same(op, what, float(operands, at, op, what)?, g)?;
            }
        }
        Ok(vec![])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let n = self.count(node.inputs.len() - 1, 1);
        let rule = self.rule(n);
        let moments = self.optimizer.moments();
        let hyper = to.value(node.inputs[0]);
        let norm = self.clip_norm.map(|_| to.value(node.inputs[1 + n]));
        let sums = node.updates.get((1 + moments) * n).copied();
        let parts = to.take_parts();
        let parts = parts.map(|(parts, all)| (to.constant("layers", layers(&parts)), all));
        let (p, g) = (node.updates[0], node.inputs[1]);
        // What the rule or the batch has no use for is another one once more, and left alone.
        let moment = |i: usize| node.updates.get(i * n).copied().unwrap_or(p);
        let of = [p, moment(1), moment(2), g, sums.unwrap_or(g)];
        for [p, m, v, g, sums_or_g] in to.slabs(of) {
            let mut bindings = vec![hyper];
            bindings.extend(&[p, m, v][..1 + moments]);
            if rule.name != ADAM.name {
                let table = self.table(&node.updates[..n], p.buffer, to);
                bindings.push(to.constant("groups", table));
            }
            let entry = match (norm, parts, sums) {
                (Some(norm), ..) => {
                    bindings.extend([g, norm]);
                    Entry::ClipStep
                }
                (None, None, None) => {
                    bindings.push(g);
                    Entry::Step
                }
                (None, None, Some(_)) => {
                    bindings.extend([g, sums_or_g]);
                    Entry::StepPart
                }
                (None, Some((layers, all)), sums) => {
                    bindings.extend([sums_or_g, layers, all]);
                    sums.map_or(Entry::SumStep, |_| Entry::SumPart)
                }
            };
            let (kernel, variant) = rule.kernel(entry);
            let len = (g.bytes / 4) as usize;
            to.elementwise(kernel, variant, self.uniform(len).words(), &bindings, len)?;
        }
        Ok(())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        let each = match self.optimizer {
            Optimizer::Adam(_) => 12,
            Optimizer::Sgd(_) => 4,
        };
        let n = self.count(node.inputs.len() - 1, 1);
        let gradients = node.inputs[1..=n].iter();
        each * gradients.map(|&id| shape(id).len() as u64).sum::<u64>()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let hyper = io.input(0);
        let n = self.count(io.inputs() - 1, 1);
        let moments = self.optimizer.moments();
        let factor = self
            .clip_norm
            .map(|most| optimizer::clip_factor(io.input(1 + n)[0], most));
        for i in 0..n {
            let mut g = io.input(1 + i);
            let own: Vec<T>;
            if let Some(factor) = factor {
                own = g.iter().map(|&g| factor * g).collect();
                g = &own;
            } else if let Some(&[keep, weight, _]) =
                hyper.get(3..6).and_then(|part| part.first_chunk())
            {
                let sum = io.output((1 + moments) * n + i);
                optimizer::add_part(keep, weight, g, sum);
                own = sum.to_vec();
                g = &own;
            }
            if hyper.get(5) == Some(&T::default()) {
                continue;
            }
            let group = self.group(i);
            match &self.optimizer {
                Optimizer::Adam(adam) => {
                    let state = io.outputs3([i, n + i, 2 * n + i]);
                    optimizer::adam(adam, hyper, group, g, state);
                }
                Optimizer::Sgd(sgd) if moments == 1 => {
                    let (p, m) = io.outputs2(i, n + i);
                    optimizer::sgd(sgd, hyper, group, g, p, Some(m));
                }
                Optimizer::Sgd(sgd) => {
                    optimizer::sgd(sgd, hyper, group, g, io.output(i), None);
                }
            }
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        use Entry::{ClipStep, Step, StepPart, SumPart, SumStep};
        let rules = [&ADAM, &ADAM_GROUPS, &MOMENTUM_GROUPS, &SGD_GROUPS];
        let entries = [Step, SumStep, StepPart, SumPart, ClipStep];
        let all = rules.map(|rule| entries.map(|entry| rule.kernel(entry)));
        all.as_flattened().to_vec()
    }
}
