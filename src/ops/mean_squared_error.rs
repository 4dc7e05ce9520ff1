//! Mean squared error, its gradient and the training metrics, in one kernel.

use super::{Definition, SoftmaxCrossEntropy, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, mean_squared_error};

/// Mean squared error over all elements, each row of which counts with a weight, at least 0.
///
/// Inputs `x [N,F]`, `targets [N,F]`, `weights [N]` -> `dx [N,F] = 2 (x - targets) / F * weights / sum(weights)` and
/// `losses [N]`, the mean squared error of each row, 0 where it has no weight.
///
/// Updates `metrics [4 + F]` as [`SoftmaxCrossEntropy`] does: sum of the weighted losses, rows whose largest `x` is where the
/// largest target is, rows, for each column the rows whose `x` is not zero, sum of the weights; rows without weight count
/// for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeanSquaredError;

uniforms! {
    struct ErrorUniform { n: u32, features: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "mean_squared_error",
    entry: "forward",
    bindings: &[
        read("x"),
        read("targets"),
        read("weights"),
        write("dx"),
        write("losses"),
        update("metrics"),
    ],
    uniform: ErrorUniform::FIELDS,
};

impl Definition for MeanSquaredError {
    fn name(&self) -> &'static str {
        "mean_squared_error"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = "mean_squared_error";
        let x = float(operands, 0, op, "x")?;
        let &[n, features] = x.dims() else {
            return Err(x.mismatch(op, "x", "two dimensions [N,F]"));
        };
        let rows = Shape::new(&[n])?;
        same(op, "targets", float(operands, 1, op, "targets")?, x)?;
        same(op, "weights", float(operands, 2, op, "weights")?, rows)?;
        let metrics = Shape::new(&[SoftmaxCrossEntropy::metrics_len(features)])?;
        same(op, "metrics", float(operands, 3, op, "metrics")?, metrics)?;
        Ok(vec![(x, DType::F32), (rows, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let shape = to.shape(node.inputs[0]);
        let [n, features] = [0, 1].map(|i| shape.dims()[i] as u32);
        let uniform = ErrorUniform { n, features };
        let operands = node.operands();
        let bindings: Vec<_> = operands.map(|id| to.value(id)).collect();
        // One workgroup: the sums over the batch then have one order.
        let words = uniform.words();
        to.dispatch(&FORWARD, Variant::Plain, words, &bindings, [1, 1, 1])
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        6 * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let features = io.shape(0).dims()[1];
        let inputs = [0, 1, 2].map(|i| io.input(i));
        mean_squared_error::forward(features, inputs, io.outputs3([0, 1, 2]));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}
