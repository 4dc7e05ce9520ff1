//! Measuring where the time of a program's run goes.

use super::{Run, RunError};
use crate::backend::device::Device;
use crate::backend::profile::Profile;
use crate::backend::runtime::RuntimeError;

impl Profile {
    /// Measures the peak of `device` and then `runs` runs of `run`, which is loaded on it, with the inputs it has.
    ///
    /// Each run is a real one: a training step updates its parameters `runs` times.
    ///
    /// # Errors
    /// [`RunError::Runtime`] if the device fails.
    pub fn measure(device: &Device, run: &mut Run, runs: usize) -> Result<Self, RunError> {
        Ok(Self {
            device: device.to_string(),
            peak: device.peak().map_err(RuntimeError::from)?,
            entries: run.profile(runs)?,
        })
    }
}
