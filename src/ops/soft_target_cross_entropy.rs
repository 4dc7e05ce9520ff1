//! Cross-entropy against probabilities of classes, its gradient and the training metrics, in one kernel.

use super::{Definition, SoftmaxCrossEntropy, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, soft_target_cross_entropy};

/// Softmax cross-entropy of targets that are a number for each class, as PyTorch's `cross_entropy` takes them in place of
/// labels: mixed pictures (Zhang et al., arXiv:1710.09412) or the probabilities of another network (Hinton et al.,
/// arXiv:1503.02531). Made of a [`SoftmaxCrossEntropy`], whose smoothing and class weights count here too.
///
/// Inputs `logits [N,L]`, `targets [N,L]` and `weights [N]`, at least 0, by which rows count -> `dlogits [N,L]`, the gradient
/// of the mean of all losses, and `losses [N]`, of each row its own: `-sum_l w[l] t[l] log_softmax(logits)[l]` with the
/// smoothed targets `t` and the class weights `w`; 0 where the row has no weight. Unlike that of labels the mean is one over
/// rows: class weights do not divide it. As in PyTorch targets may be any numbers.
///
/// Updates `metrics [4 + L]` as [`MeanSquaredError`](super::MeanSquaredError) does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SoftTargetCrossEntropy {
    loss: SoftmaxCrossEntropy,
}

impl SoftTargetCrossEntropy {
    /// With the smoothing and the class weights of this loss.
    pub fn new(loss: SoftmaxCrossEntropy) -> Self {
        Self { loss }
    }
}

const NAME: &str = "soft_target_cross_entropy";

uniforms! {
    struct SoftTargetUniform { n: u32, classes: u32, hard: f32, soft: f32 }
}

static FORWARD: Kernel = Kernel {
    shader: NAME,
    entry: "forward",
    bindings: &[
        read("logits"),
        read("targets"),
        read("weights"),
        write("dlogits"),
        write("losses"),
        update("metrics"),
        read("class_weights"),
    ],
    uniform: SoftTargetUniform::FIELDS,
};

impl Definition for SoftTargetCrossEntropy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let logits = float(operands, 0, NAME, "logits")?;
        let &[n, classes] = logits.dims() else {
            return Err(logits.mismatch(NAME, "logits", "two dimensions [N,L]"));
        };
        let rows = Shape::new(&[n])?;
        let targets = float(operands, 1, NAME, "targets")?;
        same(NAME, "targets", targets, logits)?;
        same(NAME, "weights", float(operands, 2, NAME, "weights")?, rows)?;
        let metrics = Shape::new(&[SoftmaxCrossEntropy::metrics_len(classes)])?;
        same(
            NAME,
            "metrics",
            float(operands, 3, NAME, "metrics")?,
            metrics,
        )?;
        self.loss.check_weights(classes)?;
        Ok(vec![(logits, DType::F32), (rows, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let shape = to.shape(node.inputs[0]);
        let [n, classes] = [0, 1].map(|i| shape.dims()[i]);
        let [hard, soft] = self.loss.parts(classes).map(|part| part as f32);
        let uniform = SoftTargetUniform {
            n: n as u32,
            classes: classes as u32,
            hard,
            soft,
        };
        let mut bindings: Vec<_> = node.operands().map(|id| to.value(id)).collect();
        bindings.push(self.loss.weights_on_device(to, classes));
        // One workgroup: the sums over the batch then have one order.
        let words = uniform.words();
        to.dispatch(&FORWARD, Variant::Plain, words, &bindings, [1, 1, 1])
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        8 * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let classes = io.shape(0).dims()[1];
        let inputs = [0, 1, 2].map(|i| io.input(i));
        let outputs = io.outputs3([0, 1, 2]);
        soft_target_cross_entropy::forward(&self.loss, classes, inputs, outputs);
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}
