//! A training that goes on while its worker sees to other things.

use std::cell::{Cell, RefCell};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nin_wgpu::checkpoint::{self, Checkpoint, Metadata, part_moments};
use nin_wgpu::data::Split;
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Adam, Augment, Optimizer, Sgd};
use nin_wgpu::program::Parameters;
use nin_wgpu::train::{Event as Told, Pause, State, TrainOptions, Trainer, training_program};
use serde_bytes::ByteBuf;
use web_time::Instant;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::protocol::{Event, Network, OptimizerName, TrainPlan};

/// How often the network is brought to the host while somebody draws for it, …
const WATCHED: Duration = Duration::from_millis(500);
/// … how long after a drawing that is, …
const WATCHING: Duration = Duration::from_secs(10);
/// … and how often the run is saved.
const SAVED: Duration = Duration::from_secs(5);
/// How long a training that was halted sleeps before it looks whether it may go on.
const HALTED: Duration = Duration::from_millis(20);

/// Whether a training goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Running,
    /// Until the next checkpoint.
    Halting,
    Halted,
}

/// What a session and its training both hold.
#[derive(Debug)]
pub(crate) struct Control {
    mode: Cell<Mode>,
    /// The trainer's, to stop and to save.
    flags: RefCell<[Arc<AtomicBool>; 2]>,
    /// The network as it last was.
    latest: RefCell<Option<(Parameters, Metadata)>>,
    /// When it was brought to the host.
    brought: Cell<Instant>,
    /// When somebody last drew for it.
    drawn: Cell<Option<Instant>>,
    /// When the run was last sent to be kept; `None` if it is to be sent at once.
    sent: Cell<Option<Instant>>,
    /// Time halted in this interval.
    halted: Cell<Duration>,
    /// The last step.
    end: Cell<u64>,
    is_over: Cell<bool>,
}

impl Control {
    /// Halts after one more step, which is saved.
    pub(crate) fn halt(&self) {
        self.mode.set(Mode::Halting);
        self.save();
    }

    pub(crate) fn go_on(&self) {
        self.mode.set(Mode::Running);
    }

    pub(crate) fn save(&self) {
        self.sent.set(None);
        self.set(1);
    }

    pub(crate) fn stop(&self) {
        self.set(0);
        self.sent.set(None);
        self.go_on();
    }

    /// Takes the trainer's flags; what was asked for before holds.
    fn take(&self, flags: [Arc<AtomicBool>; 2]) {
        for (old, new) in self.flags.borrow().iter().zip(&flags) {
            new.store(old.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        *self.flags.borrow_mut() = flags;
    }

    fn set(&self, flag: usize) {
        self.flags.borrow()[flag].store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// The network as it last was, brought often from now on.
    pub(crate) fn latest(&self) -> Option<(Parameters, Metadata)> {
        self.drawn.set(Some(Instant::now()));
        self.latest.borrow().clone()
    }

    /// Awaited by the trainer.
    async fn pause(&self, why: Pause, host: &Host) {
        host.turn(why.duration()).await;
        if why != Pause::Step {
            return;
        }
        if self.mode.get() == Mode::Halted {
            let start = Instant::now();
            let step = self.latest.borrow().as_ref().map_or(0, |(_, of)| of.step);
            host.post(&Event::Paused { step });
            while self.mode.get() == Mode::Halted {
                host.turn(HALTED).await;
            }
            self.halted.set(self.halted.get() + start.elapsed());
        }
        let is_watched = self.drawn.get().is_some_and(|at| at.elapsed() < WATCHING);
        let every = if is_watched { WATCHED } else { SAVED };
        if self.brought.get().elapsed() >= every {
            self.set(1);
        }
    }

    /// Whether the network of a step is to be sent to be kept, too: the last one is, whoever ended the training.
    fn is_due(&self, step: u64) -> bool {
        let is_last = step == self.end.get() || self.flags.borrow()[0].load(Ordering::Relaxed);
        is_last || self.sent.get().is_none_or(|at| at.elapsed() >= SAVED)
    }
}

/// All that a training begins with.
pub(crate) struct Start {
    model: Model,
    options: TrainOptions,
    parameters: Parameters,
    metadata: Metadata,
    /// Of a run that goes on.
    resumed: Option<(Parameters, State)>,
}

impl Start {
    /// A training from its beginning.
    pub(crate) fn new(plan: &TrainPlan, split: &Split) -> Result<Self> {
        let model = *Model::find(&plan.model)?;
        let optimizer = match plan.optimizer {
            OptimizerName::Adam => Optimizer::Adam(Adam::default()),
            OptimizerName::Adamw => Optimizer::Adam(Adam::adamw()),
            OptimizerName::Sgd => Optimizer::Sgd(Sgd {
                momentum: 0.9,
                ..Sgd::default()
            }),
        };
        let options = TrainOptions {
            batch_size: plan.batch,
            epochs: plan.epochs,
            learning_rate: plan.learning_rate,
            warmup_steps: model.recipe.warmup_steps,
            schedule: model.recipe.schedule,
            training: optimizer.into(),
            augment: if plan.augment { MOVED } else { Augment::NONE },
            seed: plan.seed,
            log_every: plan.log_every,
            ..TrainOptions::default()
        };
        let program = training_program(&model, &split.train.outline(), &options);
        let parameters = Init::Kaiming.parameters(program?.graph(), options.seed)?;
        let channels = options.normalize.channels(split.train.channels());
        let metadata = Metadata::new(&model, &split.train, channels, options.seed);
        Ok(Self {
            model,
            options,
            parameters,
            metadata,
            resumed: None,
        })
    }

    /// A run that was saved, to go on with the data that it was begun with.
    pub(crate) fn saved(bytes: &[u8], epochs: Option<u64>, split: &Split) -> Result<Self> {
        let path = Path::new("the saved run");
        let (tensors, mut metadata) = Checkpoint::from_bytes(path, bytes)?.trained(path)?;
        let state = metadata.resume.take();
        let state = state.ok_or(Error::Order("this checkpoint holds no run to go on with"))?;
        // Another folder of the user's may be at hand.
        if metadata.classes != split.train.classes()
            || metadata.image != split.train.outline().image
        {
            return Err(Error::Order(
                "it was trained on pictures of other classes or another size; choose those first",
            ));
        }
        let [parameters, moments] = part_moments(tensors);
        let mut options = state.options.clone();
        options.epochs = epochs.unwrap_or(options.epochs);
        Ok(Self {
            model: metadata.preset()?,
            options,
            parameters,
            metadata,
            resumed: Some((moments, state)),
        })
    }

    /// Begins, and gives back what the training is controlled by.
    pub(crate) fn spawn(self, device: Device, split: Rc<Split>, host: Host) -> Rc<Control> {
        let control = Rc::new(Control {
            mode: Cell::new(Mode::Running),
            flags: RefCell::default(),
            latest: RefCell::new(None),
            brought: Cell::new(Instant::now()),
            drawn: Cell::new(None),
            sent: Cell::new(None),
            halted: Cell::new(Duration::ZERO),
            end: Cell::new(0),
            is_over: Cell::new(false),
        });
        let held = control.clone();
        wasm_bindgen_futures::spawn_local(async move {
            if let Err(error) = self.run(&device, &split, &host, &held).await {
                let message = error.to_string();
                host.post(&Event::TrainFailed { message });
            }
            held.is_over.set(true);
        });
        control
    }

    async fn run(
        self,
        device: &Device,
        split: &Split,
        host: &Host,
        control: &Control,
    ) -> Result<()> {
        let Self {
            model,
            options,
            parameters,
            mut metadata,
            resumed,
        } = self;
        let batch = options.step_images();
        let per_epoch = (split.train.len() / batch) as u64;
        let steps = per_epoch * options.epochs;
        control.end.set(steps);
        let mut trainer = Trainer::new_async(device, &model, split, &parameters, options).await?;
        if let Some((moments, state)) = &resumed {
            trainer.resume(metadata.step, moments, state)?;
        }
        control.take([trainer.stop_flag(), trainer.save_flag()]);
        let network = network(&parameters, &metadata);
        *control.latest.borrow_mut() = Some((parameters, metadata.clone()));
        host.post(&Event::TrainStarted {
            network,
            step: metadata.step,
            steps,
            batch,
        });
        let mut before = metadata.step;
        let tell = |told: Told<'_>| {
            match told {
                Told::Interval(interval) => {
                    let halted = control.halted.take().as_secs_f64();
                    let images = (interval.step - before) as f64 * batch as f64;
                    before = interval.step;
                    host.post(&Event::Metrics {
                        step: interval.step,
                        epoch: interval.epoch,
                        loss: interval.loss,
                        accuracy: interval.accuracy,
                        learning_rate: interval.learning_rate,
                        images_per_second: images / (interval.seconds - halted).max(1e-6),
                    });
                }
                Told::Epoch(epoch) => host.post(&Event::Epoch {
                    epoch: epoch.epoch,
                    step: before,
                    train_loss: epoch.train_loss,
                    test_accuracy: epoch.accuracy(),
                }),
                Told::Progress(progress) if progress.testing => host.post(&Event::Testing {
                    images: progress.images,
                    of: progress.of,
                }),
                Told::Checkpoint {
                    epoch,
                    step,
                    parameters,
                    trained,
                    moments,
                    state,
                    ..
                } => {
                    (metadata.epoch, metadata.step) = (epoch, step);
                    let both: Parameters = trained.iter().chain(moments).cloned().collect();
                    control.bring(parameters, &both, &metadata, state, host);
                }
                _ => {}
            }
            Ok(())
        };
        let pause = async |why| control.pause(why, host).await;
        let summary = trainer.run_async(tell, pause).await?;
        host.post(&Event::TrainEnded {
            step: summary.steps,
            stopped: summary.stopped,
        });
        Ok(())
    }
}

/// Two pixels each way, and mirrored.
const MOVED: Augment = Augment {
    crop: 2,
    flip: true,
    resized: false,
};

impl Control {
    /// Takes the network as it is, and sends it to be kept if that is due.
    fn bring(
        &self,
        used: &Parameters,
        run: &Parameters,
        metadata: &Metadata,
        state: &State,
        host: &Host,
    ) {
        *self.latest.borrow_mut() = Some((used.clone(), metadata.clone()));
        self.brought.set(Instant::now());
        if self.mode.get() == Mode::Halting {
            self.mode.set(Mode::Halted);
        }
        if !self.is_due(metadata.step) {
            return;
        }
        let whole = Metadata {
            resume: Some(state.clone()),
            ..metadata.clone()
        };
        let weights = checkpoint::to_bytes(used, Some(metadata));
        let run = checkpoint::to_bytes(run, Some(&whole));
        self.sent.set(Some(Instant::now()));
        host.post(&match (weights, run) {
            (Ok(weights), Ok(run)) => Event::Saved {
                step: metadata.step,
                weights: ByteBuf::from(weights),
                run: ByteBuf::from(run),
            },
            (Err(error), _) | (_, Err(error)) => Event::Error {
                of: "save",
                message: error.to_string(),
            },
        });
    }
}

/// What there is to tell of a network.
pub(crate) fn network(parameters: &Parameters, metadata: &Metadata) -> Network {
    let sizes = parameters.iter().map(|(_, tensor)| tensor.data.len());
    Network {
        model: metadata.model.clone(),
        dataset: metadata.dataset.clone(),
        classes: metadata.classes.clone(),
        image: metadata.image,
        parameters: sizes.sum(),
        step: metadata.step,
    }
}
