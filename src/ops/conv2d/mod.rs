//! 2-D convolution: forward, gradient with respect to the input (dgrad) and to filters and bias (wgrad).
//!
//! Square filters, one stride and one padding for both axes. ReLU may ride in the epilogue of the forward pass, and
//! the ReLU mask of the layer before in that of dgrad.

pub(super) mod kernels;

pub(super) use kernels::sum_parts;

use std::fmt;

use super::{Definition, Op, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{Graph, GraphError, Node, Signature, ValueId};
use crate::plan::{Direction, Kernel, Lowering, PlanError, Variant};
use crate::reference::{Io, Real};

/// `y[n,k,p,q] = b[k] + sum_{c,r,s} x[n, c, p*u - pad + r, q*u - pad + s] * w[k,c,r,s]`, then ReLU if fused.
///
/// `x [N,C,H,W]`, `w [K,C,R,S]` and, unless it is without bias, `b [K]` -> `y [N,K,P,Q]`. Source: arXiv:1410.0759.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    filter: usize,
    stride: usize,
    pad: usize,
    biased: bool,
    relu: bool,
}

/// Input gradient of a [`Conv2d`]: inputs `dy [N,K,P,Q]`, `w [K,C,R,S]` and, if masked, `x [N,C,H,W]` -> `dx`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dDgrad {
    conv: Conv2d,
    height: usize,
    width: usize,
    masked: bool,
}

/// Filter and bias gradients of a [`Conv2d`]: inputs `x [N,C,H,W]`, `dy [N,K,P,Q]` -> `dw [K,C,R,S]` and, if it has a bias,
/// `db [K]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dWgrad {
    conv: Conv2d,
}

/// Every dimension of one convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Geometry {
    /// Batch.
    pub n: usize,
    /// Input channels.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Output channels.
    pub k: usize,
    /// Filter height and width.
    pub r: usize,
    /// Stride.
    pub stride: usize,
    /// Padding on each side.
    pub pad: usize,
    /// Output height.
    pub p: usize,
    /// Output width.
    pub q: usize,
    /// Whether a bias is added.
    pub biased: bool,
}

impl Geometry {
    /// Terms of one output: `C*R*S`.
    pub fn terms(&self) -> usize {
        self.c * self.r * self.r
    }

    /// Columns of the filter gradient's product: its terms and, with a bias, one whose input is 1.
    pub fn gradient_columns(&self) -> usize {
        self.terms() + usize::from(self.biased)
    }

    /// Pixels of one output map: `P*Q`.
    pub fn pixels(&self) -> usize {
        self.p * self.q
    }

    /// Multiplications and additions of one pass, in whichever direction.
    pub fn flops(&self) -> u64 {
        2 * (self.n * self.pixels() * self.k * self.terms()) as u64
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            n,
            c,
            h,
            w,
            k,
            r,
            stride,
            pad,
            ..
        } = self;
        write!(f, "{n}x{c}x{h}x{w} to {k}, {r}x{r}")?;
        if *stride > 1 {
            write!(f, " stride {stride}")?;
        }
        if *pad > 0 {
            write!(f, " pad {pad}")?;
        }
        Ok(())
    }
}

impl Conv2d {
    /// Which computation of which convolution a node of `graph` is, if it is one; a linear layer is one of 1x1.
    pub fn of_node(graph: &Graph, node: &Node) -> Option<(Direction, Geometry)> {
        let shape = |i: usize| graph.value(node.inputs[i]).shape;
        Some(match &node.op {
            Op::Conv2d(conv) => (
                Direction::Forward,
                conv.checked(shape(0), shape(1).dims()[0]),
            ),
            Op::Conv2dDgrad(dgrad) => (Direction::Dgrad, dgrad.checked(shape(0), shape(1))),
            Op::Conv2dWgrad(wgrad) => {
                let [_, k, ..] = shape(1).nchw("conv2d.wgrad", "dy").ok()?;
                (Direction::Wgrad, wgrad.conv.checked(shape(0), k))
            }
            op => return super::linear::computation(op, shape),
        })
    }

    /// A convolution with `filter x filter` windows.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if filter or stride is zero, or the padding as large as the filter.
    pub fn new(filter: usize, stride: usize, pad: usize) -> Result<Self, ShapeError> {
        let what = if filter == 0 || stride == 0 {
            "filter and stride must be at least 1".to_owned()
        } else if pad >= filter {
            format!("padding {pad} must be smaller than the {filter}x{filter} filter")
        } else {
            return Ok(Self {
                filter,
                stride,
                pad,
                biased: true,
                relu: false,
            });
        };
        Err(ShapeError::Parameter { op: "conv2d", what })
    }

    /// The convolution of a geometry, if that is one's.
    pub(crate) fn of(g: &Geometry) -> Option<Self> {
        let conv = Self::new(g.r, g.stride, g.pad).ok()?;
        Some(Self {
            biased: g.biased,
            ..conv
        })
    }

    /// Side of the filter.
    pub fn filter(&self) -> usize {
        self.filter
    }

    /// Whether ReLU rides in the epilogue.
    pub fn relu(&self) -> bool {
        self.relu
    }

    /// The same convolution with ReLU in its epilogue.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// Whether it adds a bias, as it does unless told otherwise.
    pub fn is_biased(&self) -> bool {
        self.biased
    }

    /// The same convolution with a bias: a third input, `b [K]`.
    #[must_use]
    pub fn with_bias(self) -> Self {
        Self {
            biased: true,
            ..self
        }
    }

    /// The same convolution without a bias: its inputs are `x` and `w`, and its only gradient of parameters is `dw`.
    #[must_use]
    pub fn without_bias(self) -> Self {
        Self {
            biased: false,
            ..self
        }
    }

    /// All dimensions, given those of `x [N,C,H,W]` and `K`.
    ///
    /// # Errors
    /// [`ShapeError::Operand`] if `x` has not four dimensions, [`ShapeError::Window`] if the filter does not fit.
    pub fn geometry(&self, x: Shape, k: usize) -> Result<Geometry, ShapeError> {
        let [n, c, h, w] = x.nchw("conv2d", "x")?;
        let [p, q] = x.windows("conv2d", self.filter, self.stride, self.pad)?;
        Ok(Geometry {
            n,
            c,
            h,
            w,
            k,
            r: self.filter,
            stride: self.stride,
            pad: self.pad,
            p,
            q,
            biased: self.biased,
        })
    }

    /// The geometry of a node whose shapes were inferred.
    fn checked(&self, x: Shape, k: usize) -> Geometry {
        self.geometry(x, k)
            .expect("invariant: shapes were inferred when the node was added")
    }
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
        self.conv
            .geometry(Shape::new(&[n, c, self.height, self.width])?, k)
    }

    fn checked(&self, dy: Shape, w: Shape) -> Geometry {
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

impl Definition for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, "conv2d", "x")?;
        let w = float(operands, 1, "conv2d", "w")?;
        if operands.len() != 2 + usize::from(self.biased) {
            let inputs = if self.biased { "x, w and b" } else { "x and w" };
            let what = format!("its inputs are {inputs}, got {}", operands.len());
            return Err(ShapeError::Parameter { op: "conv2d", what });
        }
        let [_, c, ..] = x.nchw("conv2d", "x")?;
        let [k, wc, r, s] = w.nchw("conv2d", "w")?;
        if [wc, r, s] != [c, self.filter, self.filter] {
            let want = format!("{k}x{c}x{0}x{0}", self.filter);
            return Err(w.mismatch("conv2d", "w", want));
        }
        if self.biased {
            let b = float(operands, 2, "conv2d", "b")?;
            same("conv2d", "b", b, Shape::new(&[k])?)?;
        }
        let g = self.geometry(x, k)?;
        Ok(vec![(Shape::new(&[g.n, g.k, g.p, g.q])?, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let conv = Self {
            relu: false,
            ..*self
        };
        let dz = if self.relu {
            tape.push1(&node.layer, super::ReluBackward, &[dy, node.outputs[0]])?
        } else {
            dy
        };
        let (x, w) = (node.inputs[0], node.inputs[1]);
        let parameters = &node.inputs[1..];
        if parameters.iter().any(|&parameter| tape.wants(parameter)) {
            let gradients = tape.push(&node.layer, Conv2dWgrad::new(conv), &[x, dz])?;
            for (&parameter, gradient) in parameters.iter().zip(gradients) {
                tape.set_gradient(parameter, gradient)?;
            }
        }
        if tape.wants(x) {
            let [_, _, height, width] = tape.dims4(x);
            let dx = tape.push1(&node.layer, Conv2dDgrad::new(conv, height, width), &[dz, w])?;
            tape.set_gradient(x, dx)?;
        }
        Ok(())
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let [x, w] = [node.inputs[0], node.inputs[1]];
        let g = self.checked(to.shape(x), to.shape(w).dims()[0]);
        let [x, w] = [x, w].map(|id| to.value(id));
        let b = self.biased.then(|| to.value(node.inputs[2]));
        let y = to.value(node.outputs[0]);
        kernels::forward(to, &g, self.relu, [x, w], b, y)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        self.checked(shape(node.inputs[0]), shape(node.inputs[1]).dims()[0])
            .flops()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let g = self.checked(io.shape(0), io.shape(1).dims()[0]);
        let b = self.biased.then(|| io.input(2));
        T::conv2d_forward(&g, self.relu, io.input(0), io.input(1), b, io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-4)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        kernels::variants(Direction::Forward)
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
        T::conv2d_dgrad(&g, io.input(0), io.input(1), mask, io.output(0));
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
        let mut gradients = vec![(Shape::new(&[g.k, g.c, g.r, g.r])?, DType::F32)];
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
        if g.biased {
            let (dw, db) = io.outputs2(0, 1);
            T::conv2d_wgrad(&g, x, dy, dw, Some(db));
        } else {
            T::conv2d_wgrad(&g, x, dy, io.output(0), None);
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-3)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        kernels::variants(Direction::Wgrad)
    }
}
