//! Global average pooling and its gradient.

use super::{Definition, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, global_avg_pool};

/// `y[n,c] = mean_{h,w} x[n,c,h,w]`: `x [N,C,H,W]` -> `y [N,C]`. Source: arXiv:1312.4400, section 3.2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GlobalAvgPool {}

/// Inputs `dy [N,C]` and, if masked, `x [N,C,H,W]` -> `dx [N,C,H,W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalAvgPoolBackward {
    height: usize,
    width: usize,
    masked: bool,
}

impl GlobalAvgPoolBackward {
    /// The gradient of pooling maps of `height x width`.
    pub fn new(height: usize, width: usize) -> Self {
        Self {
            height,
            width,
            masked: false,
        }
    }

    /// The same with the mask `x > 0` in its epilogue.
    pub fn with_mask(self) -> Self {
        Self {
            masked: true,
            ..self
        }
    }
}

uniforms! {
    struct GapUniform { maps: u32, pixels: u32, masked: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "global_avg_pool",
    entry: "forward",
    bindings: &[read("x"), write("y")],
    uniform: GapUniform::FIELDS,
};

static BACKWARD: Kernel = Kernel {
    shader: "global_avg_pool",
    entry: "backward",
    bindings: &[read("dy"), read("mask"), write("dx")],
    uniform: GapUniform::FIELDS,
};

impl Definition for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let [n, c, ..] =
            float(operands, 0, "global_avg_pool", "x")?.nchw("global_avg_pool", "x")?;
        Ok(vec![(Shape::new(&[n, c])?, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let [_, _, height, width] = tape.dims4(node.inputs[0]);
        let dx = tape.push1(
            &node.layer,
            GlobalAvgPoolBackward::new(height, width),
            &[dy],
        )?;
        tape.set_gradient(node.inputs[0], dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let maps = to.shape(node.outputs[0]).len();
        let pixels = to.shape(node.inputs[0]).len() / maps;
        let uniform = GapUniform {
            maps: maps as u32,
            pixels: pixels as u32,
            masked: 0,
        };
        let bindings = [to.value(node.inputs[0]), to.value(node.outputs[0])];
        to.elementwise(&FORWARD, Variant::Plain, uniform.words(), &bindings, maps)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        global_avg_pool::forward(io.input(0), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}

impl Definition for GlobalAvgPoolBackward {
    fn name(&self) -> &'static str {
        "global_avg_pool.backward"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = "global_avg_pool.backward";
        let dy = float(operands, 0, op, "dy")?;
        let &[n, c] = dy.dims() else {
            return Err(dy.mismatch(op, "dy", "two dimensions [N,C]"));
        };
        let dx = Shape::new(&[n, c, self.height, self.width])?;
        if self.masked {
            same(op, "mask", float(operands, 1, op, "mask")?, dx)?;
        }
        Ok(vec![(dx, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let maps = to.shape(node.inputs[0]).len();
        let len = to.shape(node.outputs[0]).len();
        let uniform = GapUniform {
            maps: maps as u32,
            pixels: (len / maps) as u32,
            masked: u32::from(self.masked),
        };
        // Every binding must name some buffer; without a mask the kernel never reads this one.
        let mask = if self.masked {
            node.inputs[1]
        } else {
            node.inputs[0]
        };
        let bindings = [node.inputs[0], mask, node.outputs[0]].map(|id| to.value(id));
        to.elementwise(&BACKWARD, Variant::Plain, uniform.words(), &bindings, len)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.outputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let mask = self.masked.then(|| io.input(1));
        global_avg_pool::backward(io.input(0), mask, io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-6)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&BACKWARD, Variant::Plain)]
    }
}
