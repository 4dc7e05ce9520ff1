//! An epoch of a training: its steps, and what is told of them.

use std::sync::atomic::Ordering;

use web_time::Instant;

use super::{Pause, Trainer, Waiting};
use crate::error::Result;
use crate::program::Metrics;
use crate::train::TrainError;
use crate::train::events::{Event, Interval, Progress};
use crate::train::order::epoch_order;

/// Where so many steps in a row were skipped, in log intervals without any other, the parameters themselves must be at fault.
const SKIPPED_IN_A_ROW: u64 = 100;

/// Snapshots that may be under way before the host waits.
const IN_FLIGHT: usize = 1;

impl Trainer<'_> {
    /// The rest of a pass over the training images, a last part of a batch left out.
    pub(super) async fn train_epoch(
        &mut self,
        epoch: u64,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
        pause: &impl AsyncFn(Pause),
    ) -> Result<()> {
        let options = self.state.options.clone();
        let order = epoch_order(&self.split.train, &options, epoch);
        let per_epoch = self.steps_per_epoch();
        let before = (epoch - 1) * per_epoch;
        let end = options
            .max_steps
            .map_or(epoch * per_epoch, |most| most.min(epoch * per_epoch));
        let images = options.step_images();
        let from = (self.step - before) as usize * images;
        let to = (end - before) as usize * images;
        let order = order.get(from..to).unwrap_or_default().to_vec();
        // A step's random changes follow from its number alone, wherever the run was taken up.
        let random = (options.seed as u32, self.step as u32 + 1);
        let supply = self.supply.clone();
        let mut batches = supply.batches(order, Some(random));
        // Of an interval that the run was stopped in, the device has the sums.
        let so_far = &self.state.interval_so_far;
        let mut interval = so_far.images() / images as u64 + so_far.skipped();
        loop {
            pause(Pause::Step).await;
            let before_batch = batches.waited();
            let ready = match batches.next(&mut self.train) {
                Ok(Some(ready)) => ready,
                Ok(None) => break,
                Err(error) => {
                    // What was trained until then is not lost.
                    self.collect(epoch, tell, pause).await?;
                    self.state.interval_so_far = self.train.unfinished_metrics().await?;
                    let weights = self.train.weights().await?;
                    self.checkpoint(&weights, false, tell)?;
                    return Err(error);
                }
            };
            for waited in &mut self.waited {
                *waited += batches.waited() - before_batch;
            }
            if !ready.bad.is_empty() {
                tell(Event::BadPictures(&ready.bad))?;
            }
            let batch = &ready.indices;
            self.step += 1;
            interval += 1;
            let last = self.step == end || self.stop.load(Ordering::Relaxed);
            let every = |steps: u64| steps > 0 && self.step.is_multiple_of(steps);
            let save = every(options.checkpoint_every) | self.save.swap(false, Ordering::Relaxed);
            let whole = save || every(options.log_every) || self.step.is_multiple_of(per_epoch);
            let snapshot = last || whole;
            let rate = options.learning_rate_at(self.at(self.step));
            self.train
                .queue_train_step(batch, rate, self.step, options.seed as u32, snapshot)?;
            if self.step == 1 && options.first_step {
                let mut tensors = self.train.gradients_async().await?;
                tensors.push(("logits".into(), self.train.logits_async().await?));
                tell(Event::FirstStep(&tensors))?;
            }
            if snapshot {
                self.waiting.push_back(Waiting {
                    step: self.step,
                    interval,
                    learning_rate: rate,
                    cut: !whole,
                });
                interval = 0;
            }
            // Everything queued is reported before a checkpoint says how far the run is.
            let most = if last || save { 0 } else { IN_FLIGHT };
            loop {
                for metrics in self.train.take_metrics(false)? {
                    self.report(epoch, metrics, tell)?;
                }
                let done = self.first_step + self.train.completed() - before;
                let [images, of] = [done, end - before].map(|steps| steps * images as u64);
                tell(Event::Progress(Progress {
                    epoch,
                    images,
                    of,
                    testing: false,
                }))?;
                if self.waiting.len() <= most {
                    break;
                }
                // Results are late: look again soon. The device has work queued meanwhile.
                pause(Pause::Late).await;
            }
            let queued = self.step - self.first_step;
            while batches
                .in_flight()
                .is_some_and(|most| queued - self.train.completed() > most)
            {
                self.train.poll()?;
                pause(Pause::Ahead).await;
            }
            if last {
                break;
            }
            if save {
                let weights = self.train.weights().await?;
                self.checkpoint(&weights, false, tell)?;
            }
        }
        Ok(())
    }

    /// Waits for what is queued and tells of it.
    async fn collect(
        &mut self,
        epoch: u64,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
        pause: &impl AsyncFn(Pause),
    ) -> Result<()> {
        while !self.waiting.is_empty() {
            for metrics in self.train.take_metrics(false)? {
                self.report(epoch, metrics, tell)?;
            }
            pause(Pause::Ahead).await;
        }
        Ok(())
    }

    /// Tells of the interval that `metrics` belongs to.
    fn report(
        &mut self,
        epoch: u64,
        metrics: Metrics,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(Waiting {
            step,
            interval,
            learning_rate,
            cut,
        }) = self.waiting.pop_front()
        else {
            return Ok(());
        };
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        let (loss, accuracy) = (metrics.loss(), metrics.accuracy());
        let all_skipped = metrics.images() == 0 && metrics.skipped() > 0;
        let in_a_row = match all_skipped {
            true => self.state.skipped_in_a_row + metrics.skipped(),
            false => 0,
        };
        let at_fault = match all_skipped {
            true => !cut && in_a_row >= SKIPPED_IN_A_ROW,
            false => !loss.is_finite(),
        };
        if at_fault {
            return Err(TrainError::NonFinite {
                loss,
                interval: in_a_row.max(interval),
                step,
                epoch,
            }
            .into());
        }
        tell(Event::Interval(Interval {
            epoch,
            step,
            loss,
            accuracy,
            skipped: self.skipped_of(&metrics),
            learning_rate,
            grad_norm: metrics.gradient_norm(),
            seconds,
            waited: std::mem::take(&mut self.waited[0]).as_secs_f64(),
        }))?;
        // Too few images say nothing of a class.
        let dead = metrics.dead_classes();
        if metrics.images() >= 256 && !dead.is_empty() && dead != self.warned {
            tell(Event::DeadClasses(dead.clone()))?;
            self.warned = dead;
        }
        self.state.interval_so_far = Metrics::empty();
        match cut {
            true => self.state.interval_so_far = metrics,
            false => {
                self.state.epoch_so_far.add(&metrics);
                self.state.skipped += metrics.skipped();
                self.state.skipped_in_a_row = in_a_row;
            }
        }
        Ok(())
    }
}
