//! What a device can do at most, measured on it: the roof that a profile is compared with.

use std::fmt;

use web_time::Instant;

/// The highest rates that simple kernels reach on a device. See [`Device::peak`](crate::backend::device::Device::peak).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Floating-point operations per second, in `f32`; a fused multiply-add counts as two.
    pub flops: f64,
    /// Bytes of memory per second, those read and those written together.
    pub bytes: f64,
}

impl Peak {
    /// The least seconds that `flops` operations and the movement of `bytes` take, one overlapping the other.
    pub fn seconds(&self, flops: u64, bytes: u64) -> f64 {
        (flops as f64 / self.flops).max(bytes as f64 / self.bytes)
    }
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flops, bytes } = self;
        write!(f, "{:.0} GFLOP/s, {:.1} GB/s", flops / 1e9, bytes / 1e9)
    }
}

/// Seconds that a run should last, so that starting it does not count.
const LONG: f64 = 0.005;
/// Whatever disturbs a run makes it slower, so the fastest of as many is taken as fit into these seconds, …
const SPAN: f64 = 0.25;
/// … and of at least so many.
const RUNS: usize = 3;

/// How many times a second `run` does its work; `run(n)` does it `n` times and returns when it is done.
pub(crate) fn highest_rate<E>(mut run: impl FnMut(u32) -> Result<(), E>) -> Result<f64, E> {
    let mut seconds = |times| {
        let start = Instant::now();
        run(times)?;
        Ok(start.elapsed().as_secs_f64())
    };
    let mut times = 1;
    // Twice, or a disturbed run would pass for a long one.
    while seconds(times)?.min(seconds(times)?) < LONG && times < 1 << 30 {
        times *= 2;
    }
    let (mut best, mut runs, start) = (f64::INFINITY, 0, Instant::now());
    while runs < RUNS || start.elapsed().as_secs_f64() < SPAN {
        best = best.min(seconds(times)?);
        runs += 1;
    }
    Ok(f64::from(times) / best)
}
