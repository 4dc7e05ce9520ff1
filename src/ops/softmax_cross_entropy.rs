//! Loss, its gradient and the training metrics, in one kernel; with global average pooling around it, if that is fused.

use super::{Definition, Tolerance, float, operand, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, global_avg_pool, softmax_cross_entropy};

/// Label of a row that counts for nothing: the filling of a last, smaller batch.
pub const IGNORE: u32 = u32::MAX;

/// Softmax cross-entropy, mean over the batch, by log-softmax.
///
/// Inputs `logits [N,L]`, `labels [N]` -> `dlogits [N,L] = (softmax(logits) - onehot(labels)) / rows`, where `rows`
/// counts the labels that are not [`IGNORE`]. Updates `metrics [3 + L]`: sum of losses, correct (top-1) rows, rows,
/// and for each class the rows whose logit was not zero. A class that stays at zero is dead behind a last ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SoftmaxCrossEntropy;

/// A [`SoftmaxCrossEntropy`] between a [`GlobalAvgPool`](super::GlobalAvgPool) and its gradient: the head of a network
/// while it trains.
///
/// Inputs `x [N,L,H,W]`, `labels [N]` -> `logits [N,L]`, `dx [N,L,H,W]`, which is zero where `x` is not above zero if
/// masked. Updates `metrics [3 + L]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PooledCrossEntropy {
    masked: bool,
}

impl PooledCrossEntropy {
    /// The same with the mask `x > 0` over `dx`.
    pub fn with_mask(self) -> Self {
        Self { masked: true }
    }
}

impl SoftmaxCrossEntropy {
    /// Elements of `metrics` for `classes` classes.
    pub fn metrics_len(classes: usize) -> usize {
        3 + classes
    }
}

uniforms! {
    struct LossUniform { n: u32, classes: u32, pixels: u32, masked: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "softmax_cross_entropy",
    entry: "forward",
    bindings: &[
        update("logits"),
        read("labels"),
        write("dlogits"),
        update("metrics"),
    ],
    uniform: LossUniform::FIELDS,
};

static POOLED: Kernel = Kernel {
    shader: "softmax_cross_entropy",
    entry: "pooled",
    bindings: &[
        write("logits"),
        read("labels"),
        write("dlogits"),
        update("metrics"),
        read("x"),
        write("dx"),
    ],
    uniform: LossUniform::FIELDS,
};

/// Checks the labels of `n` rows and the metrics of `classes` classes.
fn check_operands(
    op: &'static str,
    [labels, metrics]: [&Signature; 2],
    [n, classes]: [usize; 2],
) -> Result<(), ShapeError> {
    let operands = [*labels, *metrics];
    let labels = operand(&operands, 0, op, "labels", DType::U32)?;
    same(op, "labels", labels, Shape::new(&[n])?)?;
    let want = Shape::new(&[SoftmaxCrossEntropy::metrics_len(classes)])?;
    same(op, "metrics", float(&operands, 1, op, "metrics")?, want)
}

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
        check_operands(op, [&operands[1], &operands[2]], [n, classes])?;
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
            pixels: 1,
            masked: 0,
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

impl Definition for PooledCrossEntropy {
    fn name(&self) -> &'static str {
        "pooled_cross_entropy"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = "pooled_cross_entropy";
        let x = float(operands, 0, op, "x")?;
        let [n, classes, ..] = x.nchw(op, "x")?;
        check_operands(op, [&operands[1], &operands[2]], [n, classes])?;
        let logits = Shape::new(&[n, classes])?;
        Ok(vec![(logits, DType::F32), (x, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let logits = to.shape(node.outputs[0]);
        let pixels = to.shape(node.inputs[0]).len() / logits.len();
        let uniform = LossUniform {
            n: logits.dims()[0] as u32,
            classes: logits.dims()[1] as u32,
            pixels: pixels as u32,
            masked: u32::from(self.masked),
        };
        let dlogits = to.scratch("dlogits", logits.len());
        let [x, labels] = [0, 1].map(|i| to.value(node.inputs[i]));
        let [logits, dx] = [0, 1].map(|i| to.value(node.outputs[i]));
        let bindings = [logits, labels, dlogits, to.value(node.updates[0]), x, dx];
        // One workgroup, as above.
        to.dispatch(
            &POOLED,
            Variant::Plain,
            uniform.words(),
            &bindings,
            [1, 1, 1],
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        2 * shape(node.inputs[0]).len() as u64 + 6 * shape(node.outputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let classes = io.shape(0).dims()[1];
        let (x, labels) = (io.input(0), io.input_u32(1));
        let mut dlogits = vec![T::default(); labels.len() * classes];
        global_avg_pool::forward(x, io.output(0));
        let (logits, metrics) = io.outputs2(0, 2);
        softmax_cross_entropy::forward(classes, logits, labels, &mut dlogits, metrics);
        global_avg_pool::backward(&dlogits, self.masked.then_some(x), io.output(1));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&POOLED, Variant::Plain)]
    }
}
