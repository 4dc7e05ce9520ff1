//! Batch normalisation: by the statistics of the batch in training, by the running ones in evaluation.

mod backward;
mod eval;
mod eval_backward;

pub use backward::BatchNormBackward;
pub use eval::{BatchNormEval, FoldBatchNorm};
pub use eval_backward::BatchNormEvalBackward;

use super::{Definition, ReluBackward, Tolerance, float, same, widen};
use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature, ValueId};
use crate::plan::{Kernel, Lowering, PlanError, Variant, read, uniforms, update, write};
use crate::reference::{Io, Real, batch_norm};

/// `y = (x - mean) / sqrt(var + eps) * weight + bias`, with mean and variance of each channel over the batch and its pixels;
/// then a shortcut is added and ReLU follows, if fused (Ioffe and Szegedy, arXiv:1502.03167).
///
/// Inputs `x [N,C,..]`, `weight [C]`, `bias [C]` and, if fused, the shortcut, of x's shape; updates the running mean `[C]` and
/// the running variance `[C]`; outputs `y`, of x's shape, and for the gradient `[2,C]`: means, and `1 / sqrt(var + eps)`.
///
/// As in PyTorch the variance that normalises is the biased one, and that which runs along is not:
/// `running = (1 - momentum) running + momentum value`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchNorm {
    eps: f32,
    momentum: f32,
    relu: bool,
    shortcut: bool,
}

impl Default for BatchNorm {
    /// PyTorch's: eps 1e-5, momentum 0.1.
    fn default() -> Self {
        Self {
            eps: 1e-5,
            momentum: 0.1,
            relu: false,
            shortcut: false,
        }
    }
}

impl BatchNorm {
    /// Batch normalisation with `eps` added to variances, whose running statistics move by the part `momentum`.
    ///
    /// # Errors
    /// [`ShapeError::Parameter`] if `eps` is not positive or `momentum` not finite. PyTorch takes one outside of 0..=1 too, which overshoots.
    pub fn new(eps: f32, momentum: f32) -> Result<Self, ShapeError> {
        let what = if !(eps > 0.0 && eps.is_finite()) {
            format!("eps {eps} must be above 0, so that a constant channel is not divided by 0")
        } else if !momentum.is_finite() {
            format!("momentum {momentum} must be finite")
        } else {
            return Ok(Self {
                eps,
                momentum,
                ..Self::default()
            });
        };
        Err(ShapeError::Parameter { op: NAME, what })
    }

    /// What is added to variances.
    pub fn eps(&self) -> f32 {
        self.eps
    }

    /// The part by which running statistics move.
    pub fn momentum(&self) -> f32 {
        self.momentum
    }

    /// Whether ReLU rides behind it.
    pub fn relu(&self) -> bool {
        self.relu
    }

    /// Whether a shortcut is added to it.
    pub fn shortcut(&self) -> bool {
        self.shortcut
    }

    /// The same with ReLU behind it, and behind the shortcut if there is one.
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// The same with one more input, which is added.
    pub fn with_shortcut(self) -> Self {
        Self {
            shortcut: true,
            ..self
        }
    }
}

const NAME: &str = "batch_norm";

/// The sizes of a normalised value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Channels {
    /// How many.
    pub(crate) channels: usize,
    /// Elements of a channel in one image.
    pub(crate) pixels: usize,
    /// Elements of a channel in the batch.
    pub(crate) len: usize,
}

/// A chunk of a channel keeps at least this many elements …
const CHUNK: usize = 1 << 15;
/// … and no more chunks are made than it takes for so many workgroups.
const WORKGROUPS: usize = 1024;

impl Channels {
    fn of(op: &'static str, x: Shape) -> Result<Self, ShapeError> {
        let &[n, channels, ..] = x.dims() else {
            return Err(x.mismatch(op, "x", "two dimensions or more, [N,C,..]"));
        };
        let len = x.len() / channels;
        Ok(Self {
            channels,
            pixels: len / n,
            len,
        })
    }

    fn checked(x: Shape) -> Self {
        Self::of(NAME, x).expect("invariant: shapes were inferred when the node was added")
    }

    /// Elements of the chunks that a channel is cut into, and how many chunks: one where that keeps a GPU busy, since then one
    /// dispatch does it all.
    fn chunks(&self) -> (usize, usize) {
        let most = (self.len / CHUNK).max(1);
        let chunks = (WORKGROUPS / self.channels).clamp(1, most);
        let chunk = self.len.div_ceil(chunks);
        (chunk, self.len.div_ceil(chunk))
    }
}

/// Checks the tensors `[C]` from operand `first` on.
fn per_channel(
    op: &'static str,
    operands: &[Signature],
    first: usize,
    names: &[&'static str],
    channels: usize,
) -> Result<(), ShapeError> {
    let want = Shape::new(&[channels])?;
    let mut names = (first..).zip(names);
    names.try_for_each(|(i, what)| same(op, what, float(operands, i, op, what)?, want))
}

uniforms! {
    struct ForwardUniform {
        channels: u32, pixels: u32, len: u32, chunk: u32, eps: f32, momentum: f32, rest: f32, var_at: u32, relu: u32,
        has_shortcut: u32,
    }
}

static FORWARD: Kernel = Kernel {
    shader: "batch_norm",
    entry: "forward",
    bindings: &[
        read("x"),
        write("y"),
        write("saved"),
        update("running"),
        read("weight"),
        read("bias"),
        read("shortcut"),
    ],
    uniform: ForwardUniform::FIELDS,
};

static MOMENTS: Kernel = Kernel {
    shader: "batch_norm",
    entry: "moments",
    bindings: &[read("x"), write("moments_out")],
    uniform: ForwardUniform::FIELDS,
};

static NORMALIZE: Kernel = Kernel {
    shader: "batch_norm",
    entry: "normalize",
    bindings: &[
        read("x"),
        write("y"),
        write("saved"),
        update("running"),
        read("weight"),
        read("bias"),
        read("shortcut"),
        read("moments_in"),
    ],
    uniform: ForwardUniform::FIELDS,
};

impl Definition for BatchNorm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
        let x = float(operands, 0, NAME, "x")?;
        let Channels { channels, len, .. } = Channels::of(NAME, x)?;
        if len < 2 {
            let what = format!(
                "{x} has one value a channel, whose variance is 0; train on a batch of two or more images, or on larger maps"
            );
            return Err(ShapeError::Parameter { op: NAME, what });
        }
        per_channel(NAME, operands, 1, &["weight", "bias"], channels)?;
        let updates = operands.len() - 2;
        if self.shortcut {
            same(NAME, "shortcut", float(operands, 3, NAME, "shortcut")?, x)?;
        }
        let names = ["running_mean", "running_var"];
        per_channel(NAME, operands, updates, &names, channels)?;
        Ok(vec![
            (x, DType::F32),
            (Shape::new(&[2, channels])?, DType::F32),
        ])
    }

    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
        let Some(dy) = tape.gradient(node.outputs[0]) else {
            return Ok(());
        };
        let dz = if self.relu {
            tape.push1(&node.layer, ReluBackward, &[dy, node.outputs[0]])?
        } else {
            dy
        };
        if self.shortcut {
            tape.set_gradient(node.inputs[3], dz)?;
        }
        let [x, weight, bias] = [0, 1, 2].map(|i| node.inputs[i]);
        let inputs = [dz, x, node.outputs[1], weight];
        let gradients = tape.push(&node.layer, BatchNormBackward::default(), &inputs)?;
        tape.set_gradient(weight, gradients[1])?;
        tape.set_gradient(bias, gradients[2])?;
        tape.set_gradient(x, gradients[0])
    }

    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
        let sizes = Channels::checked(to.shape(node.inputs[0]));
        let (chunk, chunks) = sizes.chunks();
        let (running, var_at) = to.span(node.updates[0], node.updates[1])?;
        let uniform = ForwardUniform {
            channels: sizes.channels as u32,
            pixels: sizes.pixels as u32,
            len: sizes.len as u32,
            chunk: chunk as u32,
            eps: self.eps,
            momentum: self.momentum,
            rest: (1.0 - widen(self.momentum)) as f32,
            var_at,
            relu: u32::from(self.relu),
            has_shortcut: u32::from(self.shortcut),
        };
        let [x, weight, bias] = [0, 1, 2].map(|i| to.value(node.inputs[i]));
        let [y, saved] = [0, 1].map(|i| to.value(node.outputs[i]));
        // Every binding must name some buffer; without a shortcut the kernel never reads this one.
        let shortcut = node.inputs.get(3).map_or(x, |&id| to.value(id));
        let mut bindings = vec![x, y, saved, running, weight, bias, shortcut];
        let workgroups = [chunks as u64, sizes.channels as u64, 1];
        let words = uniform.words();
        if chunks == 1 {
            return to.dispatch(&FORWARD, Variant::Plain, words, &bindings, workgroups);
        }
        let moments = to.scratch("moments", 2 * chunks * sizes.channels);
        let found = [x, moments];
        to.dispatch(&MOMENTS, Variant::Plain, words.clone(), &found, workgroups)?;
        bindings.push(moments);
        to.dispatch(&NORMALIZE, Variant::Plain, words, &bindings, workgroups)
    }

    fn flops(&self, node: &Node, shape: &dyn Fn(ValueId) -> Shape) -> u64 {
        (7 + u64::from(self.shortcut)) * shape(node.inputs[0]).len() as u64
    }

    fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
        let sizes = Channels::checked(io.shape(0));
        let shortcut = self.shortcut.then(|| io.input(3));
        let [eps, momentum] = [self.eps, self.momentum].map(|x| T::from_f64(widen(x)));
        let (x, weight, bias) = (io.input(0), io.input(1), io.input(2));
        let variances = {
            let saved = io.output(1);
            batch_norm::statistics(&sizes, eps, x, saved)
        };
        let (y, saved) = io.outputs2(0, 1);
        let means = &saved[..sizes.channels];
        batch_norm::normalize(
            &sizes,
            self.relu,
            x,
            |c| [means[c], saved[sizes.channels + c] * weight[c], bias[c]],
            shortcut,
            y,
        );
        let means = means.to_vec();
        batch_norm::run_along(momentum, &means, io.output(2));
        batch_norm::run_along(momentum, &variances, io.output(3));
    }

    fn tolerance(&self) -> Tolerance {
        Tolerance::relative(1e-5)
    }

    fn kernels() -> Vec<(&'static Kernel, Variant)> {
        [&FORWARD, &MOMENTS, &NORMALIZE]
            .map(|kernel| (kernel, Variant::Plain))
            .to_vec()
    }
}
