//! Linear layers: forward, gradient with respect to the input (dgrad) and to weights and bias (wgrad).
//!
//! On a GPU they are 1x1 convolutions over images of one pixel, so every algorithm of convolutions serves them. ReLU may ride
//! in the epilogue of the forward pass, and the ReLU mask of the layer before in that of dgrad.
//!
//! Weights above the device's largest binding lie in pages of some rows each. Of `y` and `dy` a page has its columns, which
//! are copied in and out; what the pages add to `dx` is summed in their order.

use super::conv2d::kernels;
use super::{Conv2d, Definition, Geometry, Tolerance, add, concat, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Direction, Kernel, Lowering, Page, PlanError, Region, Variant};
use crate::reference::{Io, Real, linear};

/// `y[n,k] = b[k] + sum_c x[n,c] w[k,c]`, then ReLU if fused.
///
/// `x [N,C]` (or `[N,C,1,1]`), `w [K,C]`, `b [K]` unless without bias -> `y [N,K]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    bias: bool,
    relu: bool,
}

/// Input gradient of a [`Linear`]: inputs `dy [N,K]`, `w [K,C]` and, if masked, `x` -> `dx` of the shape of `x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearDgrad {
    x: Shape,
    masked: bool,
}

/// Weight and bias gradients of a [`Linear`]: inputs `x [N,C]`, `dy [N,K]` -> `dw [K,C]`, `db [K]` unless without bias; or `db`
/// alone, where the weight is frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinearWgrad {
    weight: bool,
    bias: bool,
}

impl Default for Linear {
    /// With a bias.
    fn default() -> Self {
        Self {
            bias: true,
            relu: false,
        }
    }
}

impl Linear {
    /// The same without a bias.
    pub fn without_bias(self) -> Self {
        Self {
            bias: false,
            ..self
        }
    }

    /// Whether it has a bias.
    pub fn has_bias(&self) -> bool {
        self.bias
    }

    /// Whether ReLU rides in the epilogue.
    pub fn relu(&self) -> bool {
        self.relu
    }

    /// The same layer with ReLU in its epilogue.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }
}

impl LinearDgrad {
    /// The input gradient for inputs of the shape `x`.
    pub fn new(x: Shape) -> Self {
        Self { x, masked: false }
    }

    /// The same with the mask `x > 0` in its epilogue.
    pub fn with_mask(self) -> Self {
        Self {
            masked: true,
            ..self
        }
    }
}

impl LinearWgrad {
    /// The gradients of the parameters of `linear`.
    pub fn new(linear: Linear) -> Self {
        Self {
            weight: true,
            bias: linear.bias,
        }
    }

    /// The gradient of a bias alone.
    pub fn of_bias() -> Self {
        Self {
            weight: false,
            bias: true,
        }
    }

    /// Whether it is that of the weight too.
    pub fn has_weight(self) -> bool {
        self.weight
    }

    /// `[N,C,K]` of the layer: for a bias alone any input will do, and the least has one feature.
    fn sizes(self, x: Shape, dy: Shape) -> [usize; 3] {
        let c = if self.weight { x.dims()[1] } else { 1 };
        [dy.dims()[0], c, dy.dims()[1]]
    }
}

/// `[N,C]` of an input, whose further dimensions are 1.
fn features(op: &'static str, x: Shape) -> Result<[usize; 2], ShapeError> {
    match *x.dims() {
        [n, c, ref rest @ ..] if rest.iter().all(|&side| side == 1) => Ok([n, c]),
        _ => Err(x.mismatch(op, "x", "[N,C] or [N,C,1,1]; flatten it first")),
    }
}

fn matrix(op: &'static str, what: &'static str, x: Shape) -> Result<[usize; 2], ShapeError> {
    match *x.dims() {
        [rows, columns] => Ok([rows, columns]),
        _ => Err(x.mismatch(op, what, "two dimensions")),
    }
}

/// The 1x1 convolution over images of one pixel that a linear layer is, of `[N,C,K]`.
fn geometry([n, c, k]: [usize; 3], biased: bool) -> Geometry {
    let pointwise = Conv2d::new(1, 1, 0).map(|conv| match biased {
        true => conv,
        false => conv.without_bias(),
    });
    let geometry = pointwise.and_then(|conv| conv.geometry(Shape::new(&[n, c, 1, 1])?, k));
    geometry.expect("invariant: shapes were inferred when the node was added")
}

/// Which computation of which convolution a node of these inputs and outputs is.
pub(super) fn computation(
    op: &super::Op,
    shape: impl Fn(usize) -> Shape,
) -> Option<(Direction, Geometry)> {
    let second = |i: usize| shape(i).dims()[1];
    let [n, ..] = *shape(0).dims() else {
        return None;
    };
    Some(match op {
        super::Op::Linear(linear) => (
            Direction::Forward,
            geometry([n, second(0), shape(1).dims()[0]], linear.bias),
        ),
        super::Op::LinearDgrad(_) => (Direction::Dgrad, geometry([n, second(1), second(0)], true)),
        super::Op::LinearWgrad(wgrad) => {
            let sizes = wgrad.sizes(shape(0), shape(1));
            (Direction::Wgrad, geometry(sizes, wgrad.bias))
        }
        _ => return None,
    })
}

/// Elements of a vector that belong to the rows of a page.
fn rows_of(vector: Region, page: &Page) -> Region {
    Region {
        offset: vector.offset + DType::F32.bytes(page.first),
        bytes: DType::F32.bytes(page.rows),
        ..vector
    }
}

/// The columns of `dy [N,K]` that belong to a page, in memory of their own unless they are all.
fn columns_of(
    to: &mut Lowering<'_>,
    dy: Region,
    [n, k]: [usize; 2],
    page: &Page,
) -> Result<Region, PlanError> {
    if page.rows == k {
        return Ok(dy);
    }
    let part = to.scratch("dy", n * page.rows);
    let layout = [page.rows, k, page.first];
    concat::split(to, [dy, part], n * page.rows, layout)?;
    to.set_flops(0);
    Ok(part)
}

impl Definition for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let [n, c] = features("linear", float(operands, 0, "linear", "x")?)?;
        let w = float(operands, 1, "linear", "w")?;
        let [k, wc] = matrix("linear", "w", w)?;
        if wc != c {
            return Err(w.mismatch("linear", "w", format!("{k}x{c}")));
        }
        if self.bias {
            let b = float(operands, 2, "linear", "b")?;
            same("linear", "b", b, Shape::new(&[k])?)?;
        }
        Ok(vec![(Shape::new(&[n, k])?, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let dz = if self.relu {
            tape.push1(&node.layer, super::ReluBackward, &[dy, node.outputs[0]])?
        } else {
            dy
        };
        let (x, w) = (node.inputs[0], node.inputs[1]);
        if tape.wants(w) {
            let grads = tape.push(&node.layer, LinearWgrad::new(*self), &[x, dz])?;
            for (&parameter, gradient) in node.inputs[1..].iter().zip(grads) {
                tape.set_gradient(parameter, gradient)?;
            }
        } else if let Some(&b) = node.inputs.get(2).filter(|&&b| tape.wants(b)) {
            let db = tape.push1(&node.layer, LinearWgrad::of_bias(), &[x, dz])?;
            tape.set_gradient(b, db)?;
        }
        if tape.wants(x) {
            let dx = tape.push1(&node.layer, LinearDgrad::new(tape.shape(x)), &[dz, w])?;
            tape.set_gradient(x, dx)?;
        }
        Ok(())
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let [n, k] = [0, 1].map(|i| to.shape(node.outputs[0]).dims()[i]);
        let c = to.shape(node.inputs[1]).dims()[1];
        let [x, y] = [node.inputs[0], node.outputs[0]].map(|id| to.value(id));
        let b = node.inputs.get(2).map(|&b| to.value(b));
        for page in to.pages(node.inputs[1]) {
            let g = geometry([n, c, page.rows], self.bias);
            if page.rows == k {
                return kernels::forward(to, &g, self.relu, [x, page.region], b, y);
            }
            let part = to.scratch("y", n * page.rows);
            let b = b.map(|b| rows_of(b, &page));
            kernels::forward(to, &g, self.relu, [x, page.region], b, part)?;
            let layout = [page.rows, k, page.first];
            concat::join(to, [part, y], n * page.rows, layout)?;
            to.set_flops(0);
        }
        Ok(())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        2 * (shape(node.outputs[0]).dims()[0] * shape(node.inputs[1]).len()) as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let sizes = [
            io.shape(0).dims()[0],
            io.shape(1).dims()[1],
            io.shape(1).dims()[0],
        ];
        let b = self.bias.then(|| io.input(2));
        linear::forward(sizes, self.relu, io.input(0), io.input(1), b, io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-4)
    }

    /// None of its own: they are those of [`Conv2d`].
    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        Vec::new()
    }
}

impl Definition for LinearDgrad {
    fn name(&self) -> &'static str {
        "linear.dgrad"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let [n, c] = features("linear.dgrad", self.x)?;
        let w = float(operands, 1, "linear.dgrad", "w")?;
        let [k, wc] = matrix("linear.dgrad", "w", w)?;
        if wc != c {
            return Err(w.mismatch("linear.dgrad", "w", format!("{k}x{c}")));
        }
        let dy = float(operands, 0, "linear.dgrad", "dy")?;
        same("linear.dgrad", "dy", dy, Shape::new(&[n, k])?)?;
        if self.masked {
            let mask = float(operands, 2, "linear.dgrad", "mask")?;
            same("linear.dgrad", "mask", mask, self.x)?;
        }
        Ok(vec![(self.x, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let [n, k] = [0, 1].map(|i| to.shape(node.inputs[0]).dims()[i]);
        let c = to.shape(node.inputs[1]).dims()[1];
        let [dy, dx] = [node.inputs[0], node.outputs[0]].map(|id| to.value(id));
        let mask = self.masked.then(|| to.value(node.inputs[2]));
        let mut sum = None;
        for page in to.pages(node.inputs[1]) {
            let g = geometry([n, c, page.rows], true);
            let dy = columns_of(to, dy, [n, k], &page)?;
            if page.rows == k {
                return kernels::dgrad(to, &g, [dy, page.region], mask, dx);
            }
            let part = to.scratch("dx", n * c);
            kernels::dgrad(to, &g, [dy, page.region], None, part)?;
            let Some(before) = sum.replace(part) else {
                continue;
            };
            let is_last = page.first + page.rows == k;
            let (mask, y) = match is_last {
                true => (mask, dx),
                false => (None, to.scratch("sum", n * c)),
            };
            add::sum(to, [before, part, y], false, mask, n * c)?;
            to.set_flops(0);
            sum = Some(y);
        }
        Ok(())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        2 * (shape(node.inputs[0]).dims()[0] * shape(node.inputs[1]).len()) as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let sizes = [
            io.shape(0).dims()[0],
            io.shape(1).dims()[1],
            io.shape(1).dims()[0],
        ];
        let mask = self.masked.then(|| io.input(2));
        linear::dgrad(sizes, io.input(0), io.input(1), mask, io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-4)
    }

    /// None of its own: they are those of [`Conv2dDgrad`](super::Conv2dDgrad), [`Add`](super::Add) and
    /// [`ConcatBackward`](super::ConcatBackward).
    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        Vec::new()
    }
}

impl Definition for LinearWgrad {
    fn name(&self) -> &'static str {
        "linear.wgrad"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let [n, c] = features("linear.wgrad", float(operands, 0, "linear.wgrad", "x")?)?;
        let dy = float(operands, 1, "linear.wgrad", "dy")?;
        let [rows, k] = matrix("linear.wgrad", "dy", dy)?;
        if rows != n {
            return Err(dy.mismatch("linear.wgrad", "dy", format!("{n}x{k}")));
        }
        let mut outputs = Vec::new();
        if self.weight {
            outputs.push((Shape::new(&[k, c])?, DType::F32));
        }
        if self.bias {
            outputs.push((Shape::new(&[k])?, DType::F32));
        }
        Ok(outputs)
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let [n, c, k] = self.sizes(to.shape(node.inputs[0]), to.shape(node.inputs[1]));
        let [x, dy] = [0, 1].map(|i| to.value(node.inputs[i]));
        if !self.weight {
            let g = geometry([n, c, k], true);
            let (db, unused) = (to.value(node.outputs[0]), to.scratch("dw", k));
            return kernels::wgrad(to, &g, [x, dy], unused, Some(db));
        }
        let db = node.outputs.get(1).map(|&db| to.value(db));
        for page in to.pages(node.outputs[0]) {
            let g = geometry([n, c, page.rows], self.bias);
            let dy = columns_of(to, dy, [n, k], &page)?;
            let db = db.map(|db| rows_of(db, &page));
            kernels::wgrad(to, &g, [x, dy], page.region, db)?;
        }
        Ok(())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        let [n, c, k] = self.sizes(shape(node.inputs[0]), shape(node.inputs[1]));
        2 * (n * c * k) as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let sizes = self.sizes(io.shape(0), io.shape(1));
        let (x, dy) = (io.input(0), io.input(1));
        if self.weight {
            linear::wgrad(sizes, x, dy, io.output(0));
        }
        if self.bias {
            linear::bias_gradient(dy, io.output(usize::from(self.weight)));
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-3)
    }

    /// None of its own: they are those of [`Conv2dWgrad`](super::Conv2dWgrad) and [`ConcatBackward`](super::ConcatBackward).
    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        Vec::new()
    }
}
