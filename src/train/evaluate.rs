//! Loss and accuracy on images that are not trained on.

use super::TrainOptions;
use super::program::evaluation_program;
use super::supply::Supply;
use super::trainer::Pause;
use crate::backend::device::Device;
use crate::backend::wait::block_on;
use crate::data::{Bad, Dataset};
use crate::error::Result;
use crate::models::Model;
use crate::program::{Metrics, Parameters, Run};

/// A data set on a device, with a network to be tested on it.
pub(super) struct Examination {
    pub(super) run: Run,
    supply: Supply,
    len: usize,
}

impl Examination {
    /// Gives it memory, and the data set too if that is to lie there; says what could not be loaded.
    pub(super) async fn new(
        device: &Device,
        model: &Model,
        data: &Dataset,
        options: &TrainOptions,
    ) -> Result<(Self, Vec<Bad>)> {
        let program = evaluation_program(device, model, &data.outline(), options)?;
        let supply = Supply::new(data, options, program.batch(), false);
        let mut run = program.load_async(device).await?;
        let bad = supply.place(&mut run)?;
        let len = data.len();
        Ok((Self { run, supply, len }, bad))
    }

    /// Loss and accuracy of `parameters`. `tell` hears how many images are done, and what could not be loaded.
    pub(super) async fn examine(
        &mut self,
        parameters: &Parameters,
        mut tell: impl FnMut(u64, &[Bad]) -> Result<()>,
        pause: &impl AsyncFn(Pause),
    ) -> Result<Metrics> {
        let Self { run, supply, len } = self;
        run.set_parameters(parameters)?;
        let batch = run.program().batch();
        let before = run.completed();
        let done = |run: &Run| ((run.completed() - before) * batch as u64).min(*len as u64);
        let last = len.div_ceil(batch);
        let mut batches = supply.batches((0..*len as u32).collect(), None);
        let mut at = 0;
        while let Some(ready) = batches.next(run)? {
            at += 1;
            run.queue_evaluation(&ready.indices, at == last)?;
            tell(done(run), &ready.bad)?;
            while batches
                .in_flight()
                .is_some_and(|most| before + at as u64 - run.completed() > most)
            {
                run.poll()?;
                pause(Pause::Ahead).await;
            }
            pause(Pause::Tested).await;
        }
        loop {
            if let Some(metrics) = run.take_metrics(false)?.pop() {
                return Ok(metrics);
            }
            tell(done(run), &[])?;
            pause(Pause::Late).await;
        }
    }
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
    evaluate_telling(device, model, parameters, data, options, |_| Ok(()))
}

/// As [`evaluate`]; `tell` hears of pictures that could not be loaded, which are left out if the options say so.
///
/// # Errors
/// Those of [`evaluate`], and whatever `tell` returns.
pub fn evaluate_telling(
    device: &Device,
    model: &Model,
    parameters: &Parameters,
    data: &Dataset,
    options: &TrainOptions,
    mut tell: impl FnMut(&[Bad]) -> Result<()>,
) -> Result<Metrics> {
    let mut told = |bad: &[Bad]| if bad.is_empty() { Ok(()) } else { tell(bad) };
    block_on(async {
        let (mut examination, bad) = Examination::new(device, model, data, options).await?;
        told(&bad)?;
        let tell = |_, bad: &[Bad]| told(bad);
        examination.examine(parameters, tell, &Pause::sleep).await
    })
}
