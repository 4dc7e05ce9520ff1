//! The training loop.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::evaluate::{batches, evaluation_program};
use super::events::{Epoch, Event, Interval, Progress};
use super::order::epoch_order;
use super::{State, TrainError, TrainOptions};
use crate::data::{Dataset, Outline, Split};
use crate::device::Device;
use crate::error::Result;
use crate::models::Model;
use crate::ops::Adam;
use crate::program::{Metrics, Parameters, Program, Run, Source};

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps done, those before a resumption included.
    pub steps: u64,
    /// Accuracy of the best epoch on the validation set, or on the test set if there is none.
    pub best_accuracy: f64,
    /// That epoch; 0 before the first test.
    pub best_epoch: u64,
    /// Whether it was stopped by [`Trainer::stop_flag`].
    pub stopped: bool,
    /// Whether it ended before the last epoch for want of progress ([`TrainOptions::patience`]).
    pub early: bool,
}

/// A model, its data and its optimizer on a device.
pub struct Trainer<'a> {
    split: &'a Split,
    train: Run,
    /// Evaluates the validation set, or the test set if there is none.
    held_out: Run,
    state: State,
    step: u64,
    /// Step at which this process took the run up.
    first_step: u64,
    waiting: VecDeque<Waiting>,
    since: Instant,
    warned: Vec<usize>,
    stop: Arc<AtomicBool>,
}

/// A snapshot that was asked for and has not arrived.
struct Waiting {
    step: u64,
    interval: u64,
}

/// Snapshots that may be under way before the host waits.
const IN_FLIGHT: usize = 1;

impl<'a> Trainer<'a> {
    /// Builds the training and test programs and uploads data and parameters.
    ///
    /// # Errors
    /// [`TrainError`] for options outside their range, else those of planning and of the device.
    pub fn new(
        device: &Device,
        model: &Model,
        split: &'a Split,
        parameters: &Parameters,
        options: TrainOptions,
    ) -> Result<Self> {
        let load = |program: Program, data: &Dataset| -> Result<Run> {
            let mut run = program.load(device)?;
            run.set_data(data.images(), data.labels())?;
            run.set_parameters(parameters)?;
            Ok(run)
        };
        let train = training_program(model, &split.train.outline(), &options)?;
        let held_out = split.val.as_ref().unwrap_or(&split.test);
        let evaluation = evaluation_program(model, &held_out.outline(), &options)?;
        Ok(Self {
            split,
            train: load(train, &split.train)?,
            held_out: load(evaluation, held_out)?,
            state: State {
                options,
                train_images: split.train.len(),
                val_images: split.val.as_ref().map_or(0, Dataset::len),
                test_images: split.test.len(),
                epoch_so_far: Metrics::empty(),
                best_accuracy: 0.0,
                best_epoch: 0,
            },
            step: 0,
            first_step: 0,
            waiting: VecDeque::new(),
            since: Instant::now(),
            warned: Vec::new(),
            stop: Arc::default(),
        })
    }

    /// Takes a run up after `step` steps: with the parameters of that moment given to [`Trainer::new`] and its moments
    /// given here, it goes on as if it had never stopped.
    ///
    /// # Errors
    /// [`TrainError::Resume`] if the data differ in size, [`crate::runtime::RuntimeError`] if the moments do not fit.
    pub fn resume(&mut self, step: u64, moments: &Parameters, state: &State) -> Result<()> {
        let sizes = |state: &State| [state.train_images, state.val_images, state.test_images];
        let (was, is) = (sizes(state), sizes(&self.state));
        if was != is {
            let message = format!(
                "the run had {was:?} training, validation and test images, but these are {is:?}; use the same data"
            );
            return Err(TrainError::Resume(message).into());
        }
        self.train.set_parameters(moments)?;
        (self.step, self.first_step) = (step, step);
        self.state.epoch_so_far = state.epoch_so_far.clone();
        self.state.best_accuracy = state.best_accuracy;
        self.state.best_epoch = state.best_epoch;
        Ok(())
    }

    /// Set it, from a signal handler say, and the training stops after the current step with a checkpoint.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Trains to the end, telling `tell` of every event.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] if the loss diverges, those of the device, and whatever `tell` returns.
    pub fn run(&mut self, mut tell: impl FnMut(Event<'_>) -> Result<()>) -> Result<Summary> {
        self.since = Instant::now();
        let per_epoch = self.steps_per_epoch();
        let mut stopped = false;
        while !self.finished() && !stopped {
            let start = Instant::now();
            let epoch = self.step / per_epoch + 1;
            self.train_epoch(epoch, &mut tell)?;
            stopped = self.stop.load(Ordering::Relaxed);
            let parameters = self.train.parameters()?;
            let mut best = false;
            if !stopped || self.step.is_multiple_of(per_epoch) {
                let accuracy = self.evaluate(epoch, &parameters, &mut tell)?;
                let trained = &self.state.epoch_so_far;
                tell(Event::Epoch(Epoch {
                    epoch,
                    train_loss: trained.loss(),
                    train_accuracy: trained.accuracy(),
                    val_accuracy: self.split.val.is_some().then_some(accuracy),
                    test_accuracy: self.split.val.is_none().then_some(accuracy),
                    seconds: start.elapsed().as_secs_f64(),
                }))?;
                best = self.state.best_epoch == 0 || accuracy > self.state.best_accuracy;
                if best {
                    self.state.best_accuracy = accuracy;
                    self.state.best_epoch = epoch;
                }
                if self.step.is_multiple_of(per_epoch) {
                    self.state.epoch_so_far = Metrics::empty();
                }
            }
            self.checkpoint(&parameters, best, &mut tell)?;
            self.since = Instant::now();
        }
        Ok(Summary {
            steps: self.step,
            best_accuracy: self.state.best_accuracy,
            best_epoch: self.state.best_epoch,
            stopped,
            early: self.without_progress() && self.step < self.all_steps(),
        })
    }

    fn steps_per_epoch(&self) -> u64 {
        (self.split.train.len() / self.state.options.batch_size) as u64
    }

    fn all_steps(&self) -> u64 {
        self.state.options.epochs * self.steps_per_epoch()
    }

    fn finished(&self) -> bool {
        let most = self.state.options.max_steps.unwrap_or(u64::MAX);
        self.step >= most.min(self.all_steps()) || self.without_progress()
    }

    /// Whether the last epochs, as many as the patience lasts, brought no better accuracy.
    fn without_progress(&self) -> bool {
        let epochs = self.step / self.steps_per_epoch();
        let since = epochs.saturating_sub(self.state.best_epoch);
        self.state
            .options
            .patience
            .is_some_and(|patience| since >= patience)
    }

    /// Hands everything that the run depends on to `tell`.
    fn checkpoint(
        &mut self,
        parameters: &Parameters,
        best: bool,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        tell(Event::Checkpoint {
            epoch: self.step / self.steps_per_epoch(),
            step: self.step,
            best,
            parameters,
            moments: &self.train.moments()?,
            state: &self.state,
        })
    }

    /// The rest of a pass over the training images, a last part of a batch left out.
    fn train_epoch(
        &mut self,
        epoch: u64,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let options = self.state.options.clone();
        let order = epoch_order(self.split.train.len(), options.seed, epoch, options.shuffle);
        let per_epoch = self.steps_per_epoch();
        let before = (epoch - 1) * per_epoch;
        let end = options
            .max_steps
            .map_or(epoch * per_epoch, |most| most.min(epoch * per_epoch));
        let batches = order
            .chunks_exact(options.batch_size)
            .skip((self.step - before) as usize);
        let mut interval = 0;
        for batch in batches {
            self.step += 1;
            interval += 1;
            let last = self.step == end || self.stop.load(Ordering::Relaxed);
            let every = |steps: u64| steps > 0 && self.step.is_multiple_of(steps);
            let save = every(options.checkpoint_every);
            let snapshot = last || save || every(options.log_every);
            let rate = options.learning_rate_at(self.step, self.all_steps());
            self.train
                .queue_train_step(batch, rate, self.step, options.seed as u32, snapshot)?;
            if self.step == 1 && options.first_step {
                let mut tensors = self.train.gradients()?;
                tensors.push(("logits".into(), self.train.logits()?));
                tell(Event::FirstStep(&tensors))?;
            }
            if snapshot {
                self.waiting.push_back(Waiting {
                    step: self.step,
                    interval,
                });
                interval = 0;
            }
            // Everything queued is reported before a checkpoint says how far the run is.
            let most = if last || save { 0 } else { IN_FLIGHT };
            loop {
                for metrics in self.train.take_metrics(false)? {
                    self.state.epoch_so_far.add(&metrics);
                    self.report(epoch, &metrics, tell)?;
                }
                let done = self.first_step + self.train.completed() - before;
                let [images, of] =
                    [done, end - before].map(|steps| steps * options.batch_size as u64);
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
                std::thread::sleep(Duration::from_millis(2));
            }
            if last {
                break;
            }
            if save {
                let parameters = self.train.parameters()?;
                self.checkpoint(&parameters, false, tell)?;
            }
        }
        Ok(())
    }

    /// Tells of the interval that `metrics` belongs to.
    fn report(
        &mut self,
        epoch: u64,
        metrics: &Metrics,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(Waiting { step, interval }) = self.waiting.pop_front() else {
            return Ok(());
        };
        let seconds = self.since.elapsed().as_secs_f64();
        self.since = Instant::now();
        let (loss, accuracy) = (metrics.loss(), metrics.accuracy());
        if !loss.is_finite() {
            return Err(TrainError::NonFinite {
                loss,
                interval,
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
            seconds,
        }))?;
        // Too few images say nothing of a class.
        let dead = metrics.dead_classes();
        if metrics.images() >= 256 && !dead.is_empty() && dead != self.warned {
            tell(Event::DeadClasses(dead.clone()))?;
            self.warned = dead;
        }
        Ok(())
    }

    /// Accuracy over the validation set, or over the test set if there is none.
    fn evaluate(
        &mut self,
        epoch: u64,
        parameters: &Parameters,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<f64> {
        let len = self.split.val.as_ref().unwrap_or(&self.split.test).len();
        let batch = self.held_out.program().batch();
        let before = self.held_out.completed();
        self.held_out.set_parameters(parameters)?;
        let progress = |run: &Run, tell: &mut dyn FnMut(Event<'_>) -> Result<()>| {
            let images = ((run.completed() - before) * batch as u64).min(len as u64);
            tell(Event::Progress(Progress {
                epoch,
                images,
                of: len as u64,
                testing: true,
            }))
        };
        for (indices, last) in batches(len, batch) {
            self.held_out.queue_evaluation(&indices, last)?;
            progress(&self.held_out, tell)?;
        }
        loop {
            if let Some(metrics) = self.held_out.take_metrics(false)?.pop() {
                return Ok(metrics.accuracy());
            }
            progress(&self.held_out, tell)?;
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// The training program of a preset, for data of a given size.
///
/// # Errors
/// [`TrainError`] for options outside their range,
/// [`crate::graph::GraphError`] if the images are too small for the model.
pub fn training_program(model: &Model, data: &Outline, options: &TrainOptions) -> Result<Program> {
    options.check(data.len)?;
    let (source, size) = source(model, data, options);
    Program::training(
        &source.with_augment(options.augment),
        size,
        options.batch_size,
        Adam::default(),
        |net, x| model.build(net, x, data.classes),
    )
}

pub(super) fn source(
    model: &Model,
    data: &Outline,
    options: &TrainOptions,
) -> (Source, [usize; 2]) {
    let [_, height, width] = data.image;
    let source = Source::new(data.len, data.image).with_normalize(options.normalize);
    (source, model.input_size(height, width))
}
