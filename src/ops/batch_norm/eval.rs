//! Batch normalisation by its running statistics: alone, or as part of the convolution before it.

use super::{BatchNorm, BatchNormEvalBackward, Channels, per_channel};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::ops::{Definition, ReluBackward, Tolerance, float, same, widen};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, batch_norm};

/// `y = (x - running_mean) / sqrt(running_var + eps) * weight + bias`, then ReLU if fused.
///
/// Inputs `x [N,C,..]`, then `weight`, `bias`, `running_mean` and `running_var`, all `[C]` -> `y`, of x's shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEval {
    eps: f32,
    relu: bool,
}

/// The convolution that a convolution and the [`BatchNormEval`] behind it are together:
/// `w * scale` and `(b - running_mean) * scale + bias`, with `scale = weight / sqrt(running_var + eps)`.
///
/// Inputs `weight`, `bias`, `running_mean` and `running_var`, all `[K]`, then `w [K,C,R,S]` and, if it has one, `b [K]` ->
/// filters `[K,C,R,S]` and bias `[K]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoldBatchNorm {
    eps: f32,
}

impl From<BatchNorm> for BatchNormEval {
    fn from(op: BatchNorm) -> Self {
        Self {
            eps: op.eps,
            relu: op.relu,
        }
    }
}

impl From<BatchNorm> for FoldBatchNorm {
    fn from(op: BatchNorm) -> Self {
        Self { eps: op.eps }
    }
}

impl BatchNormEval {
    /// Whether ReLU rides behind it.
    pub fn relu(&self) -> bool {
        self.relu
    }

    /// The same with ReLU behind it.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// What makes it part of the convolution before it.
    pub(crate) fn fold(self) -> FoldBatchNorm {
        FoldBatchNorm { eps: self.eps }
    }
}

const NAME: &str = "batch_norm.eval";
const FOLD: &str = "batch_norm.fold";
const STATE: [&str; 4] = ["weight", "bias", "running_mean", "running_var"];

uniforms! {
    struct EvalUniform { len: u32, channels: u32, inner: u32, eps: f32, relu: u32, has_b: u32 }
}

static NORMALIZE: Kernel = Kernel {
    shader: "batch_norm_eval",
    entry: "normalize",
    bindings: &[
        read("weight"),
        read("bias"),
        read("mean"),
        read("variance"),
        read("x"),
        write("y"),
    ],
    uniform: EvalUniform::FIELDS,
};

static FOLDED: Kernel = Kernel {
    shader: "batch_norm_eval",
    entry: "fold",
    bindings: &[
        read("weight"),
        read("bias"),
        read("mean"),
        read("variance"),
        read("w"),
        read("b"),
        write("w_folded"),
        write("b_folded"),
    ],
    uniform: EvalUniform::FIELDS,
};

impl Definition for BatchNormEval {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, NAME, "x")?;
        let Channels { channels, .. } = Channels::of(NAME, x)?;
        per_channel(NAME, operands, 1, &STATE, channels)?;
        Ok(vec![(x, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let dz = if self.relu {
            tape.push1(&node.layer, ReluBackward, &[dy, node.outputs[0]])?
        } else {
            dy
        };
        // The statistics have no gradient: no loss moves them.
        let [x, weight, bias, mean, var] = [0, 1, 2, 3, 4].map(|i| node.inputs[i]);
        let op = BatchNormEvalBackward::new(self.eps);
        let gradients = tape.push(&node.layer, op, &[dz, x, weight, mean, var])?;
        tape.set_gradient(weight, gradients[1])?;
        tape.set_gradient(bias, gradients[2])?;
        tape.set_gradient(x, gradients[0])
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let x = to.shape(node.inputs[0]);
        let sizes = Channels::checked(x);
        let uniform = EvalUniform {
            len: x.len() as u32,
            channels: sizes.channels as u32,
            inner: sizes.pixels as u32,
            eps: self.eps,
            relu: u32::from(self.relu),
            has_b: 0,
        };
        let operands = node.inputs[1..].iter();
        let operands = operands.chain([&node.inputs[0], &node.outputs[0]]);
        let bindings: Vec<_> = operands.map(|&id| to.value(id)).collect();
        let words = uniform.words();
        to.elementwise(&NORMALIZE, Variant::Plain, words, &bindings, x.len())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        3 * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let sizes = Channels::checked(io.shape(0));
        let (weight, bias, mean, var) = (io.input(1), io.input(2), io.input(3), io.input(4));
        let eps = T::from_f64(widen(self.eps));
        let of = |c: usize| [mean[c], weight[c] / (var[c] + eps).sqrt(), bias[c]];
        batch_norm::normalize(&sizes, self.relu, io.input(0), of, None, io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&NORMALIZE, Variant::Plain)]
    }
}

impl Definition for FoldBatchNorm {
    fn name(&self) -> &'static str {
        FOLD
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let w = float(operands, 4, FOLD, "w")?;
        let channels = w.dims()[0];
        per_channel(FOLD, operands, 0, &STATE, channels)?;
        let bias = Shape::new(&[channels])?;
        if operands.len() > 5 {
            same(FOLD, "b", float(operands, 5, FOLD, "b")?, bias)?;
        }
        Ok(vec![(w, DType::F32), (bias, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let w = to.shape(node.inputs[4]);
        let channels = w.dims()[0];
        let uniform = EvalUniform {
            len: w.len() as u32,
            channels: channels as u32,
            inner: (w.len() / channels) as u32,
            eps: self.eps,
            relu: 0,
            has_b: u32::from(node.inputs.len() > 5),
        };
        // Every binding must name some buffer; without a bias the kernel never reads this one.
        let b = *node.inputs.get(5).unwrap_or(&node.inputs[1]);
        let operands = node.inputs[..5].iter().chain([&b]).chain(&node.outputs);
        let bindings: Vec<_> = operands.map(|&id| to.value(id)).collect();
        let words = uniform.words();
        to.elementwise(&FOLDED, Variant::Plain, words, &bindings, w.len())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.outputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let state = [0, 1, 2, 3].map(|i| io.input(i));
        let b = (io.inputs() > 5).then(|| io.input(5));
        let (eps, w) = (T::from_f64(widen(self.eps)), io.input(4));
        let (w_folded, b_folded) = io.outputs2(0, 1);
        batch_norm::fold(eps, state, w, b, w_folded, b_folded);
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FOLDED, Variant::Plain)]
    }
}
