//! The op that moves every parameter.

use super::kernels::{self, ADAM, ADAM_GROUPS, Entry, MOMENTUM_GROUPS, Rule, SGD_GROUPS};
use super::{Adam, Optimizer, Sgd};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::ops::{Definition, Tolerance, float, same};
use crate::plan::{BufferId, Kernel, Lowering, Parts, PlanError, Region, Variant};
use crate::reference::{Io, Real, optimizer};

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
/// their norm `[1]` ([`GradientNorm`](crate::ops::GradientNorm)).
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
        let want = 1 + usize::from(clipped) + n * (1 + kinds.len());
        if operands.len() != want {
            return Err(ShapeError::Count {
                op,
                what: "operands",
                got: operands.len(),
                want: format!("a gradient, {} for each parameter", kinds.join(", ")),
            });
        }
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
        for [p, m, v, g, sums_or_g] in to.slabs(of)? {
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
            to.elementwise(kernel, variant, kernels::uniform(self, len), &bindings, len)?;
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
        kernels::all()
    }
}
