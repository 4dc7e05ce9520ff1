//! Loss, its gradient and the training metrics, in one kernel; with global average pooling around it, if that is fused.

use super::{Definition, Tolerance, float, operand, same, widen};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Region, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, global_avg_pool, softmax_cross_entropy};

/// Label of a row that counts for nothing: the filling of a last, smaller batch.
pub const IGNORE: u32 = u32::MAX;

/// Softmax cross-entropy, mean over the batch, by log-softmax; with label smoothing (Szegedy et al., arXiv:1512.00567) and a
/// weight for each class, both as PyTorch's `cross_entropy` has them.
///
/// Inputs `logits [N,L]`, `labels [N]` -> `dlogits [N,L]`, the gradient of the sum of all losses over that of the weights of
/// all labels, and `losses [N]`, of each row its own: what PyTorch calls no reduction. Plain, the gradient is
/// `(softmax(logits) - onehot(labels)) / rows`. Rows of the label [`IGNORE`] count for nothing.
///
/// Updates `metrics [4 + L]`: sum of losses, correct (top-1) rows, rows, for each class the rows whose logit was not zero, and
/// the sum of the weights of the labels. A class that stays at zero is dead behind a last ReLU.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SoftmaxCrossEntropy {
    smoothing: f32,
    /// One a class, or none if all are 1.
    weights: Vec<f32>,
}

/// A [`SoftmaxCrossEntropy`] between a [`GlobalAvgPool`](super::GlobalAvgPool) and its gradient: the head of a network
/// while it trains.
///
/// Inputs `x [N,L,H,W]`, `labels [N]` -> `logits [N,L]`, `dx [N,L,H,W]`, which is zero where `x` is not above zero if
/// masked, and `losses [N]`. Updates `metrics [4 + L]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PooledCrossEntropy {
    loss: SoftmaxCrossEntropy,
    masked: bool,
}

impl PooledCrossEntropy {
    /// Of this loss.
    pub fn new(loss: SoftmaxCrossEntropy) -> Self {
        Self {
            loss,
            masked: false,
        }
    }

    /// The same with the mask `x > 0` over `dx`.
    pub fn with_mask(self) -> Self {
        Self {
            masked: true,
            ..self
        }
    }
}

impl SoftmaxCrossEntropy {
    /// Elements of `metrics` for `classes` classes.
    pub fn metrics_len(classes: usize) -> usize {
        4 + classes
    }

    /// The same with so much of each target spread over all classes alike.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if `smoothing` is not in `[0, 1)`.
    pub fn with_label_smoothing(self, smoothing: f32) -> Result<Self, ShapeError> {
        if (0.0..1.0).contains(&smoothing) {
            return Ok(Self { smoothing, ..self });
        }
        Err(ShapeError::Parameter {
            op: "softmax_cross_entropy",
            what: format!("label smoothing must be at least 0 and below 1, got {smoothing}"),
        })
    }

    /// The same with a weight for each class; how many there are is checked against the logits. None are all 1.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if a weight is not finite, or all are 0. Negative ones are PyTorch's too, though a loss that
    /// grows where a class is right has no least value.
    pub fn with_class_weights(self, weights: Vec<f32>) -> Result<Self, ShapeError> {
        let what = match weights.iter().find(|w| !w.is_finite()) {
            Some(wrong) => format!("class weights must be finite, got {wrong}"),
            None if !weights.is_empty() && weights.iter().all(|&w| w == 0.0) => {
                "at least one class weight must not be 0".to_owned()
            }
            None => return Ok(Self { weights, ..self }),
        };
        Err(ShapeError::Parameter {
            op: "softmax_cross_entropy",
            what,
        })
    }

    /// The parts of the label's own term and of each class's: `1 - smoothing` and `smoothing / classes`.
    pub(crate) fn parts(&self, classes: usize) -> [f64; 2] {
        let smoothing = widen(self.smoothing);
        [1.0 - smoothing, smoothing / classes as f64]
    }

    /// The weight of every class.
    pub(crate) fn weights_of(&self, classes: usize) -> Vec<f32> {
        match self.weights.as_slice() {
            [] => vec![1.0; classes],
            weights => weights.to_vec(),
        }
    }

    pub(super) fn check_weights(&self, classes: usize) -> Result<(), ShapeError> {
        match self.weights.len() {
            n if n == 0 || n == classes => Ok(()),
            n => Err(ShapeError::Parameter {
                op: "softmax_cross_entropy",
                what: format!("{n} class weights for {classes} classes; give one for each"),
            }),
        }
    }

    fn uniform(&self, logits: Shape, pixels: usize, masked: bool) -> LossUniform {
        let classes = logits.dims()[1];
        let [hard, soft] = self.parts(classes).map(|part| part as f32);
        LossUniform {
            n: logits.dims()[0] as u32,
            classes: classes as u32,
            pixels: pixels as u32,
            masked: u32::from(masked),
            hard,
            soft,
        }
    }

    pub(super) fn weights_on_device(&self, to: &mut Lowering<'_>, classes: usize) -> Region {
        let words = self.weights_of(classes).into_iter().map(f32::to_bits);
        to.constant("class weights", words.collect())
    }
}

uniforms! {
    struct LossUniform { n: u32, classes: u32, pixels: u32, masked: u32, hard: f32, soft: f32 }
}

static FORWARD: Kernel = Kernel {
    shader: "softmax_cross_entropy",
    entry: "forward",
    bindings: &[
        update("logits"),
        read("labels"),
        write("dlogits"),
        update("metrics"),
        write("losses"),
        read("class_weights"),
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
        write("losses"),
        read("class_weights"),
        read("x"),
        write("dx"),
    ],
    uniform: LossUniform::FIELDS,
};

/// Checks the labels of `n` rows and the metrics of `classes` classes.
fn check_operands(
    op: &'static str,
    operands: &[Signature],
    [n, classes]: [usize; 2],
) -> Result<(), ShapeError> {
    let labels = operand(operands, 1, op, "labels", DType::U32)?;
    same(op, "labels", labels, Shape::new(&[n])?)?;
    let want = Shape::new(&[SoftmaxCrossEntropy::metrics_len(classes)])?;
    same(op, "metrics", float(operands, 2, op, "metrics")?, want)
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
        check_operands(op, operands, [n, classes])?;
        self.check_weights(classes)?;
        Ok(vec![(logits, DType::F32), (Shape::new(&[n])?, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let shape = to.shape(node.inputs[0]);
        let uniform = self.uniform(shape, 1, false);
        let [logits, labels] = [0, 1].map(|i| to.value(node.inputs[i]));
        let [dlogits, losses] = [0, 1].map(|i| to.value(node.outputs[i]));
        let metrics = to.value(node.updates[0]);
        let weights = self.weights_on_device(to, shape.dims()[1]);
        let bindings = [logits, labels, dlogits, metrics, losses, weights];
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
        let [dlogits, losses, metrics] = io.outputs3([0, 1, 2]);
        let results = [dlogits, metrics, losses];
        softmax_cross_entropy::forward(self, classes, logits, labels, results);
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
        check_operands(op, operands, [n, classes])?;
        self.loss.check_weights(classes)?;
        let losses = Shape::new(&[n])?;
        let logits = Shape::new(&[n, classes])?;
        let float = |shape| (shape, DType::F32);
        Ok([logits, x, losses].map(float).to_vec())
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let logits = to.shape(node.outputs[0]);
        let pixels = to.shape(node.inputs[0]).len() / logits.len();
        let uniform = self.loss.uniform(logits, pixels, self.masked);
        let weights = self.loss.weights_on_device(to, logits.dims()[1]);
        let dlogits = to.scratch("dlogits", logits.len());
        let [x, labels] = [0, 1].map(|i| to.value(node.inputs[i]));
        let [logits, dx, losses] = [0, 1, 2].map(|i| to.value(node.outputs[i]));
        let metrics = to.value(node.updates[0]);
        let bindings = [logits, labels, dlogits, metrics, losses, weights, x, dx];
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
        let [logits, losses, metrics] = io.outputs3([0, 2, 3]);
        let results = [&mut dlogits[..], metrics, losses];
        softmax_cross_entropy::forward(&self.loss, classes, logits, labels, results);
        global_avg_pool::backward(&dlogits, self.masked.then_some(x), io.output(1));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&POOLED, Variant::Plain)]
    }
}
