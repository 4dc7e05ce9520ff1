//! The learning-rate range test: which rates a network learns at (Smith, arXiv:1506.01186, section 3.3).

use super::order::epoch_order;
use super::supply::Supply;
use super::{TrainError, TrainOptions, training_program_on};
use crate::backend::device::Device;
use crate::data::Dataset;
use crate::error::Result;
use crate::models::Model;
use crate::program::{Metrics, Parameters};

/// Steps of the test.
const STEPS: usize = 100;
/// Rates of the first and of the last step.
const RATES: [f64; 2] = [1e-6, 1.0];
/// Part of the mean of the losses before in the smoothed loss of a step.
const SMOOTHING: f64 = 0.9;
/// The test ends where the smoothed loss is this many times its least.
const DIVERGED: f64 = 4.0;
/// The rate of the least loss over the one to train at: there, it is about to rise.
const MARGIN: f64 = 10.0;

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateStep {
    /// Its learning rate.
    pub rate: f64,
    /// Its loss, before its update.
    pub loss: f64,
    /// Mean of the losses so far, the last ones counting most.
    pub smoothed: f64,
}

/// What [`find_lr`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct RateTest {
    /// The steps, by rising rate.
    pub steps: Vec<RateStep>,
    /// A tenth of the rate at which the smoothed loss was least.
    pub suggestion: f64,
    /// Whether the loss rose above [`RateStep::smoothed`]'s least so far that the test ended.
    pub diverged: bool,
}

/// Trains a hundred steps at learning rates that rise from 1e-6 to 1, a constant factor a step, until the loss diverges. `tell` hears
/// of each step.
///
/// It has memory of its own on the device, given back at the end, so no training is touched. Warm-up and schedule have no part in it.
///
/// # Errors
/// Those of [`Trainer::new`](super::Trainer::new), [`TrainError::NoRate`] if the loss falls at no rate, and whatever `tell` returns.
pub fn find_lr(
    device: &Device,
    model: &Model,
    data: &Dataset,
    parameters: &Parameters,
    options: &TrainOptions,
    mut tell: impl FnMut(&RateStep) -> Result<()>,
) -> Result<RateTest> {
    let mut run = training_program_on(device, model, &data.outline(), options)?.load(device)?;
    let images = options.step_images();
    let supply = Supply::new(data, options, images, true);
    supply.place(&mut run)?;
    run.set_parameters(parameters)?;
    let mut order = Vec::new();
    for epoch in 1.. {
        let mut one = epoch_order(data, options, epoch);
        one.truncate(one.len() / images * images);
        order.append(&mut one);
        if order.len() >= STEPS * images {
            break;
        }
    }
    order.truncate(STEPS * images);
    let seed = options.seed as u32;
    let mut batches = supply.batches(order, Some((seed, 1)));
    let mut steps: Vec<RateStep> = Vec::new();
    let (mut mean, mut diverged) = (0.0, false);
    while let Some(ready) = batches.next(&mut run)? {
        let step = steps.len() as u64 + 1;
        let rate = rate(steps.len());
        run.queue_train_step(&ready.indices, rate, step, seed, true)?;
        let metrics = run.take_metrics(true)?.pop();
        let loss = metrics.unwrap_or_else(Metrics::empty).loss();
        if !loss.is_finite() {
            diverged = true;
            break;
        }
        mean = SMOOTHING * mean + (1.0 - SMOOTHING) * loss;
        // The mean began at 0; without that part it is one of losses alone (Kingma, Ba, arXiv:1412.6980, section 3).
        let smoothed = mean / (1.0 - SMOOTHING.powi(step as i32));
        let of_step = RateStep {
            rate,
            loss,
            smoothed,
        };
        tell(&of_step)?;
        steps.push(of_step);
        diverged = smoothed > DIVERGED * least(&steps).map_or(smoothed, |step| step.smoothed);
        if diverged {
            break;
        }
    }
    let suggestion = suggestion(&steps).ok_or(TrainError::NoRate)?;
    Ok(RateTest {
        steps,
        suggestion,
        diverged,
    })
}

/// The rate of a step, which counts from 0.
fn rate(step: usize) -> f64 {
    let [first, last] = RATES;
    first * (last / first).powf(step as f64 / (STEPS - 1) as f64)
}

fn least(steps: &[RateStep]) -> Option<&RateStep> {
    steps
        .iter()
        .min_by(|a, b| a.smoothed.total_cmp(&b.smoothed))
}

/// A tenth of the rate of the least smoothed loss; none if that is the first's, so that no step made it less.
fn suggestion(steps: &[RateStep]) -> Option<f64> {
    let (first, least) = (steps.first()?, least(steps)?);
    (least.smoothed < first.smoothed).then(|| least.rate / MARGIN)
}
