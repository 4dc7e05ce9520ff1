//! Dropout with a mask that is computed, not stored: forward and backward draw the same numbers.

use super::{Definition, Tolerance, float, operand, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, dropout};

/// `y = x / (1 - p)` where the element's random number is at least `p`, else 0; inputs `x [N,..]`,
/// `random [3]` (seed, step, place of the first image in its batch).
///
/// The number of element `i` of the whole batch is the first word of [`pcg4d`](crate::graph::rng::pcg4d)`(i, stream, step, seed)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    p: f32,
    stream: u32,
}

/// Gradient of [`Dropout`]: inputs `dy`, `random [3]` -> `dx`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DropoutBackward(Dropout);

impl Dropout {
    /// Dropout with probability `p`; layers of one network take different streams.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if `p` is not in `[0, 1)`.
    pub fn new(p: f32, stream: u32) -> Result<Self, ShapeError> {
        if (0.0..1.0).contains(&p) {
            return Ok(Self { p, stream });
        }
        let what = format!("probability {p} must be at least 0 and below 1");
        Err(ShapeError::Parameter {
            op: "dropout",
            what,
        })
    }

    /// Random words below this are dropped.
    fn threshold(&self) -> u32 {
        (f64::from(self.p) * 2f64.powi(32)) as u32
    }

    fn scale(&self) -> f32 {
        1.0 / (1.0 - self.p)
    }

    fn infer_as(op: &'static str, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, op, "x")?;
        same(
            op,
            "random",
            operand(operands, 1, op, "random", DType::U32)?,
            Shape::new(&[3])?,
        )?;
        Ok(vec![(x, DType::F32)])
    }
}

uniforms! {
    struct DropoutUniform { len: u32, stream: u32, threshold: u32, scale: f32, stride: u32 }
}

/// Masking is its own gradient, so forward and backward are one kernel.
static FORWARD: Kernel = Kernel {
    shader: "dropout",
    entry: "forward",
    bindings: &[read("x"), read("random"), write("y")],
    uniform: DropoutUniform::FIELDS,
};

impl Definition for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        Self::infer_as("dropout", operands)
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let dx = tape.push1(&node.layer, DropoutBackward(*self), &[dy, node.inputs[1]])?;
        tape.set_gradient(node.inputs[0], dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let len = to.shape(node.inputs[0]).len();
        let uniform = DropoutUniform {
            len: len as u32,
            stream: self.stream,
            threshold: self.threshold(),
            scale: self.scale(),
            stride: (len / to.shape(node.inputs[0]).dims()[0]) as u32,
        };
        let bindings = [node.inputs[0], node.inputs[1], node.outputs[0]].map(|id| to.value(id));
        to.elementwise(&FORWARD, Variant::Plain, uniform.words(), &bindings, len)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let &[seed, step, first] = io.input_u32(1) else {
            unreachable!("invariant: shape was inferred")
        };
        let key = [self.stream, step, seed];
        let stride = (io.shape(0).len() / io.shape(0).dims()[0]) as u32;
        dropout::forward(
            key,
            first * stride,
            self.threshold(),
            self.scale(),
            io.input(0),
            io.output(0),
        );
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-6)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}

impl Definition for DropoutBackward {
    fn name(&self) -> &'static str {
        "dropout.backward"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        Dropout::infer_as("dropout.backward", operands)
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        self.0.lower(node, to)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        self.0.flops(node, shape)
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        self.0.reference(io);
    }

    fn tolerance(&self) -> Tolerance {
        self.0.tolerance()
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        Dropout::kernels()
    }
}
