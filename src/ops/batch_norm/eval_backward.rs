//! The gradient of batch normalisation by running statistics, which nothing but `x` depends on.

use super::{BatchNorm, Channels, per_channel};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::ops::conv2d::sum_parts;
use crate::ops::{Definition, Tolerance, float, same, widen};
use crate::plan::{Kernel, Lowering, Parts, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, batch_norm};

/// Inputs `dy [N,C,..]`, `x`, then `weight`, `running_mean` and `running_var`, all `[C]` -> `dx`, `dweight [C]`, `dbias [C]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNormEvalBackward {
    eps: f32,
    masked: bool,
}

impl From<BatchNorm> for BatchNormEvalBackward {
    fn from(op: BatchNorm) -> Self {
        Self {
            eps: op.eps,
            masked: false,
        }
    }
}

impl BatchNormEvalBackward {
    /// With this number added to variances.
    pub(super) fn new(eps: f32) -> Self {
        Self { eps, masked: false }
    }

    /// The same with the mask `x > 0` in its epilogue: `x` came out of a ReLU.
    pub fn with_mask(self) -> Self {
        Self {
            masked: true,
            ..self
        }
    }

    /// Whether the mask rides in its epilogue.
    pub(crate) fn is_masked(self) -> bool {
        self.masked
    }
}

const NAME: &str = "batch_norm.eval.backward";

uniforms! {
    struct EvalBackwardUniform { channels: u32, pixels: u32, len: u32, chunk: u32, eps: f32, masked: u32 }
}

static BACKWARD: Kernel = Kernel {
    shader: "batch_norm_eval_backward",
    entry: "backward",
    bindings: &[
        read("dy"),
        read("x"),
        read("weight"),
        read("mean"),
        read("variance"),
        write("partial_dw"),
        write("dx"),
    ],
    uniform: EvalBackwardUniform::FIELDS,
};

impl Definition for BatchNormEvalBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let dy = float(operands, 0, NAME, "dy")?;
        let x = float(operands, 1, NAME, "x")?;
        same(NAME, "dy", dy, x)?;
        let Channels { channels, .. } = Channels::of(NAME, x)?;
        let state = ["weight", "running_mean", "running_var"];
        per_channel(NAME, operands, 2, &state, channels)?;
        let gradient = (Shape::new(&[channels])?, DType::F32);
        Ok(vec![(x, DType::F32), gradient, gradient])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let sizes = Channels::checked(to.shape(node.inputs[0]));
        let (chunk, chunks) = sizes.chunks();
        let uniform = EvalBackwardUniform {
            channels: sizes.channels as u32,
            pixels: sizes.pixels as u32,
            len: sizes.len as u32,
            chunk: chunk as u32,
            eps: self.eps,
            masked: u32::from(self.masked),
        };
        let mut bindings: Vec<_> = node.inputs.iter().map(|&id| to.value(id)).collect();
        let [dx, dweight, dbias] = [0, 1, 2].map(|i| to.value(node.outputs[i]));
        let partial = to.parts("partial_dw", chunks * 2 * sizes.channels);
        bindings.extend([partial, dx]);
        let workgroups = [chunks as u64, sizes.channels as u64, 1];
        let words = uniform.words();
        to.dispatch(&BACKWARD, Variant::Plain, words, &bindings, workgroups)?;
        let parts = Parts {
            partial,
            splits: chunks as u32,
            weights: dweight,
            bias: Some(dbias),
        };
        sum_parts(to, parts)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        5 * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let sizes = Channels::checked(io.shape(0));
        let [dy, x, weight, mean, var] = [0, 1, 2, 3, 4].map(|i| io.input(i));
        let eps = T::from_f64(widen(self.eps));
        let invstds = var.iter().map(|&var| T::from_f64(1.0) / (var + eps).sqrt());
        let saved: Vec<T> = mean.iter().copied().chain(invstds).collect();
        let [dx, dweight, dbias] = io.outputs3([0, 1, 2]);
        batch_norm::gradient_sums(&sizes, dy, x, &saved, dweight, dbias);
        // The statistics stay, so no sum flows back through them.
        let none = vec![T::default(); sizes.channels];
        batch_norm::backward(&sizes, dy, x, &saved, weight, [&none, &none], dx);
        if self.masked {
            crate::reference::relu::mask(x, dx);
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-4)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&BACKWARD, Variant::Plain)]
    }
}
