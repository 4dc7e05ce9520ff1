//! Elementwise addition: where branches join, and how the gradients of a value with several readers are summed.

use super::{Definition, ReluBackward, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Region, Variant, read, uniforms, write};
use crate::reference::{Io, Real, add, relu};

/// `y = a + b`, any shape, the same for both; then ReLU if fused, or 0 where a mask is not positive.
///
/// Inputs `a`, `b` and, if masked, the activation whose ReLU the sum is the gradient of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Add {
    epilogue: Epilogue,
}

/// What rides behind the sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Epilogue {
    #[default]
    None,
    Relu,
    Mask,
}

impl Add {
    /// The same with ReLU in its epilogue.
    pub fn with_relu(self) -> Self {
        let epilogue = Epilogue::Relu;
        Self { epilogue }
    }

    /// The same with the mask `x > 0` in its epilogue.
    pub fn with_mask(self) -> Self {
        let epilogue = Epilogue::Mask;
        Self { epilogue }
    }

    /// Whether nothing rides in its epilogue.
    pub(crate) fn is_plain(self) -> bool {
        self.epilogue == Epilogue::None
    }

    /// Whether two values can be added: name and shape of each.
    pub(crate) fn check(a: (&str, Shape), b: (&str, Shape)) -> Result<(), ShapeError> {
        if a.1 == b.1 {
            return Ok(());
        }
        let want = "all dimensions must be the same";
        Err(Shape::apart("add", a, b, want))
    }
}

uniforms! {
    struct AddUniform { len: u32, relu: u32 }
}

static FORWARD: Kernel = Kernel {
    shader: "add",
    entry: "forward",
    bindings: &[read("a"), read("b"), write("y")],
    uniform: AddUniform::FIELDS,
};

static MASKED: Kernel = Kernel {
    shader: "add",
    entry: "masked",
    bindings: &[read("a"), read("b"), read("activation"), write("masked_y")],
    uniform: AddUniform::FIELDS,
};

/// Appends `y = a + b` of so many elements, then ReLU, or zero where the `mask` is not above zero.
pub(super) fn sum(
    to: &mut Lowering<'_>,
    [a, b, y]: [Region; 3],
    relu: bool,
    mask: Option<Region>,
    len: usize,
) -> Result<(), PlanError> {
    let uniform = AddUniform {
        len: len as u32,
        relu: u32::from(relu),
    };
    let kernel = if mask.is_some() { &MASKED } else { &FORWARD };
    let bindings: Vec<_> = [a, b].into_iter().chain(mask).chain([y]).collect();
    to.elementwise(kernel, Variant::Plain, uniform.words(), &bindings, len)
}

impl Definition for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let a = float(operands, 0, "add", "a")?;
        Self::check(("a", a), ("b", float(operands, 1, "add", "b")?))?;
        if self.epilogue == Epilogue::Mask {
            same("add", "mask", float(operands, 2, "add", "mask")?, a)?;
        }
        Ok(vec![(a, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let dsum = match self.epilogue {
            Epilogue::None => dy,
            Epilogue::Relu => tape.push1(&node.layer, ReluBackward, &[dy, node.outputs[0]])?,
            Epilogue::Mask => return Err(GraphError::NotDifferentiable("add with a mask")),
        };
        tape.set_gradient(node.inputs[0], dsum)?;
        tape.set_gradient(node.inputs[1], dsum)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let len = to.shape(node.outputs[0]).len();
        let [a, b] = [0, 1].map(|i| to.value(node.inputs[i]));
        let mask = node.inputs.get(2).map(|&id| to.value(id));
        let y = to.value(node.outputs[0]);
        sum(to, [a, b, y], self.epilogue == Epilogue::Relu, mask, len)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        shape(node.outputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let relu = self.epilogue == Epilogue::Relu;
        add::forward(relu, io.input(0), io.input(1), io.output(0));
        if self.epilogue == Epilogue::Mask {
            relu::mask(io.input(2), io.output(0));
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-6)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain), (&MASKED, Variant::Plain)]
    }
}
