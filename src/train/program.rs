//! The programs of a training: of a size that a device holds.

use super::supply::source;
use super::{TrainError, TrainOptions};
use crate::backend::device::Device;
use crate::data::Outline;
use crate::error::Result;
use crate::models::Model;
use crate::plan::PlanError;
use crate::program::Program;

/// The training program of a preset, for data of a given size.
///
/// # Errors
/// [`TrainError`](super::TrainError) for options outside their range,
/// [`crate::graph::GraphError`] if the images are too small for the model.
pub fn training_program(model: &Model, data: &Outline, options: &TrainOptions) -> Result<Program> {
    in_parts(model, data, options, options.batch_size)
}

/// The same for a device: a step in as many parts as it has batches, or as the device's largest binding asks.
///
/// # Errors
/// As [`training_program`], and [`PlanError`] if the device cannot hold a batch of one image.
pub fn training_program_on(
    device: &Device,
    model: &Model,
    data: &Outline,
    options: &TrainOptions,
) -> Result<Program> {
    let batch = options.step_images();
    let mut part = options.batch_size;
    loop {
        let program = in_parts(model, data, options, part)?;
        match device.check(program.graph()) {
            Err(PlanError::Binding { .. } | PlanError::Workgroups { .. }) if part > 1 => {
                part = smaller_part(batch, part, program.graph().statistics().next().is_some());
            }
            checked => return Ok(checked.map(|()| program)?),
        }
    }
}

/// The next smaller part of a batch: that of the next number of parts that makes them smaller, or, if they must be of one size,
/// the next divisor.
fn smaller_part(batch: usize, part: usize, even: bool) -> usize {
    if even {
        let mut smaller = (1..part).rev();
        return smaller
            .find(|part| batch.is_multiple_of(*part))
            .unwrap_or(1);
    }
    batch.div_ceil(batch.div_ceil(part - 1))
}

fn in_parts(model: &Model, data: &Outline, options: &TrainOptions, part: usize) -> Result<Program> {
    options.check(data.len)?;
    let (source, size) = source(model, data, options, options.step_images(), true);
    let sizes = [options.step_images(), part];
    let training = options.training.clone();
    if let Some(weights) = training.loss.class_weights()
        && weights.len() != data.classes
    {
        return Err(TrainError::ClassWeights {
            got: weights.len(),
            classes: data.classes,
        }
        .into());
    }
    let program = Program::training_in_parts(&source, size, sizes, training, |net, x| {
        model.build(net, x, data.classes)
    });
    Ok(program?)
}

/// The program that evaluates a model on a set, in batches no larger than the device holds.
pub(super) fn evaluation_program(
    device: &Device,
    model: &Model,
    data: &Outline,
    options: &TrainOptions,
) -> Result<Program> {
    let mut batch = options.batch_size.min(data.len);
    loop {
        let (source, size) = source(model, data, options, batch, false);
        let program = Program::evaluation(&source, size, batch, |net, x| {
            model.build(net, x, data.classes)
        })?;
        match device.check(program.graph()) {
            Err(PlanError::Binding { .. } | PlanError::Workgroups { .. }) if batch > 1 => {
                batch = batch.div_ceil(2);
            }
            checked => return Ok(checked.map(|()| program)?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_shrink_to_the_next_number_of_them_or_to_the_next_divisor() {
        let all = |even| {
            let mut parts = vec![12];
            while let Some(&part) = parts.last().filter(|&&part| part > 1) {
                parts.push(smaller_part(12, part, even));
            }
            parts
        };
        assert_eq!(all(true), [12, 6, 4, 3, 2, 1]);
        assert_eq!(all(false), [12, 6, 4, 3, 2, 1]);
        assert_eq!(smaller_part(10, 5, false), 4);
        assert_eq!(smaller_part(10, 5, true), 2);
        assert_eq!(smaller_part(7, 7, true), 1);
    }
}
