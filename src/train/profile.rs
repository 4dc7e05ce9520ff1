//! Where the time of a training step goes.

use super::order::epoch_order;
use super::{TrainOptions, training_program};
use crate::data::Dataset;
use crate::device::Device;
use crate::error::Result;
use crate::models::Model;
use crate::profile::Profile;
use crate::program::Parameters;

/// Runs of which the median is taken.
const RUNS: usize = 3;

/// Profiles the training step on the first batch of `data`, after one step to get warm.
///
/// It has memory of its own on the device, given back at the end, so no training is touched.
///
/// # Errors
/// Those of [`Trainer::new`](super::Trainer::new).
pub fn profile(
    device: &Device,
    model: &Model,
    data: &Dataset,
    parameters: &Parameters,
    options: &TrainOptions,
) -> Result<Profile> {
    let mut run = training_program(model, &data.outline(), options)?.load(device)?;
    run.set_data(data.images(), data.labels())?;
    run.set_parameters(parameters)?;
    let order = epoch_order(data.len(), options.seed, 1, options.shuffle);
    run.train_step(&order[..options.batch_size], options.learning_rate, 1)?;
    Profile::measure(device, &mut run, RUNS)
}
