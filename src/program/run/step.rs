//! Training steps: what the host writes for each, whole or in parts.

use std::sync::Arc;

use super::{Result, Run, RunError, wrong_goal};
use crate::backend::runtime::write_error;
use crate::data::{Draw, resized_crop};
use crate::graph::ValueId;
use crate::ops::{Ema, IGNORE};
use crate::program::{Goal, Metrics};

impl Run {
    /// Queues one training step (`step` counts from 1) without waiting; with `snapshot`, the metrics since the last
    /// snapshot will come from [`Run::take_metrics`].
    ///
    /// # Errors
    /// [`RuntimeError`](crate::backend::runtime::RuntimeError) if `indices` is not one batch or the device fails,
    /// [`RunError::Step`] for step 0, or for a learning rate that is no number or infinite.
    pub fn queue_train_step(
        &mut self,
        indices: &[u32],
        learning_rate: f64,
        step: u64,
        seed: u32,
        snapshot: bool,
    ) -> Result<()> {
        let goal = Arc::clone(&self.program.goal);
        let &Goal::Train {
            ref training,
            hyper,
            norm,
            averaging,
            random,
            boxes,
            metrics,
            ..
        } = &*goal
        else {
            return Err(wrong_goal("training"));
        };
        check_step(learning_rate, step)?;
        let snapped: Vec<ValueId> = [metrics].into_iter().chain(norm).collect();
        let (part, parts) = (self.program.part, self.program.parts());
        if parts > 1 && indices.len() != self.program.batch {
            let id = self.input("indices");
            let want = self.program.batch;
            return Err(write_error(&self.program.graph, id, want, indices.into()).into());
        }
        for (i, chunk) in indices.chunks(part).enumerate() {
            let (first, last) = (i == 0, i + 1 == parts);
            let weight = self.share(training.loss.class_weights(), chunk, indices);
            let optimizer = &training.optimizer;
            let numbers = optimizer.hyper_of_part(learning_rate, step, first, weight, last);
            // Those of the part are left out where the program has no use for them.
            let numbers = &numbers[..self.program.graph.value(hyper).shape.len()];
            self.runtime.write(hyper, numbers.into())?;
            if let (Some(averaging), Some(decay)) = (averaging, training.ema) {
                let weight = if last { Ema::weight(decay, step) } else { 0.0 };
                self.runtime.write(averaging, [weight].as_slice().into())?;
            }
            if let Some(random) = random {
                let words = [seed, step as u32, (i * part) as u32];
                self.runtime.write(random, words.as_slice().into())?;
            }
            if let Some(boxes) = boxes {
                let words = self.boxes(seed, step as u32, i * part);
                self.runtime.write(boxes, words.as_slice().into())?;
            }
            let mut chunk = chunk.to_vec();
            // A last part may be smaller; what fills it up counts for nothing.
            if parts > 1 {
                chunk.resize(part, IGNORE);
            }
            let snapshot = if snapshot && last { &snapped[..] } else { &[] };
            self.queue(&chunk, snapshot)?;
        }
        Ok(())
    }

    /// What part of a batch's gradient comes from the images of `chunk`: that of the weights which the mean is over.
    fn share(&self, weights: Option<&[f32]>, chunk: &[u32], batch: &[u32]) -> f32 {
        let Some(weights) = weights else {
            return chunk.len() as f32 / self.program.batch as f32;
        };
        let weight = |&index: &u32| {
            let label = self.labels.get(index as usize);
            let weight = label.and_then(|&label| weights.get(label as usize));
            weight.map_or(0.0, |&w| f64::from(w))
        };
        // What the loss divides by: 1 for images without any weight, which smoothing lets count.
        let divisor = |images: &[u32]| match images.iter().map(weight).sum() {
            0.0 => 1.0,
            sum => sum,
        };
        (divisor(chunk) / divisor(batch)) as f32
    }

    /// The part of each image of a run, `[part,4]`: what a streamed picture in the same place of the batch is cropped to.
    /// `first` is the place of the first image.
    fn boxes(&self, seed: u32, step: u32, first: usize) -> Vec<u32> {
        let images = self.program.graph.value(self.input("data.images")).shape;
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| images.dims()[i]);
        let of = |n: usize| {
            let draw = Draw {
                n: n as u32,
                step,
                seed,
                ..Draw::default()
            };
            let part = resized_crop(height, width, draw);
            [part.top, part.left, part.height, part.width].map(|side| side as u32)
        };
        (first..first + self.program.part).flat_map(of).collect()
    }

    /// One training step, waited for. `step` counts from 1.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn train_step(
        &mut self,
        indices: &[u32],
        learning_rate: f64,
        step: u64,
    ) -> Result<Metrics> {
        self.queue_train_step(indices, learning_rate, step, 0, true)?;
        Ok(self
            .take_metrics(true)?
            .pop()
            .unwrap_or_else(Metrics::empty))
    }

    /// [`Run::train_step`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::train_step`].
    pub async fn train_step_async(
        &mut self,
        indices: &[u32],
        learning_rate: f64,
        step: u64,
    ) -> Result<Metrics> {
        self.queue_train_step(indices, learning_rate, step, 0, true)?;
        // Copies arrive in their order: with this one the snapshot is there.
        self.logits_async().await?;
        let metrics = self.take_metrics(false)?.pop();
        Ok(metrics.unwrap_or_else(Metrics::empty))
    }
}

/// Refuses what would make every parameter no number.
fn check_step(learning_rate: f64, step: u64) -> Result<()> {
    let refuse = |what, got, want| Err(RunError::Step { what, got, want });
    if step == 0 {
        return refuse(
            "the step",
            "0".into(),
            "1 or more, since steps count from 1",
        );
    }
    if !learning_rate.is_finite() {
        let got = learning_rate.to_string();
        return refuse("the learning rate", got, "a finite number");
    }
    Ok(())
}
