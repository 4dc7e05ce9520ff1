//! Where the time of a training step goes.

use super::order::epoch_order;
use super::supply::Supply;
use super::{TrainOptions, training_program_on};
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
    let mut run = training_program_on(device, model, &data.outline(), options)?.load(device)?;
    let supply = Supply::new(data, options, options.batch_size, true);
    supply.place(&mut run)?;
    run.set_parameters(parameters)?;
    let mut order = epoch_order(data, options, 1);
    order.truncate(options.batch_size);
    if let Some(ready) = supply.batches(order, None).next(&mut run)? {
        run.train_step(&ready.indices, options.learning_rate, 1)?;
    }
    Profile::measure(device, &mut run, RUNS)
}
