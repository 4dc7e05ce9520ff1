//! Local response normalisation across channels, and its gradient.

use super::{Definition, Tolerance, float, same, widen};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, local_response_norm};

/// `y[c] = x[c] (k + alpha / size * sum x[j]^2)^-beta`, the sum over the `size` channels from `c - size / 2` on, as far as
/// there are any: `x [N,C,H,W]` -> `y [N,C,H,W]`. As in PyTorch `alpha` is divided by `size`, and an even window reaches one
/// channel further back than forth.
///
/// Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural Networks", section 3.3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNorm {
    size: usize,
    alpha: f32,
    beta: f32,
    k: f32,
}

/// Inputs `dy [N,C,H,W]` and `x [N,C,H,W]` -> `dx [N,C,H,W]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNormBackward {
    norm: LocalResponseNorm,
    masked: bool,
}

/// The most channels of a window: a shader counts them, and a plan what they cost.
const LARGEST: usize = 65_535;

impl LocalResponseNorm {
    /// Over `size` channels, with PyTorch's alpha 1e-4, beta 0.75 and k 1.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if `size` is 0 or above 65,535.
    pub fn new(size: usize) -> Result<Self, ShapeError> {
        Self {
            size,
            alpha: 1e-4,
            beta: 0.75,
            k: 1.0,
        }
        .checked()
    }

    /// The same with other constants.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if `k` is not positive, `alpha` is negative or one of them no finite number.
    pub fn with_constants(self, alpha: f32, beta: f32, k: f32) -> Result<Self, ShapeError> {
        Self {
            alpha,
            beta,
            k,
            ..self
        }
        .checked()
    }

    fn checked(self) -> Result<Self, ShapeError> {
        let Self {
            size,
            alpha,
            beta,
            k,
        } = self;
        let what = if !(1..=LARGEST).contains(&size) {
            format!("size {size} must be 1 to {LARGEST} channels")
        } else if !(k > 0.0 && alpha >= 0.0 && (k + alpha + beta).is_finite()) {
            format!(
                "k {k} must be above 0, alpha {alpha} at least 0 and beta {beta} finite, so that there is a root"
            )
        } else {
            return Ok(self);
        };
        Err(ShapeError::Parameter { op: NAME, what })
    }

    /// Channels of a window.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// A normalisation of maps of known size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseWindow {
    pub(crate) channels: usize,
    /// Pixels of a map.
    pub(crate) pixels: usize,
    pub(crate) size: usize,
    /// Already divided by the size.
    pub(crate) alpha: f64,
    pub(crate) beta: f64,
    pub(crate) k: f64,
}

impl LocalResponseNorm {
    fn window(&self, x: Shape) -> ResponseWindow {
        let [_, channels, height, width] = x
            .nchw(NAME, "x")
            .expect("invariant: shapes were inferred when the node was added");
        ResponseWindow {
            channels,
            pixels: height * width,
            size: self.size,
            alpha: widen(self.alpha) / self.size as f64,
            beta: widen(self.beta),
            k: widen(self.k),
        }
    }
}

impl LocalResponseNormBackward {
    /// The gradient of `norm`.
    pub fn new(norm: LocalResponseNorm) -> Self {
        Self {
            norm,
            masked: false,
        }
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

const NAME: &str = "local_response_norm";
const BACKWARD_NAME: &str = "local_response_norm.backward";

uniforms! {
    struct NormUniform {
        len: u32, channels: u32, pixels: u32, size: u32, alpha: f32, beta: f32, k: f32, masked: u32,
    }
}

impl NormUniform {
    fn new(norm: &LocalResponseNorm, x: Shape, masked: bool) -> Self {
        let window = norm.window(x);
        Self {
            len: x.len() as u32,
            channels: window.channels as u32,
            pixels: window.pixels as u32,
            size: window.size as u32,
            alpha: window.alpha as f32,
            beta: norm.beta,
            k: norm.k,
            masked: u32::from(masked),
        }
    }
}

static FORWARD: Kernel = Kernel {
    shader: "local_response_norm",
    entry: "forward",
    bindings: &[read("x"), write("y")],
    uniform: NormUniform::FIELDS,
};

static BACKWARD: Kernel = Kernel {
    shader: "local_response_norm",
    entry: "backward",
    bindings: &[read("x"), read("dy"), write("dx")],
    uniform: NormUniform::FIELDS,
};

impl Definition for LocalResponseNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, NAME, "x")?;
        x.nchw(NAME, "x")?;
        Ok(vec![(x, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let x = node.inputs[0];
        let dx = tape.push1(&node.layer, LocalResponseNormBackward::new(*self), &[dy, x])?;
        tape.set_gradient(x, dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let x = to.shape(node.inputs[0]);
        let words = NormUniform::new(self, x, false).words();
        let bindings = [node.inputs[0], node.outputs[0]].map(|id| to.value(id));
        to.elementwise(&FORWARD, Variant::Plain, words, &bindings, x.len())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (2 * self.size as u64 + 4) * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let window = self.window(io.shape(0));
        local_response_norm::forward(&window, io.input(0), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}

impl Definition for LocalResponseNormBackward {
    fn name(&self) -> &'static str {
        BACKWARD_NAME
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 1, BACKWARD_NAME, "x")?;
        x.nchw(BACKWARD_NAME, "x")?;
        let dy = float(operands, 0, BACKWARD_NAME, "dy")?;
        same(BACKWARD_NAME, "dy", dy, x)?;
        Ok(vec![(x, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let x = to.shape(node.inputs[1]);
        let words = NormUniform::new(&self.norm, x, self.masked).words();
        let bindings = [node.inputs[1], node.inputs[0], node.outputs[0]].map(|id| to.value(id));
        to.elementwise(&BACKWARD, Variant::Plain, words, &bindings, x.len())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        let size = self.norm.size as u64;
        (size * (2 * size + 6) + 2 * size + 8) * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let window = self.norm.window(io.shape(1));
        let (dy, x) = (io.input(0), io.input(1));
        local_response_norm::backward(&window, dy, x, io.output(0));
        if self.masked {
            crate::reference::relu::mask(x, io.output(0));
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&BACKWARD, Variant::Plain)]
    }
}
