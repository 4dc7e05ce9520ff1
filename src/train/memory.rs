//! Whether a training fits the memory that there is, before any is taken.

use super::program::evaluation_program;
use super::{TrainError, TrainOptions, training_program_on};
use crate::backend::device::Device;
use crate::backend::memory;
use crate::data::Split;
use crate::error::Result;
use crate::models::Model;

/// Bytes of the machine's memory that a training takes, to train and to test; `None` if it lies in a GPU's own.
fn need(
    device: &Device,
    model: &Model,
    split: &Split,
    options: &TrainOptions,
) -> Result<Option<u64>> {
    let train = training_program_on(device, model, &split.train.outline(), options)?;
    let held_out = split.val.as_ref().unwrap_or(&split.test).outline();
    let test = evaluation_program(device, model, &held_out, options)?;
    let bytes = [train, test].map(|program| device.host_bytes(program.graph()));
    Ok(match bytes {
        // What allocators, drivers and single nodes take besides is less than a tenth.
        [Some(train), Some(test)] => Some((train + test) / 10 * 11),
        _ => None,
    })
}

/// Refuses a training on the CPU, or on a software GPU, that takes more memory than is available. Where the system does not say how
/// much that is, none is refused.
///
/// # Errors
/// [`TrainError::Memory`] with the largest batch that fits; those of planning.
pub fn check_memory(
    device: &Device,
    model: &Model,
    split: &Split,
    options: &TrainOptions,
) -> Result<()> {
    match memory::available() {
        Some(available) => check(device, model, split, options, available),
        None => Ok(()),
    }
}

fn check(
    device: &Device,
    model: &Model,
    split: &Split,
    options: &TrainOptions,
    available: u64,
) -> Result<()> {
    let need_of = |batch_size| {
        let options = TrainOptions {
            batch_size,
            ..options.clone()
        };
        need(device, model, split, &options)
    };
    let batch = options.batch_size;
    let Some(need) = need_of(batch)?.filter(|&need| need > available) else {
        return Ok(());
    };
    // The largest batch that fits is at least the one, and less than the other.
    let (mut fits, mut too_large) = (0, batch);
    while too_large - fits > 1 {
        let middle = fits.midpoint(too_large);
        match need_of(middle)? {
            Some(need) if need > available => too_large = middle,
            _ => fits = middle,
        }
    }
    Err(TrainError::Memory {
        batch,
        need,
        available,
        fits,
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::synthetic::Synthetic;
    use crate::error::Error;

    #[test]
    fn the_batch_that_is_named_is_the_largest_that_fits() {
        let split = Synthetic {
            train: 400,
            test: 100,
            ..Synthetic::default()
        };
        let split = split.generate().expect("valid");
        let model = Model::find("nin-small").expect("exists");
        let options = TrainOptions {
            batch_size: 300,
            ..TrainOptions::default()
        };
        let check = |batch_size, available| {
            let options = TrainOptions {
                batch_size,
                ..options.clone()
            };
            check(&Device::Cpu, model, &split, &options, available)
        };
        let need = need(&Device::Cpu, model, &split, &options);
        let need = need.expect("plans").expect("of the CPU");
        check(300, need).expect("fits");
        let error = check(300, need / 3).expect_err("it does not fit");
        let Error::Train(TrainError::Memory { fits, .. }) = error else {
            panic!("{error}")
        };
        assert!((50..150).contains(&fits), "{fits}");
        check(fits, need / 3).expect("fits");
        check(fits + 1, need / 3).expect_err("it does not fit");
        let error = check(300, 1000).expect_err("nothing fits").to_string();
        assert!(error.contains("not even a batch of one"), "{error}");
    }
}
