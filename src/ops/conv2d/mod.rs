//! 2-D convolution: forward, gradient with respect to the input (dgrad) and to filters and bias (wgrad).
//!
//! Filters, strides, dilations and paddings of any kind, in groups. ReLU may ride in the epilogue of the forward pass, and
//! the ReLU mask of the layer before in that of dgrad.

mod geometry;
mod gradients;
pub(super) mod kernels;
#[cfg(test)]
mod tests;
pub(crate) mod winograd;

pub(crate) use kernels::JOINED;
pub(super) use kernels::sum_parts;

pub use geometry::Geometry;
pub use gradients::{Conv2dDgrad, Conv2dWgrad};

use super::{Definition, Op, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{Graph, GraphError, Node, Signature, ValueId};
use crate::plan::{Direction, Kernel, Lowering, PlanError, Variant};
use crate::reference::{Io, Real};

/// `y[n,k,p,q] = b[k] + sum_{c,r,s} x[n, c, p*u - pad + r*d, q*u - pad + s*d] * w[k,c,r,s]`, then ReLU if fused.
///
/// `x [N,C,H,W]`, `w [K,C/G,R,S]` and, unless it is without bias, `b [K]` -> `y [N,K,P,Q]`. With `G` groups, filter `k` sees
/// the `C/G` channels of its group, of which the first `K/G` filters make the first. Source: arXiv:1410.0759.
///
/// An infinite or no number in an operand, here and in both gradients, is never lost: whatever sums it is infinite or none. It
/// stays within its image, and in `w` and `dy` within its filter. Kernels of packed panels may spoil besides what sees it in the
/// padding alone, since 0 times infinity is no number, and Winograd's whole tiles; those that sum the terms as they are do not.
///
/// ```
/// use nin_wgpu::ops::Conv2d;
/// use nin_wgpu::shape::Shape;
///
/// let depthwise = Conv2d::new(3, 2, 1)?.with_groups(8)?.without_bias();
/// let wide = Conv2d::rectangular([1, 7], [1, 1])?.with_padding([0, 3])?;
/// let x = Shape::new(&[16, 8, 12, 10])?;
/// assert_eq!([depthwise.geometry(x, 8)?.p, wide.geometry(x, 4)?.q], [6, 10]);
/// # Ok::<(), nin_wgpu::shape::ShapeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    filter: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    pad: [[usize; 2]; 2],
    groups: usize,
    biased: bool,
    relu: bool,
}

/// The largest side, stride, dilation or padding: positions then keep within the 32 bits of a shader's index.
const LARGEST: usize = 65_535;

fn refuse(what: impl Into<String>) -> ShapeError {
    ShapeError::Parameter {
        op: "conv2d",
        what: what.into(),
    }
}

/// Refuses a hyper-parameter that is zero or too large.
fn in_range(name: &str, values: [usize; 2]) -> Result<(), ShapeError> {
    if values.iter().all(|value| (1..=LARGEST).contains(value)) {
        return Ok(());
    }
    let [down, across] = values;
    Err(refuse(format!(
        "{name} must be 1 to {LARGEST}, got {down}x{across}"
    )))
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

    /// A convolution with `filter x filter` windows, `pad` rows and columns of zeros on each side, and a bias.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if filter or stride is zero, or one of the three above 65,535.
    pub fn new(filter: usize, stride: usize, pad: usize) -> Result<Self, ShapeError> {
        Self::rectangular([filter; 2], [stride; 2])?.with_pad(pad)
    }

    /// A convolution with filters of `filter` rows and columns, `stride` rows and columns apart, without padding, with a bias.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if a side of filter or stride is zero or above 65,535.
    pub fn rectangular(filter: [usize; 2], stride: [usize; 2]) -> Result<Self, ShapeError> {
        in_range("filter", filter)?;
        in_range("stride", stride)?;
        Ok(Self {
            filter,
            stride,
            dilation: [1; 2],
            pad: [[0; 2]; 2],
            groups: 1,
            biased: true,
            relu: false,
        })
    }

    /// The same with `pad` rows and columns of zeros on each side.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if it is above 65,535.
    pub fn with_pad(self, pad: usize) -> Result<Self, ShapeError> {
        self.with_padding([pad; 2])
    }

    /// The same with `pad[0]` rows of zeros above and below and `pad[1]` columns on the left and right.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if one is above 65,535.
    pub fn with_padding(self, pad: [usize; 2]) -> Result<Self, ShapeError> {
        self.with_paddings(pad.map(|both| [both; 2]))
    }

    /// The same with rows of zeros `[above, below]` and columns `[on the left, on the right]`.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if one is above 65,535.
    pub fn with_paddings(self, pad: [[usize; 2]; 2]) -> Result<Self, ShapeError> {
        if pad.as_flattened().iter().any(|&pad| pad > LARGEST) {
            return Err(refuse(format!("padding must be at most {LARGEST}")));
        }
        Ok(Self { pad, ..self })
    }

    /// The same with `dilation` rows and columns from one of a filter's elements to the next.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if one is zero or above 65,535.
    pub fn with_dilation(self, dilation: [usize; 2]) -> Result<Self, ShapeError> {
        in_range("dilation", dilation)?;
        Ok(Self { dilation, ..self })
    }

    /// The same in `groups` groups of channels and as many of filters, which know nothing of each other; as many as there are
    /// channels make it depthwise.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if there are none.
    pub fn with_groups(self, groups: usize) -> Result<Self, ShapeError> {
        if groups == 0 {
            return Err(refuse("there must be at least 1 group"));
        }
        Ok(Self { groups, ..self })
    }

    /// The convolution of a geometry, if that is one's.
    pub(crate) fn of(g: &Geometry) -> Option<Self> {
        let conv = Self::rectangular([g.r, g.s], g.stride).ok()?;
        let conv = conv.with_dilation(g.dilation).ok()?;
        let conv = conv.with_paddings(g.pad).ok()?.with_groups(g.groups).ok()?;
        Some(Self {
            biased: g.biased,
            ..conv
        })
    }

    /// Rows and columns of the filter.
    pub fn filter(&self) -> [usize; 2] {
        self.filter
    }

    /// From one filter element to the next, down and across.
    pub fn dilation(&self) -> [usize; 2] {
        self.dilation
    }

    /// How many groups channels and filters come in.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Rows and columns that a filter reaches over, the gaps of its dilation among them.
    pub fn extent(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.filter[axis] - 1) * self.dilation[axis] + 1)
    }

    /// The shape of `k` filters over `c` channels: `[K,C/G,R,S]`.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if the groups divide one of them with a rest.
    pub fn filters(&self, c: usize, k: usize) -> Result<Shape, ShapeError> {
        for (count, what) in [(c, "input"), (k, "output")] {
            if !count.is_multiple_of(self.groups) {
                return Err(refuse(format!(
                    "{} groups do not divide {count} {what} channels; take a number that divides both",
                    self.groups
                )));
            }
        }
        let [r, s] = self.filter;
        Shape::new(&[k, c / self.groups, r, s])
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
    /// [`ShapeError::Operand`] if `x` has not four dimensions, [`ShapeError::Window`] if the filter does not fit,
    /// [`ShapeError::Parameter`] if the groups divide `C` or `K` with a rest.
    pub fn geometry(&self, x: Shape, k: usize) -> Result<Geometry, ShapeError> {
        let [n, c, h, w] = x.nchw("conv2d", "x")?;
        self.filters(c, k)?;
        let [extent, padding] = [self.extent(), self.pad.map(|[a, b]| a + b)];
        if h + padding[0] < extent[0] || w + padding[1] < extent[1] {
            return Err(ShapeError::Window {
                op: "conv2d",
                window: extent,
                pad: self.pad.map(|sides| sides.map(|side| side as u32)),
                got: x,
            });
        }
        let windows = |axis: usize, size: usize| {
            (size + padding[axis] - extent[axis]) / self.stride[axis] + 1
        };
        let [r, s] = self.filter;
        Ok(Geometry {
            n,
            c,
            h,
            w,
            k,
            r,
            s,
            stride: self.stride,
            dilation: self.dilation,
            pad: self.pad,
            groups: self.groups,
            p: windows(0, h),
            q: windows(1, w),
            biased: self.biased,
        })
    }

    /// The geometry of a node whose shapes were inferred.
    pub(super) fn checked(&self, x: Shape, k: usize) -> Geometry {
        self.geometry(x, k)
            .expect("invariant: shapes were inferred when the node was added")
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
        let [k, ..] = w.nchw("conv2d", "w")?;
        same("conv2d", "w", w, self.filters(c, k)?)?;
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
        let b = self.biased.then(|| to.value(node.inputs[2]));
        let maps = [x, node.outputs[0]];
        kernels::chained(to, &g, self.relu, maps, to.value(w), b)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        self.checked(shape(node.inputs[0]), shape(node.inputs[1]).dims()[0])
            .flops()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let g = self.checked(io.shape(0), io.shape(1).dims()[0]);
        let b = self.biased.then(|| io.input(2));
        let [x, w] = [0, 1].map(|index| io.input(index));
        let mut how = std::mem::take(io.convolving());
        T::conv2d_forward(&g, &mut how, self.relu, x, w, b, io.output(0));
        *io.convolving() = how;
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-4)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        kernels::variants(Direction::Forward)
    }
}
