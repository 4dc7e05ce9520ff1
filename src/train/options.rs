//! How to train.

use std::num::NonZero;

use serde::{Deserialize, Serialize};

use super::{Home, OnBad, TrainError};
use crate::data::Outline;
use crate::models::{At, Schedule};
use crate::ops::{Augment, Normalize};
use crate::program::Training;

/// How to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrainOptions {
    /// Images that are run at once; those of a step, unless [`accumulate`](Self::accumulate) is more than 1.
    pub batch_size: usize,
    /// Batches of a step: their gradients are added up, and the parameters updated once. But for rounding it is a step on a batch
    /// that many times as large; in a network with batch normalisation, each batch is normalised by itself.
    pub accumulate: usize,
    /// Passes over the training set.
    pub epochs: u64,
    /// The optimizer's learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly to its full value.
    pub warmup_steps: u64,
    /// How it goes on from there.
    pub schedule: Schedule,
    /// How each step moves the parameters. A moving average of them is what is tested and kept for use, if there is one.
    pub training: Training,
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
    /// Threads that load pictures; 0 for as many as there are cores. A browser has none to give.
    pub workers: usize,
    /// What becomes of pictures that cannot be loaded.
    pub on_bad: OnBad,
    /// Whether every class is trained on equally often, however many pictures it has.
    pub balance: bool,
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
            accumulate: 1,
            epochs: 3,
            learning_rate: 3e-4,
            warmup_steps: 30,
            schedule: Schedule::Constant,
            training: Training::default(),
            normalize: Normalize::default(),
            augment: Augment::NONE,
            image_size: None,
            home: Home::Auto,
            prefetch: 4,
            workers: 0,
            on_bad: OnBad::Stop,
            balance: false,
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
        if self.accumulate == 0 {
            return option("number of batches to accumulate", "0".into(), "at least 1");
        }
        if self.step_images() > images {
            return Err(TrainError::Batch {
                batch: self.step_images(),
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
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return option(
                "learning rate",
                self.learning_rate.to_string(),
                "a number above 0",
            );
        }
        if let Schedule::Step {
            every: epochs,
            gamma,
        }
        | Schedule::Plateau {
            patience: epochs,
            gamma,
            ..
        } = self.schedule
        {
            if !(gamma > 0.0 && gamma < 1.0) {
                let want = "a number between 0 and 1";
                return option("factor of the learning rate", gamma.to_string(), want);
            }
            if epochs == 0 {
                return option("epochs of a learning rate", "0".into(), "at least 1");
            }
        }
        Ok(())
    }

    /// Images of a step.
    pub fn step_images(&self) -> usize {
        self.batch_size.saturating_mul(self.accumulate)
    }

    /// Threads that load pictures.
    pub(super) fn threads(&self) -> usize {
        match self.workers {
            _ if cfg!(target_family = "wasm") => 0,
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

    /// The learning rate of a step.
    pub fn learning_rate_at(&self, at: At) -> f64 {
        let warmup = match self.schedule.rises() {
            true => 0,
            false => self.warmup_steps,
        };
        let factor = match at.step < warmup {
            true => at.step as f64 / warmup as f64,
            false => self.schedule.factor(at, warmup),
        };
        self.learning_rate * factor
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
        let at = |options: &TrainOptions, step| {
            let at = At {
                step,
                per_epoch: 11,
                steps: 110,
                drops: 0,
            };
            (1e6 * options.learning_rate_at(at)).round()
        };
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
