//! The ops: a closed set, each defined whole in the file of its name.
//!
//! A definition answers seven questions, none of them defaulted: its name, the shapes it yields, its gradient, its
//! dispatches, its floating-point operations, its meaning on the CPU and the tolerance of its shaders.
//!
//! Adding an op: a file here, one of the same stem in `src/reference`, `shaders` and `tests/cases`, and a line in
//! the list below.

mod activation;
mod add;
mod arity;
mod avg_pool2d;
mod batch_norm;
mod commit;
mod concat;
mod conv2d;
mod dropout;
mod ema;
mod gather;
mod global_avg_pool;
mod gradient_norm;
mod linear;
mod local_response_norm;
mod max_pool2d;
mod mean_squared_error;
mod one_hot;
mod optimizer;
mod pool2d;
mod relu;
mod reshape;
mod soft_target_cross_entropy;
mod softmax;
mod softmax_cross_entropy;

pub use activation::{Activation, ActivationBackward};
pub use add::Add;
pub use avg_pool2d::{AvgPool2d, AvgPool2dBackward};
pub(crate) use batch_norm::Channels;
pub use batch_norm::{
    BatchNorm, BatchNormBackward, BatchNormEval, BatchNormEvalBackward, FoldBatchNorm,
};
pub use commit::{Commit, Gate};
pub use concat::{Concat, ConcatBackward};
pub(crate) use conv2d::JOINED;
pub(crate) use conv2d::winograd;
pub use conv2d::winograd::Minimal;
pub use conv2d::{Conv2d, Conv2dDgrad, Conv2dWgrad, Geometry};
pub use dropout::{Dropout, DropoutBackward};
pub use ema::Ema;
pub use gather::{Augment, CropBox, Gather, MAX_EXTENT, Normalize};
pub use global_avg_pool::{GlobalAvgPool, GlobalAvgPoolBackward};
pub use gradient_norm::GradientNorm;
pub use linear::{Linear, LinearDgrad, LinearWgrad};
pub(crate) use local_response_norm::ResponseWindow;
pub use local_response_norm::{LocalResponseNorm, LocalResponseNormBackward};
pub use max_pool2d::{MaxPool2d, MaxPool2dBackward};
pub use mean_squared_error::MeanSquaredError;
pub use one_hot::OneHot;
pub(crate) use optimizer::widen;
pub use optimizer::{Adam, Group, Optimizer, Sgd, Update};
pub(crate) use pool2d::Divisor;
pub use pool2d::{Pool2d, PoolGeometry};
pub use relu::{Relu, ReluBackward};
pub use reshape::Reshape;
pub use soft_target_cross_entropy::SoftTargetCrossEntropy;
pub use softmax::Softmax;
pub use softmax_cross_entropy::{IGNORE, PooledCrossEntropy, SoftmaxCrossEntropy};

use crate::graph::autodiff::Tape;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::{GraphError, Node, Signature};
use crate::plan::{Kernel, Lowering, PlanError, Variant};
use crate::reference::{Io, Real};

/// How far a shader's result may lie from the `f64` reference: `relative * max|reference| + absolute`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Part of the largest magnitude of the reference's output.
    pub relative: f64,
    /// Floor for outputs near zero.
    pub absolute: f64,
}

impl Tolerance {
    pub(crate) const fn relative(relative: f64) -> Self {
        Self {
            relative,
            absolute: 1e-7,
        }
    }

    /// For ops that copy or select and round nothing.
    pub(crate) const EXACT: Self = Self {
        relative: 0.0,
        absolute: 0.0,
    };
}

/// The element that is off the most.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("element {index} is {got}, expected {want}")]
pub struct Disagreement {
    /// Which element.
    pub index: usize,
    /// What the device computed.
    pub got: f32,
    /// What the reference computed.
    pub want: f32,
}

impl Tolerance {
    /// The largest error of `got` as a part of what is allowed, or, if that is above 1, the element that it lies in.
    ///
    /// What is no number on both sides agrees.
    pub(crate) fn compare(&self, got: &[f32], want: &[f32]) -> Result<f64, Disagreement> {
        let largest = want.iter().filter(|want| want.is_finite());
        let largest = largest.fold(0f32, |largest, want| largest.max(want.abs()));
        let allowed = self.relative * f64::from(largest) + self.absolute;
        let error = |(got, want): (&f32, &f32)| {
            let off = f64::from((*got - *want).abs());
            if got == want || (got.is_nan() && want.is_nan()) {
                0.0
            } else if off.is_nan() {
                f64::INFINITY
            } else {
                off / allowed
            }
        };
        let errors = got.iter().zip(want).map(error).enumerate();
        let worst = errors.max_by(|(_, a), (_, b)| a.total_cmp(b));
        match worst {
            Some((index, error)) if error > 1.0 => Err(Disagreement {
                index,
                got: got[index],
                want: want[index],
            }),
            Some((_, error)) => Ok(error),
            None => Ok(0.0),
        }
    }
}

/// What every op must say of itself.
pub(crate) trait Definition {
    /// Name as it stands in plans and profiles.
    fn name(&self) -> &'static str;
    /// Shapes and types of the outputs, from those of inputs then updates.
    fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError>;
    /// Appends the nodes that turn the gradients of the outputs into those of the inputs.
    fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError>;
    /// Appends the dispatches that compute the node on a GPU.
    fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError>;
    /// Multiplications and additions of one run.
    fn flops(&self, node: &Node, shape: &dyn Fn(crate::graph::ValueId) -> Shape) -> u64;
    /// Computes the node on the CPU: the meaning of the op.
    fn reference<T: Real>(&self, io: &mut Io<'_, T>);
    /// Agreement demanded of the shaders.
    fn tolerance(&self) -> Tolerance;
    /// The kernels that may be dispatched and their variants, for the tests that check shaders against declarations.
    fn kernels() -> Vec<(&'static Kernel, Variant)>
    where
        Self: Sized;
}

/// Declares [`Op`] and forwards [`Definition`] to its variants.
macro_rules! registry {
    ($($op:ident),+ $(,)?) => {
        /// One operation, with its hyper-parameters.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op {
            $(#[doc = concat!("See [`", stringify!($op), "`].")] $op($op),)+
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Self {
                Self::$op(op)
            }
        })+

        impl Definition for Op {
            fn name(&self) -> &'static str {
                match self { $(Self::$op(op) => op.name(),)+ }
            }
            fn infer(&self, operands: &[Signature]) -> Result<Vec<Signature>, ShapeError> {
                match self { $(Self::$op(op) => op.infer(operands),)+ }
            }
            fn backward(&self, node: &Node, tape: &mut Tape<'_>) -> Result<(), GraphError> {
                match self { $(Self::$op(op) => op.backward(node, tape),)+ }
            }
            fn lower(&self, node: &Node, to: &mut Lowering<'_>) -> Result<(), PlanError> {
                match self { $(Self::$op(op) => op.lower(node, to),)+ }
            }
            fn flops(&self, node: &Node, shape: &dyn Fn(crate::graph::ValueId) -> Shape) -> u64 {
                match self { $(Self::$op(op) => op.flops(node, shape),)+ }
            }
            fn reference<T: Real>(&self, io: &mut Io<'_, T>) {
                match self { $(Self::$op(op) => op.reference(io),)+ }
            }
            fn tolerance(&self) -> Tolerance {
                match self { $(Self::$op(op) => op.tolerance(),)+ }
            }
            fn kernels() -> Vec<(&'static Kernel, Variant)> {
                let mut all = Vec::new();
                $(all.extend($op::kernels());)+
                all
            }
        }
    };
}

registry!(
    Gather,
    Conv2d,
    Conv2dDgrad,
    Conv2dWgrad,
    Linear,
    LinearDgrad,
    LinearWgrad,
    Relu,
    ReluBackward,
    Activation,
    ActivationBackward,
    MaxPool2d,
    MaxPool2dBackward,
    Add,
    Concat,
    ConcatBackward,
    Reshape,
    AvgPool2d,
    AvgPool2dBackward,
    BatchNorm,
    BatchNormBackward,
    BatchNormEval,
    BatchNormEvalBackward,
    FoldBatchNorm,
    LocalResponseNorm,
    LocalResponseNormBackward,
    Dropout,
    DropoutBackward,
    GlobalAvgPool,
    GlobalAvgPoolBackward,
    Softmax,
    SoftmaxCrossEntropy,
    PooledCrossEntropy,
    SoftTargetCrossEntropy,
    OneHot,
    MeanSquaredError,
    GradientNorm,
    Gate,
    Commit,
    Update,
    Ema,
);

impl Op {
    /// Name as it stands in plans and profiles, `conv2d` say.
    pub fn name(&self) -> &'static str {
        Definition::name(self)
    }

    /// Agreement demanded of the op's shaders and of the `f32` reference, against the `f64` reference.
    pub fn tolerance(&self) -> Tolerance {
        Definition::tolerance(self)
    }

    /// Every kernel that a plan may dispatch, in each of its variants.
    pub fn kernels() -> Vec<(&'static Kernel, Variant)> {
        <Self as Definition>::kernels()
    }
}

/// The operand of type `want` at `index`.
fn operand(
    operands: &[Signature],
    index: usize,
    op: &'static str,
    what: &'static str,
    want: DType,
) -> Result<Shape, ShapeError> {
    match operands.get(index) {
        Some(&(shape, got)) if got == want => Ok(shape),
        Some(&(_, got)) => Err(ShapeError::Type {
            op,
            what,
            got,
            want,
        }),
        None => Err(ShapeError::Count {
            op,
            what: "operands",
            got: operands.len(),
            want: format!("`{what}` too, so {} or more", index + 1),
        }),
    }
}

/// The float operand at `index`.
fn float(
    operands: &[Signature],
    index: usize,
    op: &'static str,
    what: &'static str,
) -> Result<Shape, ShapeError> {
    operand(operands, index, op, what, DType::F32)
}

/// Checks that two operands have one shape.
fn same(op: &'static str, what: &'static str, got: Shape, want: Shape) -> Result<(), ShapeError> {
    if got == want {
        Ok(())
    } else {
        Err(got.mismatch(op, what, want))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_a_part_of_what_is_allowed_or_names_its_element() {
        let of = Tolerance {
            relative: 0.125,
            absolute: 0.5,
        };
        // Of 12 an eighth is allowed, and a half.
        assert_eq!(of.compare(&[12.0, 3.0], &[12.0, 2.0]), Ok(0.5));
        assert_eq!(
            of.compare(&[12.0, 0.0], &[-12.0, -2.0])
                .expect_err("off")
                .index,
            0
        );
        let wrong = Disagreement {
            index: 1,
            got: -1.0,
            want: 2.0,
        };
        assert_eq!(of.compare(&[12.0, -1.0], &[12.0, 2.0]), Err(wrong));
        assert_eq!(of.compare(&[12.0, 4.0], &[12.0, 2.0]), Ok(1.0));
        let [nan, infinite] = [f32::NAN, f32::INFINITY];
        assert_eq!(of.compare(&[nan, infinite], &[nan, infinite]), Ok(0.0));
        for (got, want) in [
            (nan, 1.0),
            (1.0, nan),
            (infinite, 1.0),
            (-infinite, infinite),
        ] {
            assert!(of.compare(&[got], &[want]).is_err(), "{got}, {want}");
        }
        // What is infinite allows nothing to the others.
        assert_eq!(of.compare(&[infinite, 4.5], &[infinite, 4.0]), Ok(0.5));
        assert_eq!(of.compare(&[], &[]), Ok(0.0));
    }
}
