//! Max pooling and its gradient.

use super::{Definition, Divisor, Pool2d, PoolGeometry, Tolerance, float, operand, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Binding, Kernel, Lowering, PlanError, Variant, read, uniforms, write};
use crate::reference::{Io, Real, max_pool2d};

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
    struct SquareUniform {
        maps: u32, h: u32, w: u32, window: u32, stride: u32, pad: u32, p: u32, q: u32, masked: u32,
    }
}

/// Square windows have kernels of their own, which divide less.
struct Kernels {
    square: Kernel,
    general: Kernel,
}

impl Kernels {
    /// The kernel for `g`, and its uniform struct's words.
    fn choose(&'static self, g: &PoolGeometry, masked: bool) -> (&'static Kernel, Vec<u32>) {
        let Some([window, stride, pad]) = g.square() else {
            return (&self.general, g.words(Divisor::OnMap, masked));
        };
        let [maps, h, w, window, stride, pad, p, q] =
            [g.maps, g.h, g.w, window, stride, pad, g.p, g.q].map(|x| x as u32);
        let uniform = SquareUniform {
            maps,
            h,
            w,
            window,
            stride,
            pad,
            p,
            q,
            masked: u32::from(masked),
        };
        (&self.square, uniform.words())
    }

    fn all(&'static self) -> Vec<(&'static Kernel, Variant)> {
        [&self.square, &self.general]
            .map(|kernel| (kernel, Variant::Plain))
            .to_vec()
    }
}

const fn kernels(entry: &'static str, bindings: &'static [Binding]) -> Kernels {
    Kernels {
        square: Kernel {
            shader: "max_pool2d",
            entry,
            bindings,
            uniform: SquareUniform::FIELDS,
        },
        general: Kernel {
            shader: "max_pool2d_general",
            entry,
            bindings,
            uniform: PoolGeometry::FIELDS,
        },
    }
}

static FORWARD: Kernels = kernels("forward", &[read("x"), write("y"), write("argmax")]);

/// Rows that an invocation of the gradient walks down, as in the shader.
const STRIP: usize = 8;

/// Rows of the output that an invocation of `VALUES` walks down, as in the shader.
const STRIP_OUT: usize = 4;

/// Without places, where nobody reads them.
static VALUES: Kernel = Kernel {
    shader: "max_pool2d",
    entry: "values",
    bindings: &[read("x"), write("y")],
    uniform: SquareUniform::FIELDS,
};

/// Whether [`VALUES`] can serve: a row lies in two windows at most.
fn overlaps_once(g: &PoolGeometry) -> bool {
    g.square()
        .is_some_and(|[window, stride, _]| window <= 2 * stride)
}

static BACKWARD: Kernels = kernels(
    "backward",
    &[read("dy"), read("argmax_in"), read("mask"), write("dx")],
);

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
        let (kernel, words) = FORWARD.choose(&g, false);
        if overlaps_once(&g) && to.is_unread(node.outputs[1]) {
            let strips = g.maps * g.p.div_ceil(STRIP_OUT) * g.q;
            return to.elementwise(&VALUES, Variant::Plain, words, &bindings[..2], strips);
        }
        to.elementwise(kernel, Variant::Plain, words, &bindings, g.maps * g.p * g.q)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (shape(node.outputs[0]).len() * self.pool.window_len()) as u64
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
        let mut all = FORWARD.all();
        all.push((&VALUES, Variant::Plain));
        all
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
        let (kernel, words) = BACKWARD.choose(&g, self.masked);
        // A strip of a column each, or else a pixel.
        let rows = match g.square() {
            Some(_) => g.h.div_ceil(STRIP),
            None => g.h,
        };
        to.elementwise(
            kernel,
            Variant::Plain,
            words,
            &bindings,
            g.maps * rows * g.w,
        )
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (shape(node.inputs[0]).len() * self.pool.window_len()) as u64
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
        BACKWARD.all()
    }
}
