//! Max pooling and its gradient.

use super::{Definition, Tolerance, float, operand, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, max_pool2d};

/// A square pooling window; a rest that it does not cover is left out, as in PyTorch (`ceil_mode=False`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    window: usize,
    stride: usize,
    pad: usize,
}

impl Pool2d {
    /// A `window x window` pool without padding.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if window or stride is zero.
    pub fn new(window: usize, stride: usize) -> Result<Self, ShapeError> {
        if window == 0 || stride == 0 {
            let what = "window and stride must be at least 1".to_owned();
            return Err(ShapeError::Parameter {
                op: "max_pool2d",
                what,
            });
        }
        Ok(Self {
            window,
            stride,
            pad: 0,
        })
    }

    /// The same with `pad` rows and columns of minus infinity on each side.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if the padding exceeds half the window.
    pub fn with_pad(self, pad: usize) -> Result<Self, ShapeError> {
        if 2 * pad > self.window {
            let what = format!(
                "padding {pad} must be at most half the {0}x{0} window",
                self.window
            );
            return Err(ShapeError::Parameter {
                op: "max_pool2d",
                what,
            });
        }
        Ok(Self { pad, ..self })
    }

    /// All dimensions, given those of `x [N,C,H,W]`.
    ///
    /// # Errors
    /// [`ShapeError::Operand`] if `x` has not four dimensions, [`ShapeError::Window`] if the window does not fit.
    pub fn geometry(&self, x: Shape) -> Result<PoolGeometry, ShapeError> {
        let [n, c, h, w] = x.nchw("max_pool2d", "x")?;
        let [p, q] = x.windows("max_pool2d", self.window, self.stride, self.pad)?;
        let Self {
            window,
            stride,
            pad,
        } = *self;
        Ok(PoolGeometry {
            maps: n * c,
            n,
            c,
            h,
            w,
            window,
            stride,
            pad,
            p,
            q,
        })
    }

    fn checked(&self, x: Shape) -> PoolGeometry {
        self.geometry(x)
            .expect("invariant: shapes were inferred when the node was added")
    }
}

/// Every dimension of one pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolGeometry {
    /// Maps: batch times channels.
    pub maps: usize,
    /// Batch.
    pub n: usize,
    /// Channels.
    pub c: usize,
    /// Input height.
    pub h: usize,
    /// Input width.
    pub w: usize,
    /// Side of the window.
    pub window: usize,
    /// Stride.
    pub stride: usize,
    /// Padding on each side.
    pub pad: usize,
    /// Output height.
    pub p: usize,
    /// Output width.
    pub q: usize,
}

/// `x [N,C,H,W]` -> `y [N,C,P,Q]` and `argmax [N,C,P,Q]`: where in its map (`h*W + w`) each maximum lies, the first
/// of ties in row-major order. Not-a-number counts as the largest, the last one if there are several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2d {
    pool: Pool2d,
}

/// Inputs `dy [N,C,P,Q]`, `argmax` and, if masked, `x [N,C,H,W]` -> `dx [N,C,H,W]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dBackward {
    pool: Pool2d,
    height: usize,
    width: usize,
    masked: bool,
}

impl MaxPool2d {
    /// Max pooling over `pool`.
    pub fn new(pool: Pool2d) -> Self {
        Self { pool }
    }
}

impl MaxPool2dBackward {
    /// The gradient of pooling maps of `height x width`.
    pub fn new(pool: Pool2d, height: usize, width: usize) -> Self {
        Self {
            pool,
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

    fn input(&self, dy: Shape) -> Result<Shape, ShapeError> {
        let [n, c, ..] = dy.nchw("max_pool2d.backward", "dy")?;
        Shape::new(&[n, c, self.height, self.width])
    }
}

uniforms! {
    struct PoolUniform {
        maps: u32, h: u32, w: u32, window: u32, stride: u32, pad: u32, p: u32, q: u32, masked: u32,
    }
}

impl PoolUniform {
    fn new(g: &PoolGeometry, masked: bool) -> Self {
        let [maps, h, w, window, stride, pad, p, q] =
            [g.maps, g.h, g.w, g.window, g.stride, g.pad, g.p, g.q].map(|x| x as u32);
        Self {
            maps,
            h,
            w,
            window,
            stride,
            pad,
            p,
            q,
            masked: u32::from(masked),
        }
    }
}

static FORWARD: Kernel = Kernel {
    shader: "max_pool2d",
    entry: "forward",
    bindings: &[read("x"), write("y"), write("argmax")],
    uniform: PoolUniform::FIELDS,
};

static BACKWARD: Kernel = Kernel {
    shader: "max_pool2d",
    entry: "backward",
    bindings: &[read("dy"), read("argmax_in"), read("mask"), write("dx")],
    uniform: PoolUniform::FIELDS,
};

impl Definition for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let g = self.pool.geometry(float(operands, 0, "max_pool2d", "x")?)?;
        let y = Shape::new(&[g.n, g.c, g.p, g.q])?;
        Ok(vec![(y, DType::F32), (y, DType::U32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let x = node.inputs[0];
        let [_, _, height, width] = tape.dims4(x);
        let op = MaxPool2dBackward::new(self.pool, height, width);
        let dx = tape.push1(&node.layer, op, &[dy, node.outputs[1]])?;
        tape.set_gradient(x, dx)
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let g = self.pool.checked(to.shape(node.inputs[0]));
        let bindings = [node.inputs[0], node.outputs[0], node.outputs[1]].map(|id| to.value(id));
        let uniform = PoolUniform::new(&g, false);
        to.elementwise(
            &FORWARD,
            Variant::Plain,
            uniform.words(),
            &bindings,
            g.maps * g.p * g.q,
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (shape(node.outputs[0]).len() * self.pool.window * self.pool.window) as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let g = self.pool.checked(io.shape(0));
        let x = io.input(0);
        let (y, argmax) = io.outputs_with_u32(0, 1);
        max_pool2d::forward(&g, x, y, argmax);
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}

impl Definition for MaxPool2dBackward {
    fn name(&self) -> &'static str {
        "max_pool2d.backward"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let op = "max_pool2d.backward";
        let dy = float(operands, 0, op, "dy")?;
        same(
            op,
            "argmax",
            operand(operands, 1, op, "argmax", DType::U32)?,
            dy,
        )?;
        let dx = self.input(dy)?;
        let g = self.pool.geometry(dx)?;
        same(op, "dy", dy, Shape::new(&[g.n, g.c, g.p, g.q])?)?;
        if self.masked {
            same(op, "mask", float(operands, 2, op, "mask")?, dx)?;
        }
        Ok(vec![(dx, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let dx = node.outputs[0];
        let g = self.pool.checked(to.shape(dx));
        // Every binding must name some buffer; without a mask the kernel never reads this one.
        let mask = if self.masked {
            node.inputs[2]
        } else {
            node.inputs[0]
        };
        let bindings = [node.inputs[0], node.inputs[1], mask, dx].map(|id| to.value(id));
        let uniform = PoolUniform::new(&g, self.masked);
        to.elementwise(
            &BACKWARD,
            Variant::Plain,
            uniform.words(),
            &bindings,
            g.maps * g.w,
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (shape(node.inputs[0]).len() * self.pool.window * self.pool.window) as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let input = self
            .input(io.shape(0))
            .expect("invariant: shapes were inferred");
        let g = self.pool.checked(input);
        let mask = self.masked.then(|| io.input(2));
        max_pool2d::backward(&g, io.input(0), io.input_u32(1), mask, io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-6)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&BACKWARD, Variant::Plain)]
    }
}
