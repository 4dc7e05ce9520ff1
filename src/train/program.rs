//! The programs of a training: of a size that a device holds.

use super::supply::source;
use super::{TrainError, TrainOptions};
use crate::backend::device::Device;
use crate::data::Outline;
use crate::error::Result;
use crate::models::Model;
use crate::ops::Adam;
use crate::plan::PlanError;
use crate::program::{Loss, Program, Training};

/// The training program of a preset, for data of a given size.
///
/// # Errors
/// [`TrainError`](super::TrainError) for options outside their range,
/// [`crate::graph::GraphError`] if the images are too small for the model.
pub fn training_program(model: &Model, data: &Outline, options: &TrainOptions) -> Result<Program> {
    in_parts(model, data, options, options.batch_size)
}

/// The same for a device: in as many parts as its largest binding asks.
///
/// # Errors
/// As [`training_program`], and [`PlanError`] if the device cannot hold a batch of one image.
pub fn training_program_on(
    device: &Device,
    model: &Model,
    data: &Outline,
    options: &TrainOptions,
) -> Result<Program> {
    let batch = options.batch_size;
    let mut parts = 1;
    loop {
        let part = batch.div_ceil(parts);
        let program = in_parts(model, data, options, part)?;
        match device.check(program.graph()) {
            Err(PlanError::Binding { .. } | PlanError::Workgroups { .. }) if part > 1 => {
                // The next number of parts that makes them smaller.
                parts = batch.div_ceil(part - 1);
            }
            checked => return Ok(checked.map(|()| program)?),
        }
    }
}

fn in_parts(model: &Model, data: &Outline, options: &TrainOptions, part: usize) -> Result<Program> {
    options.check(data.len)?;
    let (source, size) = source(model, data, options, options.batch_size, true);
    let sizes = [options.batch_size, part];
    if ![0, data.classes].contains(&options.class_weights.len()) {
        return Err(TrainError::ClassWeights {
            got: options.class_weights.len(),
            classes: data.classes,
        }
        .into());
    }
    let training = Training {
        optimizer: Adam::default(),
        loss: Loss::CrossEntropy {
            label_smoothing: options.label_smoothing,
            class_weights: options.class_weights.clone(),
        },
    };
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
