//! `max(x, 0)` and its gradient. Usually fused into the op before it.

use super::{Definition, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, relu};

/// `y = max(x, 0)`, any shape. Not-a-number passes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relu;

/// `dx = 0` where `y <= 0`, else `dy`; inputs `dy`, `y`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReluBackward;

uniforms! {
    struct ReluUniform { len: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "relu",
    entry: "forward",
    bindings: &[read("x"), write("y")],
    uniform: ReluUniform::FIELDS,
};

static BACKWARD: Kernel = Kernel {
    shader: "relu",
    entry: "backward",
    bindings: &[read("dy"), read("activation"), write("dx")],
    uniform: ReluUniform::FIELDS,
};

impl Definition for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        Ok(vec![(float(operands, 0, "relu", "x")?, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let dx = tape.push1(&node.layer, ReluBackward, &[dy, node.outputs[0]])?;
        tape.set_gradient(node.inputs[0], dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let len = to.shape(node.inputs[0]).len();
        let bindings = [to.value(node.inputs[0]), to.value(node.outputs[0])];
        to.elementwise(
            &FORWARD,
            Variant::Plain,
            ReluUniform { len: len as u32 }.words(),
            &bindings,
            len,
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        relu::forward(io.input(0), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}

impl Definition for ReluBackward {
    fn name(&self) -> &'static str {
        "relu.backward"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let dy = float(operands, 0, "relu.backward", "dy")?;
        same(
            "relu.backward",
            "y",
            float(operands, 1, "relu.backward", "y")?,
            dy,
        )?;
        Ok(vec![(dy, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let len = to.shape(node.inputs[0]).len();
        let bindings = [
            to.value(node.inputs[0]),
            to.value(node.inputs[1]),
            to.value(node.outputs[0]),
        ];
        to.elementwise(
            &BACKWARD,
            Variant::Plain,
            ReluUniform { len: len as u32 }.words(),
            &bindings,
            len,
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        relu::backward(io.input(0), io.input(1), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&BACKWARD, Variant::Plain)]
    }
}
