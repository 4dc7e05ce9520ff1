//! The same elements in another shape. The plan gives both values one place, so nothing is dispatched, unless the result
//! has a place of its own: the gradient of a parameter is copied there.

use super::{Definition, Tolerance, concat, float};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant};
use crate::reference::{Io, Real};

/// `y = x` in another shape of as many elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reshape {
    to: Shape,
}

impl Reshape {
    /// Reshapes to `to`.
    pub fn new(to: Shape) -> Self {
        Self { to }
    }
}

impl Definition for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, "reshape", "x")?;
        if x.len() != self.to.len() {
            let want = format!("as many elements as {}", self.to);
            return Err(x.mismatch("reshape", "x", want));
        }
        Ok(vec![(self.to, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let x = node.inputs[0];
        let dx = tape.push1(&node.layer, Self::new(tape.shape(x)), &[dy])?;
        tape.set_gradient(x, dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let places = [node.inputs[0], node.outputs[0]].map(|id| to.value(id));
        if places[0] == places[1] {
            return Ok(());
        }
        concat::copy(to, places, self.to.len())
    }

    fn flops(&self, _: &Node, _: &dyn Fn(ValueId) -> Shape) -> u64 {
        0
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let x = io.input(0);
        io.output(0).copy_from_slice(x);
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    /// None of its own: a copy is [`Concat`](super::Concat)'s kernel.
    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        Vec::new()
    }
}
