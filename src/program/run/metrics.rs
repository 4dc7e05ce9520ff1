//! What is told of steps and evaluations: losses, correct images, the norm of the gradients, and where a number is none.

use super::{Result, Run, wrong_goal};
use crate::backend::wait::block_on;
use crate::graph::tensor::Tensor;
use crate::graph::{Role, ValueId};
use crate::program::{Goal, Metrics};

impl Run {
    /// Queues the evaluation of the images at `indices`; an index past the data set counts for nothing.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn queue_evaluation(&mut self, indices: &[u32], snapshot: bool) -> Result<()> {
        let Goal::Evaluate { metrics, .. } = *self.program.goal else {
            return Err(wrong_goal("evaluation"));
        };
        let snapped = [metrics];
        self.queue(indices, if snapshot { &snapped } else { &[] })
    }

    /// The snapshots that have arrived, oldest first; with `wait`, all that were queued.
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn take_metrics(&mut self, wait: bool) -> Result<Vec<Metrics>> {
        let snapshots = self.runtime.take_snapshots(wait)?;
        let takes_norm = |goal: &Goal| matches!(goal, Goal::Train { norm: Some(_), .. });
        let (with_norm, skips) = (takes_norm(&self.program.goal), self.skips());
        let of = |sums: &Vec<f32>| match sums.split_last() {
            Some((&norm, sums)) if with_norm => Metrics::new(sums, skips).with_gradient_norm(norm),
            _ => Metrics::new(sums, skips),
        };
        Ok(snapshots.iter().map(of).collect())
    }

    /// What a training accumulated since the last snapshot; it goes on from there.
    pub(crate) async fn unfinished_metrics(&mut self) -> Result<Metrics> {
        let Goal::Train { metrics, .. } = *self.program.goal else {
            return Err(wrong_goal("training"));
        };
        Ok(Metrics::new(
            &self.tensor(metrics).await?.data,
            self.skips(),
        ))
    }

    /// Has a training accumulate on from `metrics`, which no more steps were added to than a device can: those of one snapshot.
    pub(crate) fn resume_metrics(&mut self, so_far: &Metrics) -> Result<()> {
        let Goal::Train { metrics, .. } = *self.program.goal else {
            return Err(wrong_goal("training"));
        };
        let sums = so_far.sums(self.skips());
        Ok(self.runtime.write(metrics, sums.as_slice().into())?)
    }

    /// Whether steps whose gradients are not finite are skipped.
    fn skips(&self) -> bool {
        matches!(&*self.program.goal, Goal::Train { training, .. } if training.skip_non_finite)
    }

    /// Norm of all gradients of the last step before they were clipped; `None` unless they are
    /// ([`Training::clip_norm`](crate::program::Training::clip_norm)) or steps may be skipped
    /// ([`Training::skip_non_finite`](crate::program::Training::skip_non_finite)).
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn gradient_norm(&mut self) -> Result<Option<f32>> {
        let Goal::Train {
            norm: Some(norm), ..
        } = *self.program.goal
        else {
            return Ok(None);
        };
        Ok(self.runtime.read(norm)?.first().copied())
    }

    /// The loss of each image `[batch]` of the last run, 0 for what counted for nothing; of a batch that is run in parts,
    /// those of the last part. A training's are with its smoothing and weights, before the mean is taken.
    ///
    /// # Errors
    /// [`RunError::WrongProgram`](super::RunError::WrongProgram) if the program is for inference,
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if the device fails.
    pub fn losses(&mut self) -> Result<Tensor> {
        match *self.program.goal {
            Goal::Train { losses, .. } | Goal::Evaluate { losses, .. } => {
                block_on(self.tensor(losses))
            }
            Goal::Infer { .. } => Err(wrong_goal("training or evaluation")),
        }
    }

    /// The first value of the last run, in the order of computation, that is not finite; `None` if all are, or on a device that does
    /// not keep them: only the CPU does.
    pub(crate) fn first_non_finite(&mut self) -> Option<String> {
        let graph = &self.program.graph;
        let computed = |id: &ValueId| {
            let role = graph.value(*id).role;
            matches!(role, Role::Activation | Role::Output | Role::Gradient(_))
        };
        let ids: Vec<ValueId> = graph.ids().filter(computed).collect();
        let id = ids.into_iter().find(|&id| {
            let values = self.runtime.read(id);
            values.is_ok_and(|values| values.iter().any(|x| !x.is_finite()))
        })?;
        Some(self.name(id))
    }
}
