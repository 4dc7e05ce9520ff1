//! Adam: all parameters in one dispatch.

use super::{Definition, Tolerance, float, same};
use crate::autodiff::Tape;
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{
    Kernel, Lowering, Parts, PlanError, Region, Variant, read, uniforms, update, write,
};
use crate::reference::{Io, Real, adam};
use crate::shape::{Shape, ShapeError};

/// One update of every parameter (Kingma and Ba, arXiv:1412.6980, in PyTorch's form):
/// `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`, `p -= rate m / (sqrt(v) scale + eps)`.
///
/// Inputs: `hyper [2]` = `rate, scale` (see [`Adam::hyper`]), then the `n` gradients; updates: the `n` parameters,
/// the `n` first moments, the `n` second moments, all in one order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the denominator.
    pub eps: f32,
}

impl Default for Adam {
    /// PyTorch's defaults: 0.9, 0.999, 1e-8.
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            eps: 1e-8,
        }
    }
}

impl Adam {
    /// The two numbers that change each step: learning rate over the first bias correction, and one over the square
    /// root of the second. `step` counts from 1.
    pub fn hyper(&self, learning_rate: f64, step: u64) -> [f32; 2] {
        let correction = |beta: f32| 1.0 - widen(beta).powf(step as f64);
        [
            (learning_rate / correction(self.beta1)) as f32,
            (1.0 / correction(self.beta2).sqrt()) as f32,
        ]
    }
}

/// The decimal that a hyper-parameter was written as: PyTorch keeps 0.999 in double precision, and `1 - beta` loses
/// five digits in single.
pub(crate) fn widen(x: f32) -> f64 {
    x.to_string().parse().unwrap_or_else(|_| x.into())
}

uniforms! {
    struct AdamUniform { len: u32, beta1: f32, rest1: f32, beta2: f32, rest2: f32, eps: f32 }
}

static STEP: Kernel = Kernel {
    shader: "adam",
    entry: "step",
    bindings: &[
        read("hyper"),
        update("p"),
        update("m"),
        update("v"),
        read("g"),
    ],
    uniform: AdamUniform::FIELDS,
};

static SUM_STEP: Kernel = Kernel {
    shader: "adam",
    entry: "sum_step",
    bindings: &[
        read("hyper"),
        update("p"),
        update("m"),
        update("v"),
        write("g_sum"),
        read("layers"),
        read("partial_g"),
    ],
    uniform: AdamUniform::FIELDS,
};

/// The table of `shaders/adam.wgsl`: where each layer's gradient and its parts lie, in elements.
fn layers(parts: &[Parts]) -> Vec<u32> {
    let span = |region: Region| [region.offset, region.offset + region.bytes];
    let layer = |parts: &Parts| {
        let [[w, w_end], [b, b_end]] = [parts.weights, parts.bias].map(span);
        let elements = [w, w_end, b, b_end, parts.partial.offset].map(|bytes| (bytes / 4) as u32);
        elements.into_iter().chain([parts.splits, 0, 0])
    };
    parts.iter().flat_map(layer).collect()
}

impl Definition for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        same(
            "adam",
            "hyper",
            float(operands, 0, "adam", "hyper")?,
            Shape::new(&[2])?,
        )?;
        let n = (operands.len() - 1) / 4;
        for i in 0..n {
            let g = float(operands, 1 + i, "adam", "gradient")?;
            for (part, what) in [(1, "parameter"), (2, "first moment"), (3, "second moment")] {
                same(
                    "adam",
                    what,
                    float(operands, 1 + part * n + i, "adam", what)?,
                    g,
                )?;
            }
        }
        Ok(vec![])
    }

    fn backward(&self, _: &Node, _: &mut Tape<'_>) -> Result<(), GraphError> {
        Err(GraphError::NotDifferentiable(self.name()))
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let n = node.updates.len() / 3;
        let slabs = [
            node.inputs[1],
            node.updates[0],
            node.updates[n],
            node.updates[2 * n],
        ]
        .map(|id| to.slab(id));
        let [g, p, m, v] = slabs;
        let len = (g.bytes / 4) as usize;
        let uniform = AdamUniform {
            len: len as u32,
            beta1: self.beta1,
            rest1: (1.0 - widen(self.beta1)) as f32,
            beta2: self.beta2,
            rest2: (1.0 - widen(self.beta2)) as f32,
            eps: self.eps,
        };
        let mut bindings = vec![to.value(node.inputs[0]), p, m, v, g];
        let mut kernel = &STEP;
        if let Some((parts, all)) = to.take_parts() {
            bindings.extend([to.constant("layers", layers(&parts)), all]);
            kernel = &SUM_STEP;
        }
        to.elementwise(kernel, Variant::Plain, uniform.words(), &bindings, len)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        12 * node.inputs[1..]
            .iter()
            .map(|&id| shape(id).len() as u64)
            .sum::<u64>()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let hyper = [io.input(0)[0], io.input(0)[1]];
        let n = io.inputs() - 1;
        for i in 0..n {
            let g = io.input(1 + i);
            let [p, m, v] = io.outputs3([i, n + i, 2 * n + i]);
            adam::update(self, hyper, g, p, m, v);
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        vec![(&STEP, Variant::Plain), (&SUM_STEP, Variant::Plain)]
    }
}
