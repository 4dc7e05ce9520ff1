//! How to train.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

use super::{Home, OnBad, TrainError};
use crate::data::Outline;
use crate::models::Schedule;
use crate::ops::{Augment, Normalize};

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainOptions {
    /// Images of a step.
    pub batch_size: usize,
    /// Passes over the training set.
    pub epochs: u64,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly to its full value.
    pub warmup_steps: u64,
    /// How it goes on from there.
    pub schedule: Schedule,
    /// Mean and standard deviation that each channel is normalised by.
    pub normalize: Normalize,
    /// Random changes to the training images; see [`augment_of`](Self::augment_of).
    pub augment: Augment,
    /// Height and width that images are brought to; `None` takes the model's own, or the data's.
    pub image_size: Option<[usize; 2]>,
    /// Where the pictures lie. The same batches come from either home; but of a photo, the device has only what testing sees, and
    /// draws parts of that.
    pub home: Home,
    /// Batches that are loaded ahead of a streamed training.
    pub prefetch: usize,
    /// Threads that load pictures; 0 for as many as there are cores.
    pub workers: usize,
    /// What becomes of pictures that cannot be loaded.
    pub on_bad: OnBad,
    /// Whether every class is trained on equally often, however many pictures it has.
    pub balance: bool,
    /// Part of each target that is spread over all classes alike, at least 0 and below 1.
    pub label_smoothing: f32,
    /// How much the images of each class count; empty if all alike. see [`balanced_class_weights`](super::balanced_class_weights).
    pub class_weights: Vec<f32>,
    /// Seed of initialisation, order of images, dropout and augmentation.
    pub seed: u64,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Steps of a log interval.
    pub log_every: u64,
    /// Steps between checkpoints within an epoch; 0 for none.
    pub checkpoint_every: u64,
    /// Steps after which to stop; `None` for all epochs.
    pub max_steps: Option<u64>,
    /// Epochs without a better accuracy after which to stop early; `None` goes on.
    pub patience: Option<u64>,
    /// Whether to emit [`Event::FirstStep`](super::Event::FirstStep).
    pub first_step: bool,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            batch_size: 16,
            epochs: 3,
            learning_rate: 3e-4,
            warmup_steps: 30,
            schedule: Schedule::Constant,
            normalize: Normalize::default(),
            augment: Augment::NONE,
            image_size: None,
            home: Home::Auto,
            prefetch: 4,
            workers: 0,
            on_bad: OnBad::Stop,
            balance: false,
            label_smoothing: 0.0,
            class_weights: Vec::new(),
            seed: 1,
            shuffle: true,
            log_every: 100,
            checkpoint_every: 0,
            max_steps: None,
            patience: None,
            first_step: false,
        }
    }
}

impl TrainOptions {
    pub(super) fn check(&self, images: usize) -> Result<(), TrainError> {
        let option = |option, got: String, want| Err(TrainError::Option { option, got, want });
        if self.batch_size == 0 {
            return option("batch size", "0".into(), "at least 1");
        }
        if self.batch_size > images {
            return Err(TrainError::Batch {
                batch: self.batch_size,
                len: images,
            });
        }
        if self.prefetch == 0 {
            return option("prefetch", "0".into(), "at least 1 batch");
        }
        if self.epochs == 0 {
            return option("epochs", "0".into(), "at least 1");
        }
        if self.max_steps == Some(0) {
            return option("maximum of steps", "0".into(), "at least 1");
        }
        if self.patience == Some(0) {
            return option("patience", "0".into(), "at least 1 epoch");
        }
        if self.log_every == 0 {
            return option("log interval", "0".into(), "at least 1");
        }
        if !(0.0..1.0).contains(&self.label_smoothing) {
            return option(
                "label smoothing",
                self.label_smoothing.to_string(),
                "at least 0 and below 1",
            );
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return option(
                "learning rate",
                self.learning_rate.to_string(),
                "a number above 0",
            );
        }
        Ok(())
    }

    /// Threads that load pictures.
    pub(super) fn threads(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, NonZero::get),
            told => told,
        }
    }

    /// The random changes as pictures of this set take them: of photos parts are drawn, small pictures are moved.
    pub fn augment_of(&self, data: &Outline) -> Augment {
        match data.draws {
            true => self.augment.of_parts(),
            false => self.augment,
        }
    }

    /// The learning rate of a step, which counts from 1, of `steps` in all epochs.
    pub fn learning_rate_at(&self, step: u64, steps: u64) -> f64 {
        let warmup = self.warmup_steps;
        if step < warmup {
            return self.learning_rate * (step as f64 / warmup as f64);
        }
        match self.schedule {
            Schedule::Constant => self.learning_rate,
            Schedule::Cosine => {
                let rest = steps.saturating_sub(warmup).max(1) as f64;
                let done = ((step - warmup) as f64 / rest).min(1.0);
                self.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_stays_or_falls_along_a_cosine() {
        let constant = TrainOptions {
            learning_rate: 0.1,
            warmup_steps: 10,
            ..TrainOptions::default()
        };
        let at = |options: &TrainOptions, step| (1e6 * options.learning_rate_at(step, 110)).round();
        let steps = [1, 5, 10, 60, 110];
        assert_eq!(
            steps.map(|step| at(&constant, step)),
            [10_000.0, 50_000.0, 100_000.0, 100_000.0, 100_000.0]
        );
        let cosine = TrainOptions {
            schedule: Schedule::Cosine,
            ..constant
        };
        assert_eq!(
            steps.map(|step| at(&cosine, step)),
            [10_000.0, 50_000.0, 100_000.0, 50_000.0, 0.0]
        );
    }
}
