//! The training loop.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::TrainError;
use super::events::{Epoch, Event, Interval, Progress};
use super::order::epoch_order;
use crate::data::{Dataset, Outline, Split};
use crate::device::Device;
use crate::error::Result;
use crate::models::Model;
use crate::ops::{Adam, Normalize};
use crate::program::{Metrics, Parameters, Program, Run, Source};

/// How to train.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// Images of a step.
    pub batch_size: usize,
    /// Passes over the training set.
    pub epochs: u64,
    /// Adam's learning rate.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly to its full value.
    pub warmup_steps: u64,
    /// Mean and standard deviation that each channel is normalised by.
    pub normalize: Normalize,
    /// Seed of the order of images and of dropout.
    pub seed: u64,
    /// Whether each epoch has an order of its own.
    pub shuffle: bool,
    /// Steps of a log interval.
    pub log_every: u64,
    /// Steps between checkpoints within an epoch; 0 for none.
    pub checkpoint_every: u64,
    /// Steps after which to stop; `None` for all epochs.
    pub max_steps: Option<u64>,
    /// Whether to emit [`Event::FirstStep`].
    pub first_step: bool,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            batch_size: 16,
            epochs: 3,
            learning_rate: 3e-4,
            warmup_steps: 30,
            normalize: Normalize::default(),
            seed: 1,
            shuffle: true,
            log_every: 100,
            checkpoint_every: 0,
            max_steps: None,
            first_step: false,
        }
    }
}

impl TrainOptions {
    fn check(&self, images: usize) -> Result<(), TrainError> {
        let option = |option, got: String, want| Err(TrainError::Option { option, got, want });
        if self.batch_size == 0 {
            return option("batch size", "0".into(), "at least 1");
        }
        if self.batch_size > images {
            return Err(TrainError::Batch {
                batch: self.batch_size,
                len: images,
            });
        }
        if self.epochs == 0 {
            return option("epochs", "0".into(), "at least 1");
        }
        if self.max_steps == Some(0) {
            return option("maximum of steps", "0".into(), "at least 1");
        }
        if self.log_every == 0 {
            return option("log interval", "0".into(), "at least 1");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return option(
                "learning rate",
                self.learning_rate.to_string(),
                "a number above 0",
            );
        }
        Ok(())
    }

    /// The learning rate of a step, which counts from 1.
    pub fn learning_rate_at(&self, step: u64) -> f64 {
        self.learning_rate * (step as f64 / self.warmup_steps.max(1) as f64).min(1.0)
    }
}

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps done.
    pub steps: u64,
    /// Test accuracy of the best epoch.
    pub best_accuracy: f64,
    /// That epoch.
    pub best_epoch: u64,
}

/// A model, its data and its optimizer on a device.
pub struct Trainer<'a> {
    split: &'a Split,
    options: TrainOptions,
    train: Run,
    test: Run,
    step: u64,
    waiting: VecDeque<Waiting>,
    since: Instant,
    warned: Vec<usize>,
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
        let train = load(
            training_program(model, &split.train.outline(), &options)?,
            &split.train,
        )?;
        let test = load(
            test_program(model, &split.test.outline(), &options)?,
            &split.test,
        )?;
        Ok(Self {
            split,
            options,
            train,
            test,
            step: 0,
            waiting: VecDeque::new(),
            since: Instant::now(),
            warned: Vec::new(),
        })
    }

    /// Trains to the end, telling `tell` of every event.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] if the loss diverges, those of the device, and whatever `tell` returns.
    pub fn run(&mut self, mut tell: impl FnMut(Event<'_>) -> Result<()>) -> Result<Summary> {
        let mut summary = Summary {
            steps: 0,
            best_accuracy: 0.0,
            best_epoch: 0,
        };
        self.since = Instant::now();
        for epoch in 1..=self.options.epochs {
            let start = Instant::now();
            let trained = self.train_epoch(epoch, &mut tell)?;
            let parameters = self.train.parameters()?;
            let test_accuracy = self.test_epoch(epoch, &parameters, &mut tell)?;
            tell(Event::Epoch(Epoch {
                epoch,
                train_loss: trained.loss(),
                train_accuracy: trained.accuracy(),
                test_accuracy,
                seconds: start.elapsed().as_secs_f64(),
            }))?;
            let best = epoch == 1 || test_accuracy > summary.best_accuracy;
            if best {
                summary.best_accuracy = test_accuracy;
                summary.best_epoch = epoch;
            }
            tell(Event::Checkpoint {
                epoch,
                step: self.step,
                best,
                parameters: &parameters,
            })?;
            self.since = Instant::now();
            if self.finished() {
                break;
            }
        }
        summary.steps = self.step;
        Ok(summary)
    }

    fn finished(&self) -> bool {
        self.options.max_steps.is_some_and(|most| self.step >= most)
    }

    /// One pass over the training images, a last part of a batch left out; returns its means.
    fn train_epoch(
        &mut self,
        epoch: u64,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<Metrics> {
        let options = self.options.clone();
        let order = epoch_order(self.split.train.len(), options.seed, epoch, options.shuffle);
        let batches: Vec<&[u32]> = order.chunks_exact(options.batch_size).collect();
        let first = self.step;
        let remaining = options
            .max_steps
            .map_or(u64::MAX, |most| most.saturating_sub(first));
        let steps = (batches.len() as u64).min(remaining);
        let of = steps * options.batch_size as u64;
        let mut total = Metrics::empty();
        let mut interval = 0;
        for batch in &batches[..steps as usize] {
            self.step += 1;
            interval += 1;
            let last = self.step - first == steps;
            let snapshot = last || self.step.is_multiple_of(options.log_every);
            let rate = options.learning_rate_at(self.step);
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
            if options.checkpoint_every > 0
                && self.step.is_multiple_of(options.checkpoint_every)
                && !last
            {
                let parameters = self.train.parameters()?;
                tell(Event::Checkpoint {
                    epoch: epoch - 1,
                    step: self.step,
                    best: false,
                    parameters: &parameters,
                })?;
            }
            let most = if last { 0 } else { IN_FLIGHT };
            loop {
                for metrics in self.train.take_metrics(false)? {
                    total.add(&metrics);
                    self.report(epoch, &metrics, tell)?;
                }
                let done = self.train.completed().saturating_sub(first).min(steps);
                let images = done * options.batch_size as u64;
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
        }
        Ok(total)
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

    /// Accuracy over the test set.
    fn test_epoch(
        &mut self,
        epoch: u64,
        parameters: &Parameters,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<f64> {
        let len = self.split.test.len();
        let batch = self.test.program().batch();
        let before = self.test.completed();
        self.test.set_parameters(parameters)?;
        let progress = |run: &Run, tell: &mut dyn FnMut(Event<'_>) -> Result<()>| {
            let images = ((run.completed() - before) * batch as u64).min(len as u64);
            tell(Event::Progress(Progress {
                epoch,
                images,
                of: len as u64,
                testing: true,
            }))
        };
        for start in (0..len).step_by(batch) {
            // Indices past the end fill up the last batch and count for nothing.
            let indices: Vec<u32> = (start..start + batch).map(|i| i as u32).collect();
            self.test.queue_evaluation(&indices, start + batch >= len)?;
            progress(&self.test, tell)?;
        }
        loop {
            if let Some(metrics) = self.test.take_metrics(false)?.pop() {
                return Ok(metrics.accuracy());
            }
            progress(&self.test, tell)?;
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
        &source,
        size,
        options.batch_size,
        Adam::default(),
        |net, x| model.build(net, x, data.classes),
    )
}

fn test_program(model: &Model, data: &Outline, options: &TrainOptions) -> Result<Program> {
    let (source, size) = source(model, data, options);
    let batch = options.batch_size.min(data.len);
    Program::evaluation(&source, size, batch, |net, x| {
        model.build(net, x, data.classes)
    })
}

fn source(model: &Model, data: &Outline, options: &TrainOptions) -> (Source, [usize; 2]) {
    let [_, height, width] = data.image;
    let source = Source::new(data.len, data.image).with_normalize(options.normalize);
    (source, model.input_size(height, width))
}
