//! Adam: all parameters in one dispatch, or one for each slab where they lie in several.

use super::{Definition, Tolerance, float, same};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{
    Kernel, Lowering, Parts, PlanError, Region, Variant, read, uniforms, update, write,
};
use crate::reference::{Io, Real, adam};

/// One update of every parameter (Kingma and Ba, arXiv:1412.6980, in PyTorch's form):
/// `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`, `p -= rate m / (sqrt(v) scale + eps)`.
///
/// Inputs: `hyper [2]` = `rate, scale` (see [`Adam::hyper`]), then the `n` gradients; updates: the `n` parameters,
/// the `n` first moments, the `n` second moments, all in one order.
///
/// A batch that is run part by part has `hyper [5]` (see [`Adam::hyper_of_part`]) and `n` more updates, the sums of the
/// gradients so far: parameters and moments move with the last part only.
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
    /// [`Adam::hyper`], and how the gradient of a part of a batch is taken: 0 for the first part, so that it begins a new sum,
    /// else 1; its weight in the sum, which is its share of the batch's images; 1 for the last part, so that the sum is
    /// used.
    pub fn hyper_of_part(
        &self,
        learning_rate: f64,
        step: u64,
        first: bool,
        weight: f32,
        last: bool,
    ) -> [f32; 5] {
        let [rate, scale] = self.hyper(learning_rate, step);
        let flag = |set: bool| if set { 1.0 } else { 0.0 };
        [rate, scale, flag(!first), weight, flag(last)]
    }

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

static STEP_PART: Kernel = Kernel {
    shader: "adam",
    entry: "step_part",
    bindings: &[
        read("hyper"),
        update("p"),
        update("m"),
        update("v"),
        read("g"),
        update("s"),
    ],
    uniform: AdamUniform::FIELDS,
};

static SUM_PART: Kernel = Kernel {
    shader: "adam",
    entry: "sum_part",
    bindings: &[
        read("hyper"),
        update("p"),
        update("m"),
        update("v"),
        update("g_sum"),
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
        let hyper = float(operands, 0, "adam", "hyper")?;
        let in_parts = hyper.len() == 5;
        let want = if in_parts { 5 } else { 2 };
        same("adam", "hyper", hyper, Shape::new(&[want])?)?;
        let kinds = ["parameter", "first moment", "second moment", "sum"];
        let kinds = &kinds[..if in_parts { 4 } else { 3 }];
        let n = (operands.len() - 1) / (1 + kinds.len());
        for i in 0..n {
            let g = float(operands, 1 + i, "adam", "gradient")?;
            for (part, &what) in (1..).zip(kinds) {
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
        let n = node.inputs.len() - 1;
        let hyper = to.value(node.inputs[0]);
        let sums = node.updates.get(3 * n).copied();
        let [g, p, m, v] = [
            node.inputs[1],
            node.updates[0],
            node.updates[n],
            node.updates[2 * n],
        ];
        let parts = to.take_parts();
        let parts = parts.map(|(parts, all)| (to.constant("layers", layers(&parts)), all));
        // Without sums the last is the gradients once more, and left alone.
        for [g, p, m, v, sums_or_g] in to.slabs([g, p, m, v, sums.unwrap_or(g)]) {
            let len = (g.bytes / 4) as usize;
            let uniform = AdamUniform {
                len: len as u32,
                beta1: self.beta1,
                rest1: (1.0 - widen(self.beta1)) as f32,
                beta2: self.beta2,
                rest2: (1.0 - widen(self.beta2)) as f32,
                eps: self.eps,
            };
            let mut bindings = vec![hyper, p, m, v];
            let kernel = match (parts, sums) {
                (None, None) => {
                    bindings.push(g);
                    &STEP
                }
                (None, Some(_)) => {
                    bindings.extend([g, sums_or_g]);
                    &STEP_PART
                }
                (Some((layers, all)), sums) => {
                    bindings.extend([sums_or_g, layers, all]);
                    if sums.is_some() { &SUM_PART } else { &SUM_STEP }
                }
            };
            to.elementwise(kernel, Variant::Plain, uniform.words(), &bindings, len)?;
        }
        Ok(())
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        12 * node.inputs[1..]
            .iter()
            .map(|&id| shape(id).len() as u64)
            .sum::<u64>()
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let hyper = io.input(0);
        let (rates, part) = ([hyper[0], hyper[1]], hyper.get(2..5));
        let n = io.inputs() - 1;
        for i in 0..n {
            let g = io.input(1 + i);
            let Some(&[keep, weight, last]) = part else {
                let [p, m, v] = io.outputs3([i, n + i, 2 * n + i]);
                adam::update(self, rates, g, p, m, v);
                continue;
            };
            let sum = io.output(3 * n + i);
            adam::add_part(keep, weight, g, sum);
            if last != T::default() {
                let sum = sum.to_vec();
                let [p, m, v] = io.outputs3([i, n + i, 2 * n + i]);
                adam::update(self, rates, &sum, p, m, v);
            }
        }
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        let kernels = [&STEP, &SUM_STEP, &STEP_PART, &SUM_PART];
        kernels.map(|kernel| (kernel, Variant::Plain)).to_vec()
    }
}
