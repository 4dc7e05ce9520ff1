//! Whether a GPU's clock is up: one at rest takes it down, to a third say, and needs a while to take it up again.

use web_time::{Duration, Instant};

use super::super::peak::MultiplyAdds;
use super::super::{AdapterKind, Gpu, GpuError};

/// How long a GPU is kept busy at first, so that its clock goes as high as it may …
const FIRST: Duration = Duration::from_millis(300);
/// … and how long at most later on, if it went down meanwhile.
const LATER: Duration = Duration::from_millis(500);
/// Seconds of work that are queued at once, at most: a driver ends what takes whole seconds.
const QUEUED: f64 = 0.02;
/// Part by which multiply-adds may take longer than the fastest that were seen.
const SLACK: f64 = 1.1;

/// The fastest that multiply-adds were seen to be, to compare with. Nothing is waited for on a device that is no hardware.
#[derive(Debug)]
pub(super) struct Clock {
    gauge: Option<MultiplyAdds>,
    fastest: f64,
}

impl Clock {
    /// Brings the clock up.
    pub(super) fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let is_hardware = gpu.description().kind == AdapterKind::Hardware;
        let gauge = is_hardware.then(|| MultiplyAdds::new(gpu)).transpose()?;
        let mut this = Self {
            gauge,
            fastest: f64::INFINITY,
        };
        let start = Instant::now();
        while this.gauge.is_some() && start.elapsed() < FIRST {
            this.is_up(gpu)?;
            this.work(gpu)?;
        }
        Ok(this)
    }

    /// Whether it is as high as it was seen to be.
    pub(super) fn is_up(&mut self, gpu: &Gpu) -> Result<bool, GpuError> {
        let Some(gauge) = &self.gauge else {
            return Ok(true);
        };
        let now = gauge.time(gpu)?;
        // A clock of the device's that was reset meanwhile tells no time.
        if now > 0.0 {
            self.fastest = self.fastest.min(now);
        }
        Ok(now < SLACK * self.fastest)
    }

    /// Keeps the device busy until it is, if that can be had in time.
    pub(super) fn bring_up(&mut self, gpu: &Gpu) -> Result<(), GpuError> {
        let start = Instant::now();
        while !self.is_up(gpu)? && start.elapsed() < LATER {
            self.work(gpu)?;
        }
        Ok(())
    }

    /// Keeps the device busy for a while, at the speed that it was seen to have.
    fn work(&self, gpu: &Gpu) -> Result<(), GpuError> {
        match &self.gauge {
            Some(gauge) => gauge.repeat(gpu, (QUEUED / self.fastest).clamp(1.0, 200.0) as u32),
            None => Ok(()),
        }
    }
}
