//! Loss and accuracy on images that are not trained on.

use super::TrainOptions;
use super::trainer::source;
use crate::data::{Dataset, Outline};
use crate::device::Device;
use crate::error::Result;
use crate::models::Model;
use crate::program::{Metrics, Parameters, Program};

pub(super) fn evaluation_program(
    model: &Model,
    data: &Outline,
    options: &TrainOptions,
) -> Result<Program> {
    let (source, size) = source(model, data, options);
    let batch = options.batch_size.min(data.len);
    Program::evaluation(&source, size, batch, |net, x| {
        model.build(net, x, data.classes)
    })
}

/// The indices of each batch over `len` images, and whether it is the last. Indices past the end fill that one up and
/// count for nothing.
pub(super) fn batches(len: usize, batch: usize) -> impl Iterator<Item = (Vec<u32>, bool)> {
    (0..len).step_by(batch).map(move |start| {
        let indices = (start..start + batch).map(|i| i as u32).collect();
        (indices, start + batch >= len)
    })
}

/// Loss and accuracy of `parameters` on a data set. Of the options it takes batch size and normalisation.
///
/// # Errors
/// Those of planning and of the device.
pub fn evaluate(
    device: &Device,
    model: &Model,
    parameters: &Parameters,
    data: &Dataset,
    options: &TrainOptions,
) -> Result<Metrics> {
    let mut run = evaluation_program(model, &data.outline(), options)?.load(device)?;
    run.set_data(data.images(), data.labels())?;
    run.set_parameters(parameters)?;
    for (indices, last) in batches(data.len(), run.program().batch()) {
        run.queue_evaluation(&indices, last)?;
    }
    let metrics = run.take_metrics(true)?;
    Ok(metrics
        .into_iter()
        .next_back()
        .unwrap_or_else(Metrics::empty))
}
