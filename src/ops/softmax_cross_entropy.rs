//! Loss, its gradient and the training metrics, in one kernel.

use super::{Definition, Tolerance, float, operand, same};
use crate::autodiff::Tape;
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, softmax_cross_entropy};
use crate::shape::{DType, Shape, ShapeError};

/// Label of a row that counts for nothing: the filling of a last, smaller batch.
pub const IGNORE: u32 = u32::MAX;

/// Softmax cross-entropy, mean over the batch, by log-sum-exp.
///
/// Inputs `logits [N,L]`, `labels [N]` -> `dlogits [N,L] = (softmax(logits) - onehot(labels)) / rows`, where `rows`
/// counts the labels that are not [`IGNORE`]. Updates `metrics [3 + L]`: sum of losses, correct (top-1) rows, rows,
/// and for each class the rows whose logit was not zero. A class that stays at zero is dead behind a last ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxCrossEntropy;

impl SoftmaxCrossEntropy {
    /// Elements of `metrics` for `classes` classes.
    pub fn metrics_len(classes: usize) -> usize {
        3 + classes
    }
}

uniforms! {
    struct LossUniform { n: u32, classes: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "softmax_cross_entropy",
    entry: "forward",
    bindings: &[
        read("logits"),
        read("labels"),
        write("dlogits"),
        update("metrics"),
    ],
    uniform: LossUniform::FIELDS,
};

impl Definition for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        "softmax_cross_entropy"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = "softmax_cross_entropy";
        let logits = float(operands, 0, op, "logits")?;
        let &[n, classes] = logits.dims() else {
            return Err(logits.mismatch(op, "logits", "two dimensions [N,L]"));
        };
        same(
            op,
            "labels",
            operand(operands, 1, op, "labels", DType::U32)?,
            Shape::new(&[n])?,
        )?;
        let metrics = Shape::new(&[Self::metrics_len(classes)])?;
        same(op, "metrics", float(operands, 2, op, "metrics")?, metrics)?;
        Ok(vec![(logits, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let shape = to.shape(node.inputs[0]);
        let uniform = LossUniform {
            n: shape.dims()[0] as u32,
            classes: shape.dims()[1] as u32,
        };
        let bindings = [
            node.inputs[0],
            node.inputs[1],
            node.outputs[0],
            node.updates[0],
        ]
        .map(|id| to.value(id));
        // One workgroup: the sums over the batch then have one order.
        to.dispatch(
            &FORWARD,
            Variant::Plain,
            uniform.words(),
            &bindings,
            [1, 1, 1],
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        6 * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let classes = io.shape(0).dims()[1];
        let (logits, labels) = (io.input(0), io.input_u32(1));
        let (dlogits, metrics) = io.outputs2(0, 1);
        softmax_cross_entropy::forward(classes, logits, labels, dlogits, metrics);
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}
