//! Average pooling and its gradient.

use super::{Definition, Divisor, Pool2d, PoolGeometry, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, write};
use crate::reference::{Io, Real, avg_pool2d};

/// `x [N,C,H,W]` -> `y [N,C,P,Q]`: the mean of each window. Padding counts as zeros, as in PyTorch, unless it is left out
/// of the count; what a window of `ceil_mode` has beyond the padding never counts. Or its sum by a divisor of one's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2d {
    pool: Pool2d,
    divisor: Divisor,
}

/// Inputs `dy [N,C,P,Q]` and, if masked, `x [N,C,H,W]` -> `dx [N,C,H,W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AvgPool2dBackward {
    forward: AvgPool2d,
    height: usize,
    width: usize,
    masked: bool,
}

impl AvgPool2d {
    /// Average pooling over `pool`.
    pub fn new(pool: Pool2d) -> Self {
        Self {
            pool,
            divisor: Divisor::Padded,
        }
    }

    /// Its windows.
    pub fn pool(&self) -> Pool2d {
        self.pool
    }

    /// The same, each mean being of what lies on the map alone: PyTorch's `count_include_pad=False`.
    #[must_use]
    pub fn without_padding_in_count(self) -> Self {
        Self {
            divisor: Divisor::OnMap,
            ..self
        }
    }

    /// The same, but each sum is divided by `divisor`, however many elements the window has: PyTorch's `divisor_override`. By 1
    /// it is sum pooling.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if it is zero.
    pub fn with_divisor(self, divisor: i32) -> Result<Self, ShapeError> {
        if divisor == 0 {
            return Err(ShapeError::Parameter {
                op: "avg_pool2d",
                what: "the divisor must not be zero".to_owned(),
            });
        }
        Ok(Self {
            divisor: Divisor::Fixed(divisor),
            ..self
        })
    }
}

impl AvgPool2dBackward {
    /// The gradient of `forward` over maps of `height x width`.
    pub fn new(forward: AvgPool2d, height: usize, width: usize) -> Self {
        Self {
            forward,
            height,
            width,
            masked: false,
        }
    }

    /// The same with the mask `x > 0` in its epilogue.
    #[must_use]
    pub fn with_mask(self) -> Self {
        Self {
            masked: true,
            ..self
        }
    }

    fn input(&self, dy: Shape) -> Result<Shape, ShapeError> {
        let [n, c, ..] = dy.nchw("avg_pool2d.backward", "dy")?;
        Shape::new(&[n, c, self.height, self.width])
    }
}

static FORWARD: Kernel = Kernel {
    shader: "avg_pool2d",
    entry: "forward",
    bindings: &[read("x"), write("y")],
    uniform: PoolGeometry::FIELDS,
};

static BACKWARD: Kernel = Kernel {
    shader: "avg_pool2d",
    entry: "backward",
    bindings: &[read("dy"), read("mask"), write("dx")],
    uniform: PoolGeometry::FIELDS,
};

impl Definition for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let g = self.pool.geometry(float(operands, 0, "avg_pool2d", "x")?)?;
        Ok(vec![(Shape::new(&[g.n, g.c, g.p, g.q])?, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let x = node.inputs[0];
        let [_, _, height, width] = tape.dims4(x);
        let op = AvgPool2dBackward::new(*self, height, width);
        let dx = tape.push1(&node.layer, op, &[dy])?;
        tape.set_gradient(x, dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let g = self.pool.checked(to.shape(node.inputs[0]));
        let bindings = [to.value(node.inputs[0]), to.value(node.outputs[0])];
        let words = g.words(self.divisor, false);
        let len = g.maps * g.p * g.q;
        to.elementwise(&FORWARD, Variant::Plain, words, &bindings, len)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (shape(node.outputs[0]).len() * self.pool.window_len()) as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let g = self.pool.checked(io.shape(0));
        avg_pool2d::forward(&g, self.divisor, io.input(0), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}

impl Definition for AvgPool2dBackward {
    fn name(&self) -> &'static str {
        "avg_pool2d.backward"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = "avg_pool2d.backward";
        let dy = float(operands, 0, op, "dy")?;
        let dx = self.input(dy)?;
        let g = self.forward.pool.geometry(dx)?;
        same(op, "dy", dy, Shape::new(&[g.n, g.c, g.p, g.q])?)?;
        if self.masked {
            same(op, "mask", float(operands, 1, op, "mask")?, dx)?;
        }
        Ok(vec![(dx, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let dx = node.outputs[0];
        let len = to.shape(dx).len();
        let g = self.forward.pool.checked(to.shape(dx));
        // Every binding must name some buffer; without a mask the kernel never reads this one.
        let mask = node.inputs[usize::from(self.masked)];
        let bindings = [node.inputs[0], mask, dx].map(|id| to.value(id));
        let words = g.words(self.forward.divisor, self.masked);
        to.elementwise(&BACKWARD, Variant::Plain, words, &bindings, len)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (shape(node.inputs[0]).len() * self.forward.pool.window_len()) as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let input = self
            .input(io.shape(0))
            .expect("invariant: shapes were inferred");
        let g = self.forward.pool.checked(input);
        let mask = self.masked.then(|| io.input(1));
        avg_pool2d::backward(&g, self.forward.divisor, io.input(0), mask, io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&BACKWARD, Variant::Plain)]
    }
}
