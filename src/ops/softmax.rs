//! Softmax over classes, for inference.

use super::{Definition, Tolerance, float};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, softmax};

/// `y[n,l] = exp(x[n,l]) / sum_j exp(x[n,j])`: `[N,L]` -> `[N,L]`, shifted by the row's maximum. Plus infinity or
/// not-a-number makes its row not-a-number, and so do minus infinities alone. Or its logarithm, which keeps its digits where
/// the probability has none left.
///
/// Training uses [`SoftmaxCrossEntropy`](super::SoftmaxCrossEntropy), which has the gradient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Softmax {
    log: bool,
}

impl Softmax {
    /// The logarithm of it.
    #[must_use]
    pub fn log(self) -> Self {
        Self { log: true }
    }
}

uniforms! {
    struct SoftmaxUniform { n: u32, classes: u32, log: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "softmax",
    entry: "forward",
    bindings: &[read("x"), write("y")],
    uniform: SoftmaxUniform::FIELDS,
};

impl Definition for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, "softmax", "x")?;
        if x.dims().len() != 2 {
            return Err(x.mismatch("softmax", "x", "two dimensions [N,L]"));
        }
        Ok(vec![(x, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let shape = to.shape(node.inputs[0]);
        let uniform = SoftmaxUniform {
            n: shape.dims()[0] as u32,
            classes: shape.dims()[1] as u32,
            log: u32::from(self.log),
        };
        let bindings = [to.value(node.inputs[0]), to.value(node.outputs[0])];
        to.elementwise(
            &FORWARD,
            Variant::Plain,
            uniform.words(),
            &bindings,
            shape.dims()[0],
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        4 * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        softmax::forward(io.shape(0).dims()[1], self.log, io.input(0), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}
