//! `train --debug-nan`: where a training that diverged first had a value that is not finite.

use std::path::Path;

use nin_wgpu::checkpoint;
use nin_wgpu::data::Split;
use nin_wgpu::device::Device;
use nin_wgpu::models::Model;
use nin_wgpu::program::Parameters;
use nin_wgpu::train::{TrainOptions, Trainer};

/// Runs the steps since the last checkpoint, or since `initial`, once more: on the CPU, which keeps every value, one by one.
pub(crate) fn find(
    model: &Model,
    split: &Split,
    options: &TrainOptions,
    initial: &Parameters,
    out: &Path,
) -> nin_wgpu::Result<String> {
    let options = TrainOptions {
        log_every: 1,
        checkpoint_every: 0,
        ..options.clone()
    };
    let device = Device::Cpu;
    let saved = checkpoint::load_trained(&out.join("resume.safetensors")).ok();
    let saved = saved.and_then(|(tensors, metadata)| {
        let state = metadata.resume?;
        Some((checkpoint::part_moments(tensors), metadata.step, state))
    });
    let mut trainer = match &saved {
        None => Trainer::new(&device, model, split, initial, options)?,
        Some(([parameters, moments], step, state)) => {
            let mut trainer = Trainer::new(&device, model, split, parameters, options)?;
            trainer.resume(*step, moments, state)?;
            trainer
        }
    };
    Ok(match trainer.run(|_| Ok(())) {
        Err(error) if error.is_divergence() => match trainer.first_non_finite() {
            Some((name, step)) => {
                format!("step {step}, the first value that is not finite is of `{name}`")
            }
            None => "all values are finite, and the sum of the losses is not".to_owned(),
        },
        Err(error) => return Err(error),
        Ok(_) => "on the CPU the same steps do not diverge".to_owned(),
    })
}
