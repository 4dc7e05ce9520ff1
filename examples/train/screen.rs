//! What `train` shows: results on stdout, progress on stderr.

use std::cell::Cell;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nin_wgpu::data::Split;
use nin_wgpu::device::Device;
use nin_wgpu::models::{Model, layers};
use nin_wgpu::plan::Plan;
use nin_wgpu::program::Program;
use nin_wgpu::train::{Event, Progress, Summary, TrainOptions, training_program};

use crate::args::Args;

pub(crate) struct Screen {
    quiet: bool,
    bar: ProgressBar,
    phase: Cell<Option<(u64, bool)>>,
    classes: Vec<String>,
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
        }
    }

    /// What is about to be trained, and on what.
    pub(crate) fn header(
        &self,
        args: &Args,
        model: &Model,
        device: &Device,
        split: &Split,
        options: &TrainOptions,
        out: &Path,
    ) -> Result<()> {
        if self.quiet {
            return Ok(());
        }
        let program = training_program(model, &split.train.outline(), options)?;
        println!("model    {} ({})", model.name, model.summary);
        println!("device   {device}");
        if args.model.is_none() && args.resume.is_none() && device.is_software() {
            println!(
                "         no GPU here, so the small network; `--model nin` trains the full one"
            );
        }
        let (train, test) = (&split.train, &split.test);
        println!(
            "data     {}: {} training and {} test images",
            train.name(),
            train.len(),
            test.len()
        );
        println!(
            "recipe   batch {}, {} epochs, learning rate {} ({}), {} steps of warm-up, seed {}",
            options.batch_size,
            options.epochs,
            options.learning_rate,
            format!("{:?}", options.schedule).to_lowercase(),
            options.warmup_steps,
            options.seed
        );
        if let Device::Gpu(gpu) = device
            && let Ok(plan) = Plan::new(program.graph().clone(), &gpu.plan_options())
        {
            println!(
                "memory   {:.0} MB on the device for a training step of {} dispatches",
                plan.bytes() as f64 / 1e6,
                plan.dispatches().len()
            );
        }
        println!("folder   {}", out.display());
        print_layers(&program, options.batch_size);
        Ok(())
    }

    /// The run goes on after `step`.
    pub(crate) fn resumed(&self, step: u64) {
        if !self.quiet {
            println!("resumed after step {step}");
        }
    }

    /// The device is set up.
    pub(crate) fn ready(&self, start: Instant) {
        if !self.quiet {
            println!("ready after {:.1} s", start.elapsed().as_secs_f64());
        }
    }

    fn line(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| println!("{text}"));
        }
    }

    pub(crate) fn show(&self, event: &Event<'_>) {
        match event {
            Event::Progress(progress) => self.progress(progress),
            Event::Interval(i) => {
                let accuracy = 100.0 * i.accuracy;
                self.bar.set_message(format!("loss {:.4}  accuracy {accuracy:.1} %", i.loss));
                self.line(&format!(
                    "epoch {:>2}  step {:>6}  loss {:.4}  accuracy {accuracy:>5.1} %  {:.2} s",
                    i.epoch, i.step, i.loss, i.seconds
                ));
            }
            Event::DeadClasses(classes) => self.warn_of(classes),
            Event::Epoch(e) => self.line(&format!(
                "epoch {:>2}  train loss {:.4}  train accuracy {:.2} %  test accuracy {:.2} %  {:.1} s",
                e.epoch,
                e.train_loss,
                100.0 * e.train_accuracy,
                100.0 * e.test_accuracy,
                e.seconds
            )),
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

    pub(crate) fn summary(&self, summary: &Summary, start: Instant, out: &Path) {
        self.bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        let best = match summary.best_epoch {
            0 => "not tested yet".to_owned(),
            epoch => format!(
                "best test accuracy {:.2} % (epoch {epoch})",
                100.0 * summary.best_accuracy
            ),
        };
        println!("{} steps, {seconds:.1} s; {best}", summary.steps);
        println!("saved to {}", out.display());
        if summary.stopped {
            println!(
                "stopped; go on with: cargo run --release --example train -- --resume {}",
                out.display()
            );
        } else {
            let best = out.join("best.safetensors");
            println!(
                "next: cargo run --release --example classify -- --model {} IMAGE…",
                best.display()
            );
        }
    }
}

/// The table of layers: shapes, parameters, operations.
fn print_layers(program: &Program, batch: usize) {
    println!();
    println!(
        "{:<12} {:<22} {:>14} {:>12} {:>14}",
        "layer", "kind", "output", "parameters", "MFLOP an image"
    );
    let (mut parameters, mut flops) = (0, 0);
    for layer in layers(program.graph()) {
        let output: Vec<String> = layer.output.dims()[1..]
            .iter()
            .map(ToString::to_string)
            .collect();
        println!(
            "{:<12} {:<22} {:>14} {:>12} {:>14.2}",
            layer.name,
            layer.kind,
            output.join("x"),
            layer.parameters,
            layer.flops as f64 / batch as f64 / 1e6
        );
        parameters += layer.parameters;
        flops += layer.flops;
    }
    println!(
        "{:<12} {:<22} {:>14} {:>12} {:>14.2}\n",
        "total",
        "",
        "",
        parameters,
        flops as f64 / batch as f64 / 1e6
    );
}
