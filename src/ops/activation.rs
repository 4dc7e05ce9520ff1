//! Activations other than ReLU, and their gradients: functions of one element.
//!
//! Adding one: a variant, its line in `ALL`, its name; its two functions in `shaders/activation.wgsl`; its two arms in
//! `src/reference/activation.rs`.

use std::fmt;

use super::{Definition, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, activation};

/// `y = f(x)`, any shape. Not-a-number stays none; infinities become what they become in PyTorch: `-inf` is not-a-number
/// behind the last five.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `x` where it is positive, else `negative_slope x`.
    LeakyRelu {
        /// Slope below zero; 0.01 in PyTorch unless told otherwise.
        negative_slope: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `tanh x`.
    Tanh,
    /// `x sigmoid(x)`, also called swish. Source: arXiv:1702.03118.
    Silu,
    /// `x (1 + erf(x / sqrt 2)) / 2`. Source: arXiv:1606.08415.
    Gelu,
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`, which is close to [`Activation::Gelu`]; same source.
    GeluTanh,
    /// `x min(max(x + 3, 0), 6) / 6`. Source: arXiv:1905.02244, section 5.2.
    HardSwish,
    /// `x tanh(ln(1 + exp(x)))`. Source: arXiv:1908.08681.
    Mish,
}

/// `dx = dy f'(x)`; inputs `dy`, `x`. Where `f` has no slope, at zero or at 3 and -3, it is PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActivationBackward(Activation);

impl Activation {
    /// Each of them, leaky ReLU with PyTorch's slope.
    pub const ALL: [Self; 8] = [
        Self::LeakyRelu {
            negative_slope: 0.01,
        },
        Self::Sigmoid,
        Self::Tanh,
        Self::Silu,
        Self::Gelu,
        Self::GeluTanh,
        Self::HardSwish,
        Self::Mish,
    ];

    /// Names of the op, by which the shader's functions are called too, of its gradient, and for people.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::LeakyRelu { .. } => ["leaky_relu", "leaky_relu.backward", "leaky ReLU"],
            Self::Sigmoid => ["sigmoid", "sigmoid.backward", "sigmoid"],
            Self::Tanh => ["tanh", "tanh.backward", "tanh"],
            Self::Silu => ["silu", "silu.backward", "SiLU"],
            Self::Gelu => ["gelu", "gelu.backward", "GELU"],
            Self::GeluTanh => ["gelu_tanh", "gelu_tanh.backward", "GELU (tanh)"],
            Self::HardSwish => ["hard_swish", "hard_swish.backward", "hard-swish"],
            Self::Mish => ["mish", "mish.backward", "mish"],
        }
    }

    /// Appends the dispatch of `kernel` over operands of one shape.
    fn elementwise(
        self,
        kernel: &'static Kernel,
        operands: &[ValueId],
        to: &mut Lowering<'_>,
    ) -> Result<(), PlanError> {
        let len = to.shape(operands[0]).len();
        let negative_slope = match self {
            Self::LeakyRelu { negative_slope } => negative_slope,
            _ => 0.0,
        };
        let uniform = ActivationUniform {
            len: len as u32,
            negative_slope,
        };
        let bindings: Vec<_> = operands.iter().map(|&id| to.value(id)).collect();
        to.elementwise(kernel, self.variant(), uniform.words(), &bindings, len)
    }

    fn variant(self) -> Variant {
        Variant::Function(self.name())
    }
}

uniforms! {
    struct ActivationUniform { len: u32, negative_slope: f32 }
}

static FORWARD: Kernel = Kernel {
    shader: "activation",
    entry: "forward",
    bindings: &[read("x"), write("y")],
    uniform: ActivationUniform::FIELDS,
};

static BACKWARD: Kernel = Kernel {
    shader: "activation",
    entry: "backward",
    bindings: &[read("dy"), read("x_in"), write("dx")],
    uniform: ActivationUniform::FIELDS,
};

impl Definition for Activation {
    fn name(&self) -> &'static str {
        self.names()[0]
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        Ok(vec![(float(operands, 0, self.name(), "x")?, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let x = node.inputs[0];
        let dx = tape.push1(&node.layer, ActivationBackward::new(*self), &[dy, x])?;
        tape.set_gradient(x, dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        self.elementwise(&FORWARD, &[node.inputs[0], node.outputs[0]], to)
    }

    /// One for each element, whatever the function takes.
    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        activation::forward(*self, io.input(0), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        // Of the devices' exponentials.
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        let of = |activation: Self| (&FORWARD, activation.variant());
        Self::ALL.map(of).to_vec()
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names()[2])
    }
}

impl ActivationBackward {
    /// The gradient of `activation`.
    pub fn new(activation: Activation) -> Self {
        Self(activation)
    }
}

impl Definition for ActivationBackward {
    fn name(&self) -> &'static str {
        self.0.names()[1]
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = self.name();
        let dy = float(operands, 0, op, "dy")?;
        same(op, "x", float(operands, 1, op, "x")?, dy)?;
        Ok(vec![(dy, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let operands = [node.inputs[0], node.inputs[1], node.outputs[0]];
        self.0.elementwise(&BACKWARD, &operands, to)
    }

    /// One for each element, whatever the function takes.
    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        activation::backward(self.0, io.input(0), io.input(1), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        self.0.tolerance()
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        let of = |activation: Activation| (&BACKWARD, activation.variant());
        Activation::ALL.map(of).to_vec()
    }
}
