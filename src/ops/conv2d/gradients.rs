//! The gradients of a convolution: with respect to its input, and to its filters and bias.

use super::{Conv2d, Geometry, kernels};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::ops::{Definition, Tolerance, float, same};
use crate::plan::{Direction, Kernel, Lowering, PlanError, Variant};
use crate::reference::{Io, Real};

/// Input gradient of a [`Conv2d`]: inputs `dy [N,K,P,Q]`, `w [K,C/G,R,S]` and, if masked, `x [N,C,H,W]` -> `dx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dDgrad {
    conv: Conv2d,
    height: usize,
    width: usize,
    masked: bool,
}

/// Filter and bias gradients of a [`Conv2d`]: inputs `x [N,C,H,W]`, `dy [N,K,P,Q]` -> `dw [K,C/G,R,S]` and, if it has a bias,
/// `db [K]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dWgrad {
    pub(super) conv: Conv2d,
}

impl Conv2dDgrad {
    /// The input gradient of `conv` for inputs of `height x width`.
    pub fn new(conv: Conv2d, height: usize, width: usize) -> Self {
        Self {
            conv,
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

    fn geometry(&self, dy: Shape, w: Shape) -> Result<Geometry, ShapeError> {
        let [n, ..] = dy.nchw("conv2d.dgrad", "dy")?;
        let [k, c, ..] = w.nchw("conv2d.dgrad", "w")?;
        let c = c * self.conv.groups;
        self.conv
            .geometry(Shape::new(&[n, c, self.height, self.width])?, k)
    }

    pub(super) fn checked(&self, dy: Shape, w: Shape) -> Geometry {
        self.geometry(dy, w)
            .expect("invariant: shapes were inferred when the node was added")
    }
}

impl Conv2dWgrad {
    /// The filter and bias gradients of `conv`.
    pub fn new(conv: Conv2d) -> Self {
        Self { conv }
    }
}

impl Definition for Conv2dDgrad {
    fn name(&self) -> &'static str {
        "conv2d.dgrad"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let dy = float(operands, 0, "conv2d.dgrad", "dy")?;
        let w = float(operands, 1, "conv2d.dgrad", "w")?;
        let g = self.geometry(dy, w)?;
        same("conv2d.dgrad", "w", w, self.conv.filters(g.c, g.k)?)?;
        same("conv2d.dgrad", "dy", dy, Shape::new(&[g.n, g.k, g.p, g.q])?)?;
        let dx = Shape::new(&[g.n, g.c, g.h, g.w])?;
        if self.masked {
            same(
                "conv2d.dgrad",
                "mask",
                float(operands, 2, "conv2d.dgrad", "mask")?,
                dx,
            )?;
        }
        Ok(vec![(dx, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let g = self.checked(to.shape(node.inputs[0]), to.shape(node.inputs[1]));
        let [dy, w] = [0, 1].map(|i| to.value(node.inputs[i]));
        let mask = self.masked.then(|| to.value(node.inputs[2]));
        let dx = to.value(node.outputs[0]);
        kernels::dgrad(to, &g, [dy, w], mask, dx)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        self.checked(shape(node.inputs[0]), shape(node.inputs[1]))
            .flops()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let g = self.checked(io.shape(0), io.shape(1));
        let mask = self.masked.then(|| io.input(2));
        let how = std::mem::take(io.convolving());
        T::conv2d_dgrad(&g, &how, io.input(0), io.input(1), mask, io.output(0));
        *io.convolving() = how;
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-4)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        kernels::variants(Direction::Dgrad)
    }
}

impl Definition for Conv2dWgrad {
    fn name(&self) -> &'static str {
        "conv2d.wgrad"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, "conv2d.wgrad", "x")?;
        let dy = float(operands, 1, "conv2d.wgrad", "dy")?;
        let [_, k, ..] = dy.nchw("conv2d.wgrad", "dy")?;
        let g = self.conv.geometry(x, k)?;
        same("conv2d.wgrad", "dy", dy, Shape::new(&[g.n, g.k, g.p, g.q])?)?;
        let mut gradients = vec![(self.conv.filters(g.c, g.k)?, DType::F32)];
        if g.biased {
            gradients.push((Shape::new(&[g.k])?, DType::F32));
        }
        Ok(gradients)
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let k = to.shape(node.outputs[0]).dims()[0];
        let g = self.conv.checked(to.shape(node.inputs[0]), k);
        let [x, dy] = [0, 1].map(|i| to.value(node.inputs[i]));
        let dw = to.value(node.outputs[0]);
        let db = g.biased.then(|| to.value(node.outputs[1]));
        kernels::wgrad(to, &g, [x, dy], dw, db)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        self.conv
            .checked(shape(node.inputs[0]), shape(node.outputs[0]).dims()[0])
            .flops()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let [_, k, ..] = io
            .shape(1)
            .nchw(self.name(), "dy")
            .expect("invariant: shape was inferred");
        let g = self.conv.checked(io.shape(0), k);
        let (x, dy) = (io.input(0), io.input(1));
        let how = std::mem::take(io.convolving());
        if g.biased {
            let (dw, db) = io.outputs2(0, 1);
            T::conv2d_wgrad(&g, &how, x, dy, dw, Some(db));
        } else {
            T::conv2d_wgrad(&g, &how, x, dy, io.output(0), None);
        }
        *io.convolving() = how;
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-3)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        kernels::variants(Direction::Wgrad)
    }
}
