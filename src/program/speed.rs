//! How long a step takes on a device: what one chooses between devices by.

use std::time::Duration;

use web_time::Instant;

use super::Run;
use super::run::RunError;

impl Run {
    /// Seconds of a training step on this device: the shortest of those that begin within `budget`, two at least, since a driver
    /// may go on compiling in the first.
    ///
    /// They are steps as any other, so load a run for this alone; it needs neither parameters nor data.
    ///
    /// # Errors
    /// As [`Run::train_step`].
    pub async fn step_seconds_async(&mut self, budget: Duration) -> Result<f64, RunError> {
        let indices: Vec<u32> = (0..self.program().batch() as u32).collect();
        let start = Instant::now();
        let mut shortest = f64::INFINITY;
        for step in 1.. {
            let before = Instant::now();
            self.train_step_async(&indices, 0.0, step).await?;
            shortest = shortest.min(before.elapsed().as_secs_f64());
            if step > 1 && start.elapsed() >= budget {
                break;
            }
        }
        Ok(shortest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::device::Device;
    use crate::ops::{Adam, Conv2d};
    use crate::program::{Program, Source};

    #[test]
    fn a_step_is_timed_at_least_twice_and_takes_some_time() {
        let source = Source::new(4, [1, 8, 8]);
        let program = Program::training(&source, [8, 8], 4, Adam::default(), |net, x| {
            let x = net.conv2d("conv", x, 2, Conv2d::new(3, 1, 1)?)?;
            net.global_avg_pool(x)
        });
        let program = program.expect("the network fits its images");
        let mut run = program.load(&Device::Cpu).expect("the CPU takes it");
        let seconds = pollster::block_on(run.step_seconds_async(Duration::ZERO));
        assert!(seconds.is_ok_and(|seconds| seconds > 0.0 && seconds.is_finite()));
        assert_eq!(run.completed(), 2);
    }
}
