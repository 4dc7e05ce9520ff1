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
/// Part of the running mean of the losses that is of the steps before.
const MEMORY: f64 = 0.9;
/// The test ends where the running mean is this many times its least.
const DIVERGED: f64 = 4.0;
/// Deviation of the bell that losses are smoothed by, in steps: half a decade of rates. A narrower one follows single batches; of ten
/// seeds of `nin-small` on Fashion-MNIST, this one has the suggestions lie between 1.6e-3 and 2.8e-3.
const WIDTH: f64 = 8.0;
/// A loss above this many times the first says that it diverges, and no more: it must not reach into the losses beside it.
const CAP: f64 = 2.0;
/// The smoothed loss must fall below this part of the first.
const FALL: f64 = 0.95;

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateStep {
    /// Its learning rate.
    pub rate: f64,
    /// Its loss, before its update.
    pub loss: f64,
    /// Mean of the losses around it, the nearest counting most.
    pub smoothed: f64,
}

/// What [`find_lr`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct RateTest {
    /// The steps, by rising rate.
    pub steps: Vec<RateStep>,
    /// The rate at which the smoothed loss fell most steeply.
    pub suggestion: f64,
    /// Whether the test ended early since the loss diverged.
    pub diverged: bool,
}

/// Trains a hundred steps at learning rates that rise from 1e-6 to 1, a constant factor a step, until the loss diverges. `tell` hears
/// each step's rate, and the running mean of the losses.
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
    mut tell: impl FnMut(f64, f64) -> Result<()>,
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
    let mut losses = Vec::new();
    let (mut sum, mut least, mut diverged) = (0.0, f64::INFINITY, false);
    while let Some(ready) = batches.next(&mut run)? {
        let rate = rate(losses.len());
        let step = losses.len() as u64 + 1;
        run.queue_train_step(&ready.indices, rate, step, seed, true)?;
        let metrics = run.take_metrics(true)?.pop();
        let loss = metrics.unwrap_or_else(Metrics::empty).loss();
        if !loss.is_finite() {
            diverged = true;
            break;
        }
        losses.push(loss);
        sum = MEMORY * sum + (1.0 - MEMORY) * loss;
        // The sum began at 0; over this it is a mean of losses alone (Kingma, Ba, arXiv:1412.6980, section 3).
        let mean = sum / (1.0 - MEMORY.powi(step as i32));
        tell(rate, mean)?;
        least = mean.min(least);
        if mean > DIVERGED * least {
            diverged = true;
            break;
        }
    }
    let steps = smoothed(&losses);
    let suggestion = steepest(&steps).ok_or(TrainError::NoRate)?;
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

/// The steps of these losses. Each counts by a bell around the step whose smoothed loss it is part of.
fn smoothed(losses: &[f64]) -> Vec<RateStep> {
    let most = CAP * losses.first().copied().unwrap_or(0.0);
    let around = |step: usize| {
        let parts = losses.iter().enumerate().map(|(other, loss)| {
            let away = (other as f64 - step as f64) / WIDTH;
            let weight = (-0.5 * away * away).exp();
            (weight, weight * loss.min(most))
        });
        let (weights, sum) =
            parts.fold((0.0, 0.0), |(w, s), (weight, part)| (w + weight, s + part));
        sum / weights
    };
    let steps = losses.iter().enumerate().map(|(step, &loss)| RateStep {
        rate: rate(step),
        loss,
        smoothed: around(step),
    });
    steps.collect()
}

/// The rate at which the smoothed loss falls most from the step before to the one after; none if it never falls.
fn steepest(steps: &[RateStep]) -> Option<f64> {
    let first = steps.first()?.smoothed;
    if steps.iter().all(|step| step.smoothed > FALL * first) {
        return None;
    }
    let falls = steps
        .windows(3)
        .map(|three| (three[1].rate, three[0].smoothed - three[2].smoothed));
    let steepest = falls.max_by(|(_, a), (_, b)| a.total_cmp(b));
    steepest.map(|(rate, _)| rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_rise_by_a_constant_factor_from_the_first_to_the_last() {
        assert!((rate(0) - 1e-6).abs() < 1e-15 && (rate(STEPS - 1) - 1.0).abs() < 1e-12);
        let factor = rate(1) / rate(0);
        assert!((1..STEPS).all(|step| (rate(step) / rate(step - 1) / factor - 1.0).abs() < 1e-9));
    }

    #[test]
    fn the_steepest_fall_is_found_in_noise_and_beside_a_divergence() {
        // From 2.3 down to 1 around step 60, then without bound; batches differ by up to a tenth.
        let mut losses: Vec<f64> = (0..90)
            .map(|step| {
                let fall = 1.3 / (1.0 + (-(f64::from(step) - 60.0) / 6.0).exp());
                2.3 - fall + 0.1 * (f64::from(step) * 1.7).sin()
            })
            .collect();
        losses.extend([1e3, 1e9]);
        let suggestion = steepest(&smoothed(&losses)).expect("it falls");
        let off = (suggestion / rate(60)).log10().abs();
        assert!(off < 0.25, "{suggestion} instead of {}", rate(60));
    }

    #[test]
    fn no_rate_is_suggested_where_the_loss_does_not_fall() {
        let flat: Vec<f64> = (0..STEPS)
            .map(|step| 2.3 + 0.05 * (step as f64).sin())
            .collect();
        assert_eq!(steepest(&smoothed(&flat)), None);
        let rising: Vec<f64> = (0..STEPS).map(|step| 1.0 + step as f64).collect();
        assert_eq!(steepest(&smoothed(&rising)), None);
        assert_eq!(steepest(&smoothed(&[])), None);
    }
}
