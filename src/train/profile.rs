//! Where the time of a training step goes.

use std::fmt;

use web_time::Instant;

use super::order::epoch_order;
use super::supply::Supply;
use super::{TrainOptions, training_program_on};
use crate::backend::device::Device;
use crate::backend::profile::Profile;
use crate::data::Dataset;
use crate::error::Result;
use crate::models::Model;
use crate::program::Parameters;

/// Runs of which the median is taken.
const RUNS: usize = 3;
/// Steps at which the waiting is measured.
const STEPS: usize = 8;

/// How long steps waited for the pictures that are streamed to them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// Steps in a row.
    pub steps: usize,
    /// Time that they took.
    pub seconds: f64,
    /// Time of it in which no batch was ready.
    pub waited: f64,
}

impl fmt::Display for Waiting {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            steps,
            seconds,
            waited,
        } = self;
        let share = 100.0 * waited / seconds;
        write!(
            to,
            "waiting for pictures: {share:.1} % of {steps} steps of {:.3} s",
            seconds / *steps as f64
        )
    }
}

/// Profiles the training step on the first batch of `data`, after one step to get warm; of pictures that are streamed, also
/// how long the steps after it wait for them.
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
) -> Result<(Profile, Option<Waiting>)> {
    let mut run = training_program_on(device, model, &data.outline(), options)?.load(device)?;
    let supply = Supply::new(data, options, options.step_images(), true);
    supply.place(&mut run)?;
    run.set_parameters(parameters)?;
    let rate = options.learning_rate;
    let mut order = epoch_order(data, options, 1);
    let images = options.step_images();
    let whole = order.len() / images;
    order.truncate(whole.min(1 + STEPS) * images);
    let mut batches = supply.batches(order, Some((options.seed as u32, 1)));
    if let Some(ready) = batches.next(&mut run)? {
        run.train_step(&ready.indices, rate, 1)?;
    }
    let mut waiting = None;
    if supply.is_streamed() {
        let (start, before) = (Instant::now(), batches.waited());
        let mut steps = 0;
        while let Some(ready) = batches.next(&mut run)? {
            steps += 1;
            run.train_step(&ready.indices, rate, 1 + steps as u64)?;
        }
        // A set of a single batch waits for no second one.
        waiting = (steps > 0).then(|| Waiting {
            steps,
            seconds: start.elapsed().as_secs_f64(),
            waited: (batches.waited() - before).as_secs_f64(),
        });
    }
    drop(batches);
    Ok((Profile::measure(device, &mut run, RUNS)?, waiting))
}
