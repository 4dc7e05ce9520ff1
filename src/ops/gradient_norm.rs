//! The norm of all gradients, which clipping goes by.

use super::{Definition, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Region, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, gradient_norm};

/// Euclidean norm `[1]` of the `n` gradients, all taken as one vector.
///
/// Inputs: the gradients. Of a batch that is run part by part, `hyper [6]` before them
/// ([`Optimizer::hyper_of_part`](super::Optimizer::hyper_of_part)) and `n` updates, the sums of the gradients so far, to which
/// these are added; the norm is that of the sums.
///
/// Source: Pascanu, Mikolov, Bengio, arXiv:1211.5063.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GradientNorm {
    /// Whether gradients come in parts of a batch.
    pub in_parts: bool,
}

const OP: &str = "gradient_norm";
/// Invocations of a workgroup, and the most workgroups of a slab.
const LANES: u64 = 256;

uniforms! {
    struct NormUniform { len: u32, first: u32 }
}

static SQUARES: Kernel = Kernel {
    shader: "gradient_norm",
    entry: "squares",
    bindings: &[read("g"), write("partial")],
    uniform: NormUniform::FIELDS,
};

static SQUARES_PART: Kernel = Kernel {
    shader: "gradient_norm",
    entry: "squares_part",
    bindings: &[
        read("hyper"),
        read("g_part"),
        update("s"),
        write("partial_of_part"),
    ],
    uniform: NormUniform::FIELDS,
};

static ROOT: Kernel = Kernel {
    shader: "gradient_norm",
    entry: "root",
    bindings: &[read("partials"), write("norm")],
    uniform: NormUniform::FIELDS,
};

impl GradientNorm {
    fn gradients<'n>(&self, node: &'n Node) -> &'n [ValueId] {
        &node.inputs[usize::from(self.in_parts)..]
    }
}

impl Definition for GradientNorm {
    fn name(&self) -> &'static str {
        OP
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let mut first = 0;
        if self.in_parts {
            same(
                OP,
                "hyper",
                float(operands, 0, OP, "hyper")?,
                Shape::new(&[6])?,
            )?;
            first = 1;
        }
        let n = (operands.len() - first) / (1 + first);
        if n == 0 {
            let what = "there is no gradient".to_owned();
            return Err(ShapeError::Parameter { op: OP, what });
        }
        for i in first..first + n {
            let g = float(operands, i, OP, "gradient")?;
            if self.in_parts {
                same(OP, "sum", float(operands, i + n, OP, "sum")?, g)?;
            }
        }
        Ok(vec![(Shape::new(&[1])?, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(OP))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let g = self.gradients(node)[0];
        let slabs = to.slabs([g, node.updates.first().copied().unwrap_or(g)])?;
        let workgroups = |slab: Region| (slab.bytes / 4).div_ceil(LANES).min(LANES);
        let count = slabs.iter().map(|[g, _]| workgroups(*g)).sum::<u64>();
        let partial = to.scratch("squares", count as usize);
        let mut first = 0;
        for [g, sums] in slabs {
            let uniform = NormUniform {
                len: (g.bytes / 4) as u32,
                first: first as u32,
            };
            let (words, across) = (uniform.words(), [workgroups(g), 1, 1]);
            if self.in_parts {
                let bindings = [to.value(node.inputs[0]), g, sums, partial];
                to.dispatch(&SQUARES_PART, Variant::Plain, words, &bindings, across)?;
            } else {
                to.dispatch(&SQUARES, Variant::Plain, words, &[g, partial], across)?;
            }
            first += workgroups(g);
        }
        let uniform = NormUniform {
            len: count as u32,
            first: 0,
        };
        let bindings = [partial, to.value(node.outputs[0])];
        to.dispatch(&ROOT, Variant::Plain, uniform.words(), &bindings, [1, 1, 1])
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        let gradients = self.gradients(node).iter();
        2 * gradients.map(|&id| shape(id).len() as u64).sum::<u64>()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let first = usize::from(self.in_parts);
        let part = self.in_parts.then(|| [io.input(0)[3], io.input(0)[4]]);
        let mut squares = T::default();
        for i in first..io.inputs() {
            let g = io.input(i);
            squares += match part {
                None => gradient_norm::squares(g),
                Some([keep, weight]) => {
                    let sum = io.output(1 + i - first);
                    crate::reference::optimizer::add_part(keep, weight, g, sum);
                    gradient_norm::squares(sum)
                }
            };
        }
        io.output(0)[0] = squares.sqrt();
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        let kernels = [&SQUARES, &SQUARES_PART, &ROOT];
        kernels.map(|kernel| (kernel, Variant::Plain)).to_vec()
    }
}
