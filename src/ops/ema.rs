//! Exponential moving average of the parameters.

use super::{Definition, Tolerance, float, same, widen};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, update};
use crate::reference::{Io, Real, ema};

/// Exponential moving average of every parameter: `e += weight (p - e)`.
///
/// Inputs: `weight [1]` (see [`Ema::weight`]), then the `n` parameters; updates: the `n` averages.
///
/// Source: Polyak and Juditsky, <https://doi.org/10.1137/0330046>; in the form of PyTorch's `AveragedModel`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ema;

impl Ema {
    /// What a step's parameters weigh in the average: all at the first step, which `step` counts from 1, and `1 - decay` after.
    pub fn weight(decay: f32, step: u64) -> f32 {
        if step == 1 {
            1.0
        } else {
            (1.0 - widen(decay)) as f32
        }
    }
}

const OP: &str = "ema";

uniforms! {
    struct EmaUniform { len: u32 }
}

static UPDATE: Kernel = Kernel {
    shader: "ema",
    entry: "update",
    bindings: &[read("weight"), read("p"), update("e")],
    uniform: EmaUniform::FIELDS,
};

impl Definition for Ema {
    fn name(&self) -> &'static str {
        OP
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let weight = float(operands, 0, OP, "weight")?;
        same(OP, "weight", weight, Shape::new(&[1])?)?;
        let n = (operands.len() - 1) / 2;
        if n == 0 {
            let what = "there is no parameter to average".to_owned();
            return Err(ShapeError::Parameter { op: OP, what });
        }
        for i in 1..=n {
            let parameter = float(operands, i, OP, "parameter")?;
            same(
                OP,
                "average",
                float(operands, i + n, OP, "average")?,
                parameter,
            )?;
        }
        Ok(vec![])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(OP))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let weight = to.value(node.inputs[0]);
        for [p, e] in to.slabs([node.inputs[1], node.updates[0]])? {
            let len = (e.bytes / 4) as usize;
            let uniform = EmaUniform { len: len as u32 };
            to.elementwise(
                &UPDATE,
                Variant::Plain,
                uniform.words(),
                &[weight, p, e],
                len,
            )?;
        }
        Ok(())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        let averages = node.updates.iter();
        3 * averages.map(|&id| shape(id).len() as u64).sum::<u64>()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let weight = io.input(0)[0];
        for i in 1..io.inputs() {
            ema::update(weight, io.input(i), io.output(i - 1));
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-6)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&UPDATE, Variant::Plain)]
    }
}
