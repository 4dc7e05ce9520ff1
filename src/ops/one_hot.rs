//! One-hot targets of labels.

use super::{Definition, Tolerance, operand};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, one_hot};

/// Targets of a loss against numbers, of labels: `labels [N]` -> `y [N,L]`, 1 at the label and else 0, and `weights [N]`, 0
/// where the label is [`IGNORE`](super::IGNORE) and else 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OneHot {
    classes: usize,
}

impl OneHot {
    /// Of so many classes.
    pub fn new(classes: usize) -> Self {
        Self { classes }
    }
}

uniforms! {
    struct OneHotUniform { len: u32, classes: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "one_hot",
    entry: "forward",
    bindings: &[read("labels"), write("y"), write("weights")],
    uniform: OneHotUniform::FIELDS,
};

impl Definition for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let labels = operand(operands, 0, "one_hot", "labels", DType::U32)?;
        let &[n] = labels.dims() else {
            return Err(labels.mismatch("one_hot", "labels", "one dimension [N]"));
        };
        let targets = Shape::new(&[n, self.classes])?;
        Ok(vec![(targets, DType::F32), (labels, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        // Labels have no gradient.
        Ok(())
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let len = to.shape(node.outputs[0]).len();
        let uniform = OneHotUniform {
            len: len as u32,
            classes: self.classes as u32,
        };
        let operands = node.operands();
        let bindings: Vec<_> = operands.map(|id| to.value(id)).collect();
        to.elementwise(&FORWARD, Variant::Plain, uniform.words(), &bindings, len)
    }

    fn flops(&self, _: &Node, _: &dyn Fn(ValueId) -> Shape) -> u64 {
        0
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let labels = io.input_u32(0);
        let (y, weights) = io.outputs2(0, 1);
        one_hot::forward(self.classes, labels, y, weights);
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}
