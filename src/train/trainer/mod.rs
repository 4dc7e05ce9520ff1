//! The training loop: epochs, tests and checkpoints. What happens within an epoch is in `epoch.rs`.

mod epoch;
mod pause;

pub use pause::Pause;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use web_time::{Duration, Instant};

use crate::backend::device::Device;
use crate::backend::wait::block_on;
use crate::data::{Bad, Dataset, Split};
use crate::error::Result;
use crate::graph::tensor::Tensor;
use crate::models::{At, Model};
use crate::program::{Metrics, Parameters, Run, Weights};
use crate::train::evaluate::Examination;
use crate::train::events::{Epoch, Event, Progress};
use crate::train::extension;
use crate::train::memory::check_memory;
use crate::train::program::training_program_on;
use crate::train::supply::Supply;
use crate::train::{Plateau, State, TrainError, TrainOptions};

/// What a training came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Steps done, those before a resumption included.
    pub steps: u64,
    /// Accuracy of the best whole epoch on the validation set, or on the test set if there is none; of the first as far as it went,
    /// if [`TrainOptions::max_steps`] ended it.
    pub best_accuracy: f64,
    /// That epoch; 0 before the first test.
    pub best_epoch: u64,
    /// Whether it was stopped by [`Trainer::stop_flag`].
    pub stopped: bool,
    /// Steps that were skipped, since their gradients were not finite
    /// ([`Training::skip_non_finite`](crate::program::Training::skip_non_finite)), those before a resumption included.
    pub skipped: u64,
    /// Whether it ended before the last epoch for want of progress ([`TrainOptions::patience`]).
    pub early: bool,
}

/// A model, its data and its optimizer on a device.
pub struct Trainer<'a> {
    split: &'a Split,
    train: Run,
    supply: Supply,
    /// The validation set, or the test set if there is none.
    held_out: Examination,
    /// What could not be loaded before the first step.
    bad: Vec<Bad>,
    /// Time that training waited for pictures: in this interval, and in this epoch.
    waited: [Duration; 2],
    state: State,
    step: u64,
    /// Step at which this process took the run up.
    first_step: u64,
    waiting: VecDeque<Waiting>,
    since: Instant,
    warned: Vec<usize>,
    /// What people should know of, before the first step.
    notices: Vec<String>,
    /// Accuracy within an epoch, where the steps ended.
    within: Option<f64>,
    stop: Arc<AtomicBool>,
    save: Arc<AtomicBool>,
}

/// A snapshot that was asked for and has not arrived.
struct Waiting {
    step: u64,
    interval: u64,
    learning_rate: f64,
    /// Whether the run was stopped within the interval.
    cut: bool,
}

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
        block_on(Self::new_async(device, model, split, parameters, options))
    }

    /// [`Trainer::new`] to be awaited.
    ///
    /// # Errors
    /// As [`Trainer::new`].
    pub async fn new_async(
        device: &Device,
        model: &Model,
        split: &'a Split,
        parameters: &Parameters,
        options: TrainOptions,
    ) -> Result<Self> {
        check_memory(device, model, split, &options)?;
        let program = training_program_on(device, model, &split.train.outline(), &options)?;
        let supply = Supply::new(&split.train, &options, options.step_images(), true);
        let mut train = program.load_async(device).await?;
        let mut bad = supply.place(&mut train)?;
        train.set_parameters(parameters)?;
        let held_out = split.val.as_ref().unwrap_or(&split.test);
        let (held_out, more) = Examination::new(device, model, held_out, &options).await?;
        bad.extend(more);
        Ok(Self {
            split,
            train,
            supply,
            held_out,
            bad,
            waited: [Duration::ZERO; 2],
            state: State {
                options,
                train_images: split.train.len(),
                val_images: split.val.as_ref().map_or(0, Dataset::len),
                test_images: split.test.len(),
                names: split.names,
                untested: false,
                epoch_so_far: Metrics::empty(),
                interval_so_far: Metrics::empty(),
                skipped: 0,
                skipped_in_a_row: 0,
                best_accuracy: 0.0,
                best_epoch: 0,
                plateau: Plateau::default(),
            },
            step: 0,
            first_step: 0,
            waiting: VecDeque::new(),
            since: Instant::now(),
            warned: Vec::new(),
            notices: Vec::new(),
            within: None,
            stop: Arc::default(),
            save: Arc::default(),
        })
    }

    /// Takes a run up after `step` steps: with the parameters of that moment given to [`Trainer::new`] and what the optimizer kept of
    /// them given here, it goes on as if it had never stopped.
    ///
    /// # Errors
    /// [`TrainError::Resume`] if the data differ in size, or if the learning rate came to its end and more epochs would raise it
    /// again; [`crate::backend::runtime::RuntimeError`] if the moments do not fit.
    pub fn resume(&mut self, step: u64, moments: &Parameters, state: &State) -> Result<()> {
        let sizes = |state: &State| [state.train_images, state.val_images, state.test_images];
        let (was, is) = (sizes(state), sizes(&self.state));
        if was != is {
            let message = format!(
                "the run had {was:?} training, validation and test images, but these are {is:?}; use the same data"
            );
            return Err(TrainError::Resume(message).into());
        }
        if state.names.is_some() && state.names != self.state.names {
            let message = "the pictures or their names are others than those that the run began with, so that it would \
                 test on some that it was trained on; use the same data";
            return Err(TrainError::Resume(message.into()).into());
        }
        self.train.set_parameters(moments)?;
        self.state.plateau = state.plateau.clone();
        (self.step, self.first_step) = (step, step);
        self.state.epoch_so_far = state.epoch_so_far.clone();
        self.state.interval_so_far = state.interval_so_far.clone();
        (self.state.skipped, self.state.skipped_in_a_row) = (state.skipped, state.skipped_in_a_row);
        if !self.state.options.training.skip_non_finite {
            // Steps are skipped no longer, and nothing counts on.
            self.state.skipped += self.state.interval_so_far.forget_skipped();
        }
        if !self.state.interval_so_far.is_empty() {
            self.train.resume_metrics(&self.state.interval_so_far)?;
        }
        self.state.untested = state.untested;
        self.state.best_accuracy = state.best_accuracy;
        self.state.best_epoch = state.best_epoch;
        let next = self.at(self.step + 1);
        let notice = extension::check(&state.options, &self.state.options, next)?;
        self.notices.extend(notice);
        Ok(())
    }

    /// Set it, from a signal handler say, and the training stops after the current step with a checkpoint.
    pub fn stop_flag(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Set it, and there is a checkpoint after the current step.
    pub fn save_flag(&self) -> Arc<AtomicBool> {
        self.save.clone()
    }

    /// Trains to the end, telling `tell` of every event.
    ///
    /// # Errors
    /// [`TrainError::NonFinite`] if the loss diverges, or if steps may be skipped and all of 100 in a row are,
    /// [`TrainError::NonFiniteParameter`] if it does behind the last step before a
    /// checkpoint, those of the device, and whatever `tell` returns.
    pub fn run(&mut self, tell: impl FnMut(Event<'_>) -> Result<()>) -> Result<Summary> {
        block_on(self.run_async(tell, Pause::sleep))
    }

    /// [`Trainer::run`] to be awaited. `pause` is awaited between steps and where there is nothing to do: there a browser gives
    /// others their turn, and may take as long as it likes.
    ///
    /// # Errors
    /// As [`Trainer::run`].
    pub async fn run_async(
        &mut self,
        mut tell: impl FnMut(Event<'_>) -> Result<()>,
        pause: impl AsyncFn(Pause),
    ) -> Result<Summary> {
        self.since = Instant::now();
        let bad = std::mem::take(&mut self.bad);
        if !bad.is_empty() {
            tell(Event::BadPictures(&bad))?;
        }
        for notice in std::mem::take(&mut self.notices) {
            tell(Event::Notice(notice))?;
        }
        let per_epoch = self.steps_per_epoch();
        let mut stopped = false;
        while (!self.finished() || self.state.untested) && !stopped {
            let start = Instant::now();
            self.waited[1] = Duration::ZERO;
            let epoch = if std::mem::take(&mut self.state.untested) {
                self.step / per_epoch
            } else {
                let epoch = self.step / per_epoch + 1;
                self.train_epoch(epoch, &mut tell, &pause).await?;
                epoch
            };
            stopped = self.stop.load(Ordering::Relaxed);
            let weights = self.train.weights().await?;
            let mut best = false;
            for notice in self.split.train.take_notices() {
                tell(Event::Notice(notice))?;
            }
            if !stopped || self.step.is_multiple_of(per_epoch) {
                let tested = self.evaluate(epoch, &weights.used, &mut tell, &pause);
                let accuracy = match tested.await {
                    Ok(accuracy) => accuracy,
                    Err(error) => {
                        // What was trained until then is not lost, and is tested when the run goes on.
                        self.state.untested = self.step.is_multiple_of(per_epoch);
                        self.checkpoint(&weights, false, &mut tell)?;
                        return Err(error);
                    }
                };
                let learning_rate = self.state.options.learning_rate_at(self.at(self.step));
                let mut trained = self.state.epoch_so_far.clone();
                trained.add(&self.state.interval_so_far);
                tell(Event::Epoch(Epoch {
                    epoch,
                    train_loss: trained.loss(),
                    train_accuracy: trained.accuracy(),
                    skipped: self.skipped_of(&trained),
                    val_accuracy: self.split.val.is_some().then_some(accuracy),
                    test_accuracy: self.split.val.is_none().then_some(accuracy),
                    learning_rate,
                    seconds: start.elapsed().as_secs_f64(),
                    waited: self.waited[1].as_secs_f64(),
                }))?;
                if self.step.is_multiple_of(per_epoch) {
                    best = self.state.best_epoch == 0 || accuracy > self.state.best_accuracy;
                    if best {
                        self.state.best_accuracy = accuracy;
                        self.state.best_epoch = epoch;
                    }
                    let schedule = self.state.options.schedule;
                    self.state.plateau.after_epoch(accuracy, schedule);
                    self.state.epoch_so_far = Metrics::empty();
                } else {
                    // A run that goes on from here must become what it would have become in one, so only whole epochs are
                    // compared; before the first of them, this is what there is.
                    best = self.state.best_epoch == 0;
                    self.within = Some(accuracy);
                }
            }
            self.checkpoint(&weights, best, &mut tell)?;
            self.since = Instant::now();
        }
        let (best_epoch, best_accuracy) = match (self.state.best_epoch, self.within) {
            (0, Some(accuracy)) => (1, accuracy),
            (epoch, _) => (epoch, self.state.best_accuracy),
        };
        Ok(Summary {
            steps: self.step,
            best_accuracy,
            best_epoch,
            stopped,
            skipped: self.state.skipped + self.state.interval_so_far.skipped(),
            early: self.without_progress() && self.step < self.all_steps(),
        })
    }

    /// Behind [`TrainError::NonFinite`], on the CPU and with log intervals of one step: the first value of the last step that is not
    /// finite, by the name of its layer, and the step.
    pub fn first_non_finite(&mut self) -> Option<(String, u64)> {
        let step = self.step;
        self.train.first_non_finite().map(|name| (name, step))
    }

    fn steps_per_epoch(&self) -> u64 {
        (self.split.train.len() / self.state.options.step_images()) as u64
    }

    fn all_steps(&self) -> u64 {
        self.state.options.epochs * self.steps_per_epoch()
    }

    /// Steps that were skipped, if any may be.
    fn skipped_of(&self, metrics: &Metrics) -> Option<u64> {
        let skips = self.state.options.training.skip_non_finite;
        skips.then(|| metrics.skipped())
    }

    /// Where `step` is.
    fn at(&self, step: u64) -> At {
        At {
            step,
            per_epoch: self.steps_per_epoch(),
            steps: self.all_steps(),
            drops: self.state.plateau.drops(),
        }
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

    /// Hands everything that the run depends on to `tell`, if it is numbers.
    fn checkpoint(
        &mut self,
        weights: &Weights,
        best: bool,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
    ) -> Result<()> {
        let broken = |(_, tensor): &&(String, Tensor)| tensor.data.iter().any(|x| !x.is_finite());
        if let Some((name, _)) = weights.used.iter().find(broken) {
            return Err(TrainError::NonFiniteParameter {
                name: name.clone(),
                step: self.step,
            }
            .into());
        }
        tell(Event::Checkpoint {
            epoch: self.step / self.steps_per_epoch(),
            step: self.step,
            best,
            parameters: &weights.used,
            trained: weights.trained.as_ref().unwrap_or(&weights.used),
            moments: &weights.moments,
            state: &self.state,
        })
    }

    /// Accuracy over the validation set, or over the test set if there is none.
    async fn evaluate(
        &mut self,
        epoch: u64,
        parameters: &Parameters,
        tell: &mut impl FnMut(Event<'_>) -> Result<()>,
        pause: &impl AsyncFn(Pause),
    ) -> Result<f64> {
        let of = self.split.val.as_ref().unwrap_or(&self.split.test).len() as u64;
        let tell = |images, bad: &[Bad]| {
            if !bad.is_empty() {
                tell(Event::BadPictures(bad))?;
            }
            tell(Event::Progress(Progress {
                epoch,
                images,
                of,
                testing: true,
            }))
        };
        let metrics = self.held_out.examine(parameters, tell, pause).await?;
        Ok(metrics.accuracy())
    }
}
