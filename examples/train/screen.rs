//! What `train` shows: results on stdout, progress on stderr.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nin_wgpu::data::Dataset;
use nin_wgpu::data::image_file::Invert;
use nin_wgpu::device::Device;
use nin_wgpu::models::{Layer, layers};
use nin_wgpu::ops::Augment;
use nin_wgpu::plan::Plan;
use nin_wgpu::profile::Profile;
use nin_wgpu::program::Program;
use nin_wgpu::train::{Event, Home, Progress, Summary, Waiting, training_program_on};

use crate::args::Args;
use crate::optimizer;
use crate::setup::Setup;
use crate::values::TuneName;

/// Prints a line. Whoever reads no further, `head` say, has seen enough: the training goes on, and is saved.
macro_rules! told {
    ($($text:tt)*) => {{
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

pub(crate) struct Screen {
    quiet: bool,
    bar: ProgressBar,
    phase: Cell<Option<(u64, bool)>>,
    classes: Vec<String>,
    /// Accuracy on the test set, if a validation set chose the epoch.
    tested: Cell<Option<f64>>,
    /// Times that a picture was left out.
    bad: Cell<usize>,
    /// What cannot be saved, as it was told last.
    unsaved: RefCell<Option<String>>,
}

impl Screen {
    pub(crate) fn new(quiet: bool, classes: &[String]) -> Self {
        let bar = ProgressBar::new(0);
        if quiet {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        // The template is a constant of this program.
        if let Ok(style) = ProgressStyle::with_template(
            "{prefix} {bar:24} {pos}/{len} images  {per_sec}  {msg}  {eta} left",
        ) {
            bar.set_style(style.with_key(
                "per_sec",
                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(out, "{:.0} images/s", state.per_sec());
                },
            ));
        }
        Self {
            quiet,
            bar,
            phase: Cell::new(None),
            classes: classes.to_vec(),
            tested: Cell::new(None),
            bad: Cell::new(0),
            unsaved: RefCell::new(None),
        }
    }

    /// What is about to be trained, and on what.
    pub(crate) fn header(&self, args: &Args, device: &Device, setup: &Setup) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let Setup {
            model,
            split,
            options,
            folder,
            ..
        } = setup;
        let program = training_program_on(device, model, &split.train.outline(), options)?;
        told!("model    {} ({})", model.name, model.summary);
        told!("device   {device}");
        if args.model.is_none() && args.resume.is_none() && device.is_software() {
            told!(
                "         no GPU is used, so the small network; `--model nin` trains the full one"
            );
        }
        let (train, test) = (&split.train, &split.test);
        let val = split
            .val
            .as_ref()
            .map_or(String::new(), |val| format!(", {} validation", val.len()));
        told!(
            "data     {}: {} training{val} and {} test images, {} classes",
            train.name(),
            train.len(),
            test.len(),
            train.classes().len()
        );
        told!(
            "recipe   batch {}{}, {} epochs, learning rate {} ({}), {} steps of warm-up, seed {}",
            options.step_images(),
            match program.parts() {
                1 => String::new(),
                parts => format!(" in {parts} parts"),
            },
            options.epochs,
            options.learning_rate,
            options.schedule,
            options.warmup_steps,
            options.seed
        );
        if let Some(folder) = args.dataset().1.filter(|_| args.resume.is_none()) {
            told!("         in {}", folder.display());
        }
        told!("         {}", pictures(setup));
        for note in &split.notes {
            told!("         {note}");
        }
        if let Some(says) = optimizer::describe(&options.training) {
            told!("updates  {says}");
        }
        if let Some(counts) = unequal(train) {
            told!("         classes of {counts} images; --balance trains on each equally often");
        }
        if args.verbose {
            for (path, reason) in &split.left_out {
                told!("left out {}: {reason}", path.display());
            }
        }
        let Augment {
            crop,
            flip,
            resized,
        } = options.augment_of(&train.outline());
        let moved = match (crop, resized) {
            (_, true) => Some("random parts of 8 % to 100 % of each picture".to_owned()),
            (0, false) => None,
            (crop, false) => Some(format!("images moved by up to {crop} pixels")),
        };
        let mirrored = flip.then(|| "half of them mirrored".to_owned());
        let changes: Vec<_> = moved.into_iter().chain(mirrored).collect();
        if !changes.is_empty() {
            told!("augment  {}", changes.join(", "));
        }
        if let Device::Gpu(gpu) = device
            && let Ok(plan) = Plan::new(program.graph().clone(), &gpu.plan_options())
        {
            told!(
                "memory   {:.0} MB on the device for a training step of {} dispatches",
                plan.bytes() as f64 / 1e6,
                plan.dispatches().len()
            );
        }
        told!("folder   {}", folder.path().display());
        print_layers(&program);
        Ok(())
    }

    /// The run goes on after `step`.
    pub(crate) fn resumed(&self, step: u64) {
        if !self.quiet {
            told!("resumed after step {step}");
        }
    }

    /// Where the time of a training step goes.
    pub(crate) fn profile(&self, profile: &Profile, waiting: Option<&Waiting>) {
        if self.quiet {
            return;
        }
        told!("{profile}");
        if let Some(waiting) = waiting {
            told!("{waiting}\n");
        }
    }

    /// Which kernels were measured: all if that was asked for, and in any case those that must not be used.
    pub(crate) fn tuned(&self, device: &Device, tune: TuneName) {
        let Device::Gpu(gpu) = device else { return };
        let trials = gpu.trials();
        if tune == TuneName::Full && !self.quiet {
            told!("{trials}");
        }
        for failure in trials.failures(gpu.description()) {
            self.bar.suspend(|| eprintln!("warning: {failure}"));
        }
    }

    /// The device is set up.
    pub(crate) fn ready(&self, start: Instant) {
        if !self.quiet {
            told!("ready after {:.1} s", start.elapsed().as_secs_f64());
        }
    }

    /// Warns of what cannot be saved, once, and tells when it is.
    pub(crate) fn saved(&self, saved: nin_wgpu::Result<()>) {
        let now = saved.err().map(|error| {
            let error = anyhow::Error::from(error);
            format!("{error:#}")
        });
        let before = self.unsaved.replace(now.clone());
        match (before, now) {
            (Some(before), Some(now)) if before == now => {}
            (_, Some(now)) => self.bar.suspend(|| {
                eprintln!("warning: {now}; the training goes on, and tries again with the next log interval");
            }),
            (Some(_), None) => self.bar.suspend(|| eprintln!("warning: over; all is saved again")),
            (None, None) => {}
        }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| told!("{text}"));
        }
    }

    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Progress(progress) => self.progress(progress),
            Event::Interval(i) => {
                let accuracy = 100.0 * i.accuracy;
                let means = match i.loss.is_nan() {
                    true => "no loss, since every step was skipped".to_owned(),
                    false => format!("loss {:.4}  accuracy {accuracy:>5.1} %", i.loss),
                };
                self.bar.set_message(means.clone());
                self.line(&format!(
                    "epoch {:>2}  step {:>6}  {means}  {:.2} s{}",
                    i.epoch,
                    i.step,
                    i.seconds,
                    skipped(i.skipped)
                ));
            }
            Event::BadPictures(bad) => {
                self.bad.set(self.bad.get() + bad.len());
                for bad in *bad {
                    self.bar
                        .suspend(|| eprintln!("warning: left out: {}", bad.error));
                }
            }
            Event::Notice(notice) => self.bar.suspend(|| eprintln!("warning: {notice}")),
            Event::DeadClasses(classes) => self.warn_of(classes),
            Event::Epoch(e) => self.line(&format!(
                "epoch {:>2}  {}  {} accuracy {:.2} %  {:.1} s{}{}",
                e.epoch,
                match e.train_loss.is_nan() {
                    true => "no train loss".to_owned(),
                    false => format!(
                        "train loss {:.4}  train accuracy {:.2} %",
                        e.train_loss,
                        100.0 * e.train_accuracy
                    ),
                },
                if e.val_accuracy.is_some() {
                    "validation"
                } else {
                    "test"
                },
                100.0 * e.accuracy(),
                e.seconds,
                match e.waited {
                    0.0 => String::new(),
                    waited => format!(
                        ", {:.1} % of it waiting for pictures",
                        100.0 * waited / e.seconds
                    ),
                },
                skipped(e.skipped)
            )),
            Event::Tested(accuracy) => self.tested.set(Some(*accuracy)),
            Event::FirstStep(_) | Event::Checkpoint { .. } => {}
        }
    }

    fn progress(&self, progress: &Progress) {
        let phase = Some((progress.epoch, progress.testing));
        if self.phase.replace(phase) != phase {
            self.bar.reset();
            self.bar.set_length(progress.of);
            let what = if progress.testing {
                "testing"
            } else {
                "training"
            };
            self.bar
                .set_prefix(format!("epoch {} {what}", progress.epoch));
        }
        self.bar.set_position(progress.images);
    }

    fn warn_of(&self, classes: &[usize]) {
        let names: Vec<&str> = classes
            .iter()
            .map(|&class| self.classes.get(class).map_or("?", String::as_str))
            .collect();
        self.bar.suspend(|| {
            eprintln!(
                "warning: {} of {} classes are dead ({}): their logit was 0 for every image of the interval, so they \
                 no longer learn; start again with `--init kaiming`, a lower `--lr` or a longer `--warmup`",
                names.len(),
                self.classes.len(),
                names.join(", ")
            );
        });
    }

    pub(crate) fn summary(&self, args: &Args, summary: &Summary, start: Instant, folder: &Path) {
        self.bar.finish_and_clear();
        let out = folder.display();
        if summary.early {
            told!(
                "stopped early: no better accuracy since epoch {}",
                summary.best_epoch
            );
        }
        told!();
        told!("steps    {} in {}", summary.steps, duration(start));
        let best = 100.0 * summary.best_accuracy;
        match (summary.best_epoch, self.tested.get()) {
            (0, _) => told!("best     not tested yet"),
            (epoch, None) => told!("best     epoch {epoch}: test accuracy {best:.2} %"),
            (epoch, Some(tested)) => told!(
                "best     epoch {epoch}: validation accuracy {best:.2} %, test accuracy {:.2} %",
                100.0 * tested
            ),
        }
        match summary.skipped {
            0 => {}
            1 => told!("skipped  1 step, whose gradient was not finite"),
            steps => told!("skipped  {steps} steps, whose gradients were not finite"),
        }
        match self.bad.get() {
            0 => {}
            times => told!(
                "left out pictures that could not be read, {times} times: see {out}/bad-pictures.txt"
            ),
        }
        // A run that was stopped early may have no best epoch and no curve yet.
        let mut saved = SAVED.to_vec();
        saved.retain(|name| folder.join(name).exists());
        told!("saved    {out}/: {}", saved.join(", "));
        if !summary.stopped
            && let Some(path) = &args.export
        {
            told!("         {}, in 16-bit floats", path.display());
        }
        let next = match summary.stopped {
            true => format!("train -- --resume {out}"),
            false => format!("classify -- --model {out}/best.safetensors PICTURE…"),
        };
        told!("next     cargo run --release --example {next}");
    }
}

/// Steps that were skipped, in words, if any were.
fn skipped(steps: Option<u64>) -> String {
    match steps {
        None | Some(0) => String::new(),
        Some(1) => ", 1 step skipped".to_owned(),
        Some(steps) => format!(", {steps} steps skipped"),
    }
}

/// Size and home of the pictures, in words.
fn pictures(setup: &Setup) -> String {
    let (train, options) = (&setup.split.train, &setup.options);
    let outline = train.outline();
    let [c, h, w] = outline.image;
    let colour = if c == 1 { "grey" } else { "in colour" };
    let random = options.augment != Augment::NONE;
    let home = match options.home.of(&outline, random) {
        Home::Stream => format!("streamed to the device, {} batches ahead", options.prefetch),
        _ => format!(
            "{:.0} MB resident on the device",
            outline.bytes() as f64 / 1e6
        ),
    };
    let prepared = match train.path(0) {
        None => String::new(),
        Some(_) => {
            let preparation = train.preparation();
            let fit = format!(", {:?}", preparation.fit).to_lowercase();
            let inverted = match preparation.invert {
                Invert::Yes => ", light and dark swapped",
                _ => "",
            };
            format!("{fit}{inverted}")
        }
    };
    format!("pictures of {h}x{w}, {colour}{prepared}; {home}")
}

/// The smallest and the largest class, if there are more than three times as many images in that one.
fn unequal(train: &Dataset) -> Option<String> {
    let counts = train.class_counts();
    let named = counts.iter().zip(train.classes());
    let (least, rare) = named.clone().min_by_key(|(count, _)| **count)?;
    let (most, common) = named.max_by_key(|(count, _)| **count)?;
    (*most > 3 * *least).then(|| format!("{least} ({rare}) to {most} ({common})"))
}

/// Files of a run that people look at.
const SAVED: [&str; 5] = [
    "best.safetensors",
    "last.safetensors",
    "curve.svg",
    "metrics.jsonl",
    "profile.json",
];

/// The time since `start`, to be read by people.
fn duration(start: Instant) -> String {
    let seconds = start.elapsed().as_secs_f64();
    match seconds {
        ..60.0 => format!("{seconds:.1} s"),
        ..3600.0 => format!(
            "{:.0} min {:.0} s",
            (seconds / 60.0).floor(),
            seconds % 60.0
        ),
        _ => format!(
            "{:.0} h {:.0} min",
            (seconds / 3600.0).floor(),
            seconds % 3600.0 / 60.0
        ),
    }
}

/// The table of layers: shapes, parameters, operations.
fn print_layers(program: &Program) {
    // Of a batch that is run in parts, the graph is that of a part.
    let logits = program.graph().value(program.logits()).shape;
    let batch = logits.dims()[0];
    let all = layers(program.graph());
    let longest = |of: fn(&Layer) -> &String, least| {
        let lengths = all.iter().map(|layer| of(layer).chars().count());
        lengths.fold(least, usize::max)
    };
    let (name, kind) = (
        longest(|layer| &layer.name, 12),
        longest(|layer| &layer.kind, 22),
    );
    told!();
    told!(
        "{:<name$} {:<kind$} {:>14} {:>12} {:>14}",
        "layer",
        "kind",
        "output",
        "parameters",
        "MFLOP an image"
    );
    let (mut parameters, mut flops) = (0, 0);
    for layer in &all {
        let output: Vec<String> = layer.output.dims()[1..]
            .iter()
            .map(ToString::to_string)
            .collect();
        told!(
            "{:<name$} {:<kind$} {:>14} {:>12} {:>14.2}",
            layer.name,
            layer.kind,
            output.join("x"),
            layer.parameters,
            layer.flops as f64 / batch as f64 / 1e6
        );
        parameters += layer.parameters;
        flops += layer.flops;
    }
    told!(
        "{:<name$} {:<kind$} {:>14} {:>12} {:>14.2}\n",
        "total",
        "",
        "",
        parameters,
        flops as f64 / batch as f64 / 1e6
    );
}
