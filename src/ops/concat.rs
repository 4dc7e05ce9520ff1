//! Concatenation along channels and its gradient, a dispatch for each part: any number of parts within the limit on
//! storage buffers.

use super::{Definition, Tolerance, float};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Region, Variant, read, uniforms, write};
use crate::reference::{Io, Real, concat};

/// `y = x0, x1, … along dimension 1`: two or more inputs `[N,Ci,..]`, of which only `Ci` may differ -> `y [N,sum Ci,..]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Concat {}

/// Gradient of one input of [`Concat`]: `dy [N,C,..]` -> its channels `first .. first + channels`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConcatBackward {
    first: usize,
    channels: usize,
}

impl Concat {
    /// Whether the values can be concatenated: name and shape of each. The shape of the whole, if so.
    pub(crate) fn check(parts: &[(&str, Shape)]) -> Result<Shape, ShapeError> {
        let [(first, shape), others @ ..] = parts else {
            return Err(too_few(parts.len()));
        };
        if others.is_empty() {
            return Err(too_few(parts.len()));
        }
        let mut dims = shape.dims().to_vec();
        let [_, channels, ..] = dims.as_mut_slice() else {
            return Err(shape.mismatch("concat", "x0", "two to four dimensions [N,C,..]"));
        };
        for (second, other) in others {
            let pairs = shape.dims().iter().zip(other.dims()).enumerate();
            let mut others = pairs.filter(|&(axis, _)| axis != 1);
            let fits = shape.dims().len() == other.dims().len();
            if !fits || others.any(|(_, (a, b))| a != b) {
                let want = "all dimensions but the channels must be the same";
                return Err(Shape::apart(
                    "concat",
                    (first, *shape),
                    (second, *other),
                    want,
                ));
            }
            *channels = channels.saturating_add(other.dims()[1]);
        }
        Shape::new(&dims)
    }
}

fn too_few(got: usize) -> ShapeError {
    ShapeError::Parameter {
        op: "concat",
        what: format!("takes two or more values, got {got}"),
    }
}

impl ConcatBackward {
    /// The gradient of the input whose channels begin at channel `first` of the whole.
    pub fn new(first: usize, channels: usize) -> Self {
        Self { first, channels }
    }
}

/// Elements of an image of `part` and of `whole`, and where the part begins, given its first channel.
fn layout(part: Shape, whole: Shape, channel: usize) -> [usize; 3] {
    let [block, stride] = [part, whole].map(|shape| shape.len() / shape.dims()[0]);
    [block, stride, channel * (block / part.dims()[1])]
}

uniforms! {
    struct ConcatUniform { len: u32, block: u32, stride: u32, first: u32 }
}

impl ConcatUniform {
    fn new(len: usize, layout: [usize; 3]) -> Self {
        let [len, block, stride, first] =
            [len, layout[0], layout[1], layout[2]].map(|words| words as u32);
        Self {
            len,
            block,
            stride,
            first,
        }
    }
}

static FORWARD: Kernel = Kernel {
    shader: "concat",
    entry: "forward",
    bindings: &[read("x"), write("y")],
    uniform: ConcatUniform::FIELDS,
};

static BACKWARD: Kernel = Kernel {
    shader: "concat",
    entry: "backward",
    bindings: &[read("dy"), write("dx")],
    uniform: ConcatUniform::FIELDS,
};

/// Copies `x` whole to its place in `y`: `len` elements, in blocks as [`layout`] has them.
pub(super) fn join(
    to: &mut Lowering<'_>,
    [x, y]: [Region; 2],
    len: usize,
    layout: [usize; 3],
) -> Result<(), PlanError> {
    let words = ConcatUniform::new(len, layout).words();
    to.elementwise(&FORWARD, Variant::Plain, words, &[x, y], len)?;
    // Of the whole, each dispatch writes its part.
    to.set_bytes(2 * DType::F32.bytes(len));
    Ok(())
}

/// Copies the place of `dx` in `dy` out of it.
pub(super) fn split(
    to: &mut Lowering<'_>,
    [dy, dx]: [Region; 2],
    len: usize,
    layout: [usize; 3],
) -> Result<(), PlanError> {
    let words = ConcatUniform::new(len, layout).words();
    to.elementwise(&BACKWARD, Variant::Plain, words, &[dy, dx], len)
}

/// Copies `len` elements: a part that is the whole.
pub(super) fn copy(
    to: &mut Lowering<'_>,
    [x, y]: [Region; 2],
    len: usize,
) -> Result<(), PlanError> {
    split(to, [x, y], len, [len, len, 0])
}

impl Definition for Concat {
    fn name(&self) -> &'static str {
        "concat"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let shapes: Vec<Shape> = (0..operands.len())
            .map(|i| float(operands, i, "concat", "x"))
            .collect::<Result<_, _>>()?;
        let names: Vec<String> = (0..shapes.len()).map(|i| format!("x{i}")).collect();
        let parts: Vec<_> = names.iter().map(String::as_str).zip(shapes).collect();
        Ok(vec![(Self::check(&parts)?, DType::F32)])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let mut first = 0;
        for &x in &node.inputs {
            let channels = tape.shape(x).dims()[1];
            if tape.wants(x) {
                let op = ConcatBackward::new(first, channels);
                let dx = tape.push1(&node.layer, op, &[dy])?;
                tape.set_gradient(x, dx)?;
            }
            first += channels;
        }
        Ok(())
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let whole = node.outputs[0];
        let mut channel = 0;
        for &x in &node.inputs {
            let part = to.shape(x);
            let layout = layout(part, to.shape(whole), channel);
            join(to, [x, whole].map(|id| to.value(id)), part.len(), layout)?;
            channel += part.dims()[1];
        }
        Ok(())
    }

    fn flops(&self, _: &Node, _: &dyn Fn(ValueId) -> Shape) -> u64 {
        0
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let shapes: Vec<Shape> = (0..io.inputs()).map(|i| io.shape(i)).collect();
        let parts: Vec<_> = shapes.iter().map(|&shape| ("x", shape)).collect();
        let whole = Self::check(&parts).expect("invariant: shapes were inferred");
        let mut channel = 0;
        for (i, &part) in shapes.iter().enumerate() {
            let layout = layout(part, whole, channel);
            concat::forward(layout, io.input(i), io.output(0));
            channel += part.dims()[1];
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&FORWARD, Variant::Plain)]
    }
}

impl ConcatBackward {
    fn part(&self, whole: Shape) -> Result<Shape, ShapeError> {
        let mut dims = whole.dims().to_vec();
        let end = self.first.saturating_add(self.channels);
        match dims.get_mut(1) {
            Some(all) if end <= *all => *all = self.channels,
            _ => {
                let want = format!("at least {end} channels");
                return Err(whole.mismatch(self.name(), "dy", want));
            }
        }
        Shape::new(&dims)
    }
}

impl Definition for ConcatBackward {
    fn name(&self) -> &'static str {
        "concat.backward"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let dx = self.part(float(operands, 0, self.name(), "dy")?)?;
        Ok(vec![(dx, DType::F32)])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let [whole, part] = [node.inputs[0], node.outputs[0]].map(|id| to.shape(id));
        let places = [node.inputs[0], node.outputs[0]].map(|id| to.value(id));
        split(to, places, part.len(), layout(part, whole, self.first))
    }

    fn flops(&self, _: &Node, _: &dyn Fn(ValueId) -> Shape) -> u64 {
        0
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let whole = io.shape(0);
        let part = self.part(whole).expect("invariant: shapes were inferred");
        let layout = layout(part, whole, self.first);
        concat::backward(layout, io.input(0), io.output(0));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::EXACT
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&BACKWARD, Variant::Plain)]
    }
}
