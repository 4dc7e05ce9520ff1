//! How many values an op reads and how many it updates.
//!
//! Shapes are inferred from the operands all in one row; lowering and the reference take each by its place. So what a caller gives to
//! [`Graph::push`](crate::graph::Graph::push) is counted before.

use std::ops::RangeInclusive;

use super::{Definition, Op};
use crate::graph::shape::ShapeError;

/// Any number, at least so many.
const fn from(least: usize) -> RangeInclusive<usize> {
    least..=usize::MAX
}

impl Op {
    /// Inputs that it takes, masks and biases that it may have among them.
    fn inputs(&self) -> RangeInclusive<usize> {
        match self {
            Self::Relu(_) | Self::Activation(_) | Self::MaxPool2d(_) | Self::Reshape(_) => 1..=1,
            Self::AvgPool2d(_) | Self::LocalResponseNorm(_) | Self::GlobalAvgPool(_) => 1..=1,
            Self::ConcatBackward(_) | Self::Softmax(_) | Self::OneHot(_) => 1..=1,
            Self::AvgPool2dBackward(_) | Self::GlobalAvgPoolBackward(_) => 1..=2,
            Self::Conv2dWgrad(_) | Self::LinearWgrad(_) | Self::ReluBackward(_) => 2..=2,
            Self::ActivationBackward(_) | Self::Dropout(_) | Self::DropoutBackward(_) => 2..=2,
            Self::LocalResponseNormBackward(_) | Self::SoftmaxCrossEntropy(_) => 2..=2,
            Self::PooledCrossEntropy(_) => 2..=2,
            Self::Conv2d(_) | Self::Conv2dDgrad(_) | Self::Linear(_) | Self::LinearDgrad(_) => {
                2..=3
            }
            Self::Add(_) | Self::MaxPool2dBackward(_) => 2..=3,
            Self::SoftTargetCrossEntropy(_) | Self::MeanSquaredError(_) => 3..=3,
            Self::BatchNorm(_) => 3..=4,
            Self::Gather(_) => 3..=5,
            Self::BatchNormBackward(_) => 4..=4,
            Self::BatchNormEval(_) | Self::BatchNormEvalBackward(_) => 5..=5,
            Self::FoldBatchNorm(_) => 5..=6,
            Self::Concat(_) => from(2),
            Self::Update(update) => from(2 + usize::from(update.clip_norm.is_some())),
            Self::Gate(_) | Self::Commit(_) => 2..=2,
            Self::Ema(_) => from(2),
            Self::GradientNorm(norm) => from(1 + usize::from(norm.in_parts)),
        }
    }

    /// Values that it updates, given how many inputs it has.
    fn updates(&self, inputs: usize) -> RangeInclusive<usize> {
        match self {
            Self::SoftmaxCrossEntropy(_)
            | Self::PooledCrossEntropy(_)
            | Self::SoftTargetCrossEntropy(_)
            | Self::MeanSquaredError(_) => 1..=1,
            Self::BatchNorm(_) => 2..=2,
            Self::Commit(_) => from(2),
            Self::Ema(_) => inputs - 1..=inputs - 1,
            Self::GradientNorm(norm) if norm.in_parts => inputs - 1..=inputs - 1,
            Self::Update(update) => {
                let clips = usize::from(update.clip_norm.is_some());
                let gradients = inputs - 1 - clips;
                let each = 1 + update.optimizer.moments();
                // Those of parts of a batch have a sum besides, unless the norm's op has added it up.
                gradients * each..=gradients * (each + 1 - clips)
            }
            _ => 0..=0,
        }
    }

    /// Checks how many values it is given.
    ///
    /// # Errors
    /// [`ShapeError::Count`], which says how many it takes.
    pub(crate) fn check_counts(&self, inputs: usize, updates: usize) -> Result<(), ShapeError> {
        let check = |what, got, wanted: RangeInclusive<usize>| match wanted.contains(&got) {
            true => Ok(()),
            false => Err(ShapeError::Count {
                op: Definition::name(self),
                what,
                got,
                want: match wanted.into_inner() {
                    (least, usize::MAX) => format!("{least} or more"),
                    (least, most) if least == most => least.to_string(),
                    (least, most) => format!("{least} to {most}"),
                },
            }),
        };
        check("inputs", inputs, self.inputs())?;
        check("values to update", updates, self.updates(inputs))
    }
}
