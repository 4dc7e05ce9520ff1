//! A whole training in one call.

use std::path::Path;

use super::{Event, Summary, TrainOptions, Trainer, training_program};
use crate::backend::device::Device;
use crate::data::Split;
use crate::error::Result;
use crate::models::Model;
use crate::program::Parameters;
use crate::train::checkpoint::{self, Metadata};
use crate::train::init::Init;

/// What [`fit`] made.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Parameters after the best epoch.
    pub parameters: Parameters,
    /// Model, classes and preprocessing, for a checkpoint.
    pub metadata: Metadata,
    /// Steps and accuracy.
    pub summary: Summary,
}

impl Fitted {
    /// Writes a checkpoint that [`Classifier`](crate::classifier::Classifier) opens.
    ///
    /// # Errors
    /// [`checkpoint::CheckpointError::Write`].
    pub fn save(&self, path: &Path) -> Result<()> {
        Ok(checkpoint::save(
            path,
            &self.parameters,
            Some(&self.metadata),
        )?)
    }
}

/// Trains from [`Init::Kaiming`] to the end and keeps the best epoch in memory. A [`Trainer`] tells of its work on the
/// way; with a [`RunFolder`](super::RunFolder) it can be resumed.
///
/// # Errors
/// As [`Trainer::new`] and [`Trainer::run`].
pub fn fit(
    device: &Device,
    model: &Model,
    split: &Split,
    options: &TrainOptions,
) -> Result<Fitted> {
    let program = training_program(model, &split.train.outline(), options)?;
    let mut best = Init::Kaiming.parameters(program.graph(), options.seed)?;
    let channels = options.normalize.channels(split.train.channels());
    let mut metadata = Metadata::new(model, &split.train, channels, options.seed);
    metadata.input = options.image_size;
    let mut trainer = Trainer::new(device, model, split, &best, options.clone())?;
    let summary = trainer.run(|event| {
        if let Event::Checkpoint {
            epoch,
            step,
            best: true,
            parameters,
            ..
        } = event
        {
            best = parameters.clone();
            (metadata.epoch, metadata.step) = (epoch, step);
        }
        Ok(())
    })?;
    Ok(Fitted {
        parameters: best,
        metadata,
        summary,
    })
}
