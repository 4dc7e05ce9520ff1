//! The gradient of batch normalisation.

use super::{Channels, per_channel};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::ops::conv2d::sum_parts;
use crate::ops::{Definition, Tolerance, float, same};
use crate::plan::{Kernel, Lowering, Parts, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, batch_norm};

/// Inputs `dy [N,C,..]`, `x`, the saved `[2,C]` (means and `1 / sqrt(var + eps)`) and `weight [C]` -> `dx`, `dweight [C]`,
/// `dbias [C]`. Mean and variance depend on x, so its gradient runs through them too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchNormBackward {
    masked: bool,
}

impl BatchNormBackward {
    /// The same with the mask `x > 0` in its epilogue: `x` came out of a ReLU.
    pub fn with_mask(self) -> Self {
        Self { masked: true }
    }

    /// Whether the mask rides in its epilogue.
    pub(crate) fn is_masked(self) -> bool {
        self.masked
    }
}

const NAME: &str = "batch_norm.backward";

uniforms! {
    struct BackwardUniform { channels: u32, pixels: u32, len: u32, chunk: u32, masked: u32 }
}

static BACKWARD: Kernel = Kernel {
    shader: "batch_norm_backward",
    entry: "backward",
    bindings: &[
        read("dy"),
        read("x"),
        read("saved"),
        write("partial_dw"),
        read("weight"),
        write("dx"),
    ],
    uniform: BackwardUniform::FIELDS,
};

static SUMS: Kernel = Kernel {
    shader: "batch_norm_backward",
    entry: "sums",
    bindings: &[read("dy"), read("x"), read("saved"), write("partial_dw")],
    uniform: BackwardUniform::FIELDS,
};

static APPLY: Kernel = Kernel {
    shader: "batch_norm_backward",
    entry: "apply",
    bindings: &[
        read("dy"),
        read("x"),
        read("saved"),
        read("partial_in"),
        read("weight"),
        write("dx"),
    ],
    uniform: BackwardUniform::FIELDS,
};

impl Definition for BatchNormBackward {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let dy = float(operands, 0, NAME, "dy")?;
        let x = float(operands, 1, NAME, "x")?;
        same(NAME, "dy", dy, x)?;
        let Channels { channels, .. } = Channels::of(NAME, x)?;
        let saved = float(operands, 2, NAME, "saved")?;
        same(NAME, "saved", saved, Shape::new(&[2, channels])?)?;
        per_channel(NAME, operands, 3, &["weight"], channels)?;
        let gradient = (Shape::new(&[channels])?, DType::F32);
        Ok(vec![(x, DType::F32), gradient, gradient])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let sizes = Channels::checked(to.shape(node.inputs[0]));
        let (chunk, chunks) = sizes.chunks();
        let uniform = BackwardUniform {
            channels: sizes.channels as u32,
            pixels: sizes.pixels as u32,
            len: sizes.len as u32,
            chunk: chunk as u32,
            masked: u32::from(self.masked),
        };
        let [dy, x, saved, weight] = [0, 1, 2, 3].map(|i| to.value(node.inputs[i]));
        let [dx, dweight, dbias] = [0, 1, 2].map(|i| to.value(node.outputs[i]));
        let partial = to.parts("partial_dw", chunks * 2 * sizes.channels);
        let workgroups = [chunks as u64, sizes.channels as u64, 1];
        let words = uniform.words();
        let bindings = [dy, x, saved, partial, weight, dx];
        if chunks == 1 {
            to.dispatch(&BACKWARD, Variant::Plain, words, &bindings, workgroups)?;
        } else {
            let sums = &bindings[..4];
            to.dispatch(&SUMS, Variant::Plain, words.clone(), sums, workgroups)?;
            to.dispatch(&APPLY, Variant::Plain, words, &bindings, workgroups)?;
        }
        let parts = Parts {
            partial,
            splits: chunks as u32,
            weights: dweight,
            bias: Some(dbias),
        };
        sum_parts(to, parts)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        9 * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let sizes = Channels::checked(io.shape(0));
        let (dy, x, saved, weight) = (io.input(0), io.input(1), io.input(2), io.input(3));
        let [dx, dweight, dbias] = io.outputs3([0, 1, 2]);
        batch_norm::gradient_sums(&sizes, dy, x, saved, dweight, dbias);
        batch_norm::backward(&sizes, dy, x, saved, weight, [dweight, dbias], dx);
        if self.masked {
            crate::reference::relu::mask(x, dx);
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-4)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        [&BACKWARD, &SUMS, &APPLY]
            .map(|kernel| (kernel, Variant::Plain))
            .to_vec()
    }
}
