//! Trains a preset on real images: `cargo run --release --example train`.

#![forbid(unsafe_code)]

#[path = "common/adapters.rs"]
mod adapters;
#[path = "train/again.rs"]
mod again;
#[path = "train/args.rs"]
mod args;
#[path = "common/cache.rs"]
mod cache;
#[path = "train/debug_nan.rs"]
mod debug_nan;
#[path = "train/device.rs"]
mod device;
#[path = "train/find_lr.rs"]
mod find_lr;
#[path = "common/loss.rs"]
mod loss;
#[path = "train/optimizer.rs"]
mod optimizer;
#[path = "common/pictures.rs"]
mod pictures;
#[path = "train/screen.rs"]
mod screen;
#[path = "common/sets.rs"]
mod sets;
#[path = "train/setup.rs"]
mod setup;
#[path = "train/signals.rs"]
mod signals;
#[path = "common/size.rs"]
mod size;
#[path = "train/tuning.rs"]
mod tuning;
#[path = "train/values.rs"]
mod values;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use again::Again;
use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use nin_wgpu::checkpoint;
use nin_wgpu::data;
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::Gpu;
use nin_wgpu::ops::{Augment, Normalize};
use nin_wgpu::output;
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::reference::CpuPlan;
use nin_wgpu::train::{Event, RunFolder, Trainer, evaluate_telling, profile, training_program};
use screen::Screen;
use setup::Setup;

/// What a training ends with whose last state is in memory only.
const UNSAVED: &str = "the end of the run could not be saved";

fn main() -> ExitCode {
    loss::hush();
    match run(&Args::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<ExitCode> {
    if args.list_devices {
        list_devices()?;
    } else if args.plan {
        print_plan(args)?;
    } else {
        return train(args);
    }
    Ok(ExitCode::SUCCESS)
}

fn list_devices() -> Result<()> {
    for (i, adapter) in Gpu::list(&adapters::adapters())?.iter().enumerate() {
        println!("gpu:{i}  {adapter}");
    }
    println!("cpu    {}", Device::Cpu);
    Ok(())
}

/// Prints the plan of a training step. Needs neither a GPU, nor a driver, nor the data.
fn print_plan(args: &Args) -> Result<()> {
    let mut device = match args.device {
        DeviceChoice::Software => PlanOptions::SOFTWARE,
        _ => PlanOptions::default(),
    };
    if args.precise {
        device.conv2d = device.conv2d.precise();
    }
    let mut outline = match args.dataset() {
        (name @ ("folder" | "csv"), Some(path)) => {
            let model = args.model("nin")?;
            let loader = data::Loader::new(name).data_dir(Some(&path));
            let loader = loader
                .image_size(args.image_size)
                .native_size(model.native_size);
            loader.load()?.train.outline()
        }
        (name, _) => data::outline(name).context("--dataset")?,
    };
    outline.len = args
        .limit_train
        .map_or(outline.len, |limit| limit.min(outline.len));
    let model = args.model("nin")?;
    let options = setup::options(args, &model, Normalize::default(), Augment::NONE)?;
    let program = training_program(&model, &outline, &options)?;
    let graph = program.graph();
    // Whoever reads no further has seen enough.
    let _ = match args.device {
        DeviceChoice::Cpu => write!(std::io::stdout(), "{}", CpuPlan::new(graph, args.precise)),
        _ => write!(std::io::stdout(), "{}", Plan::new(graph.clone(), &device)?),
    };
    Ok(())
}

/// Trains, and goes on after a fault as often as the flags let it.
fn train(args: &Args) -> Result<ExitCode> {
    let start = Instant::now();
    // Now, not at the end of hours.
    for (flag, path) in [("--export", &args.export), ("--dump", &args.dump)] {
        if let Some(path) = path {
            output::check(path).context(flag)?;
        }
    }
    let mut again = Again::new(args);
    loop {
        let mut out = None;
        match attempt(args, &again, &mut out, start) {
            Err(error) if again.goes_on(&error, out.as_deref()) => {}
            ended => return ended,
        }
    }
}

/// Trains until the end or a fault; says in which folder.
fn attempt(
    args: &Args,
    again: &Again,
    into: &mut Option<PathBuf>,
    start: Instant,
) -> Result<ExitCode> {
    let resumed = again.resume.as_ref().map(|out| RunFolder::resume(out));
    let resumed = resumed.transpose().context("--resume")?;
    let (device, warnings) = device::open(args, resumed.as_ref())?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    let setup = match resumed {
        Some(run) => setup::resumed_run(args, run, again.rate)?,
        None => {
            let default = if device.is_software() {
                "nin-small"
            } else {
                "nin"
            };
            let model = args.model(default)?;
            if args.tuning.find_lr {
                find_lr::run(args, &model, &device)?;
                return Ok(ExitCode::SUCCESS);
            }
            setup::new_run(args, model, &device)?
        }
    };
    let screen = Screen::new(args.quiet, setup.split.train.classes());
    screen.header(args, &device, &setup)?;
    let Setup {
        model,
        split,
        options,
        parameters,
        mut folder,
        resumed,
    } = setup;
    let out = folder.path().to_owned();
    *into = Some(out.clone());
    if args.profile && again.first {
        let (profile, waiting) = profile(&device, &model, &split.train, &parameters, &options)?;
        screen.profile(&profile, waiting.as_ref());
        let trace = profile.chrome_trace();
        output::write_whole(&out.join("profile.json"), trace.as_bytes()).context("--profile")?;
    }
    let mut trainer = Trainer::new(&device, &model, &split, &parameters, options.clone())?;
    screen.tuned(&device, args.tune);
    screen.saved(keep_kernels(&device, &folder));
    if let Some(resumed) = &resumed {
        let step = resumed.metadata.step;
        trainer.resume(step, &resumed.moments, &resumed.state)?;
        screen.resumed(step);
    }
    signals::stop_by(trainer.stop_flag())?;
    screen.ready(start);
    let record = |folder: &mut RunFolder, event: &Event<'_>| -> nin_wgpu::Result<()> {
        // What cannot be saved now is tried again: the training is worth more.
        let saved = folder.record(event);
        // Most events have nothing for the disk.
        if saved.is_err() || folder.is_whole() {
            screen.saved(saved);
        }
        if let (Event::FirstStep(tensors), Some(path)) = (event, &args.dump) {
            checkpoint::save(path, tensors, None)?;
        }
        screen.show(event);
        if let (Event::Interval(interval), Some(at), Device::Gpu(gpu)) =
            (event, args.lose_device_at.filter(|_| again.first), &device)
            && interval.step >= at
        {
            gpu.destroy();
        }
        Ok(())
    };
    let ended = trainer.run(|event| record(&mut folder, &event));
    let saved = folder.finish().context(UNSAVED);
    let summary = match ended {
        Err(error) if args.debug_nan && error.is_divergence() => {
            drop(trainer);
            let found = debug_nan::find(&model, &split, &options, &parameters, &out);
            let found = found.unwrap_or_else(|error| format!("it cannot be found: {error}"));
            return Err(anyhow::Error::from(error).context(format!("--debug-nan: {found}")));
        }
        ended => ended?,
    };
    saved?;

    let best = out.join("best.safetensors");
    if !summary.stopped && split.val.is_some() {
        let (parameters, _) = checkpoint::load(&best)?;
        let metrics =
            evaluate_telling(&device, &model, &parameters, &split.test, &options, |bad| {
                record(&mut folder, &Event::BadPictures(bad))
            })?;
        record(&mut folder, &Event::Tested(metrics.accuracy()))?;
        folder.finish().context(UNSAVED)?;
        screen.saved(keep_kernels(&device, &folder));
    }
    if !summary.stopped
        && let Some(path) = &args.export
    {
        let (parameters, metadata) = checkpoint::load_trained(&best)?;
        checkpoint::save_f16(path, &parameters, Some(&metadata)).with_context(|| {
            let out = out.display();
            format!("--export (the run is whole: `train --resume {out} --export FILE` tries again)")
        })?;
    }
    screen.summary(args, &summary, start, &out);
    Ok(if summary.stopped {
        signals::exit_code()
    } else {
        ExitCode::SUCCESS
    })
}

/// The kernels that a GPU computes by belong to the run.
fn keep_kernels(device: &Device, folder: &RunFolder) -> nin_wgpu::Result<()> {
    match device {
        Device::Gpu(gpu) => folder.keep_kernels(&gpu.kernels()),
        Device::Cpu | Device::PreciseCpu => Ok(()),
    }
}
