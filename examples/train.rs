//! Trains a preset on real images: `cargo run --release --example train`.

#[path = "train/args.rs"]
mod args;
#[path = "train/screen.rs"]
mod screen;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result};
use args::{Args, InitChoice, RecipeName};
use clap::Parser;
use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::data::{self, Split};
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::Gpu;
use nin_wgpu::init::Init;
use nin_wgpu::models::{Model, Recipe};
use nin_wgpu::ops::Normalize;
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanOptions};
use nin_wgpu::program::{Parameters, Program};
use nin_wgpu::train::{Event, Resumed, RunFolder, TrainOptions, Trainer, training_program};
use screen::Screen;

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    if args.list_devices {
        return list_devices();
    }
    if args.plan {
        return print_plan(args);
    }
    train(args)
}

fn list_devices() -> Result<()> {
    for (i, adapter) in Gpu::list().iter().enumerate() {
        println!("gpu:{i}  {adapter}");
    }
    println!("cpu    {}", Device::Cpu);
    Ok(())
}

/// The model asked for, or the one that suits the device.
fn model(args: &Args, software: bool) -> Result<&'static Model> {
    let default = if software { "nin-small" } else { "nin" };
    Ok(Model::find(args.model.as_deref().unwrap_or(default))?)
}

/// Prints the plan of a training step. Needs neither a GPU, nor a driver, nor the data.
fn print_plan(args: &Args) -> Result<()> {
    let software = matches!(args.device, DeviceChoice::Software);
    let conv2d = if software {
        Conv2dAlgorithm::SOFTWARE
    } else {
        Conv2dAlgorithm::HARDWARE
    };
    let mut outline = data::outline(&args.dataset)?;
    outline.len = args
        .limit_train
        .map_or(outline.len, |limit| limit.min(outline.len));
    let model = Model::find(args.model.as_deref().unwrap_or("nin"))?;
    let options = options(args, model, Normalize::default());
    let program = training_program(model, &outline, &options)?;
    let plan = Plan::new(
        program.graph().clone(),
        &PlanOptions {
            conv2d,
            ..PlanOptions::default()
        },
    )?;
    print!("{plan}");
    Ok(())
}

/// Flags over the recipe's values.
fn options(args: &Args, model: &Model, normalize: Normalize) -> TrainOptions {
    let recipe = match args.recipe {
        RecipeName::Default => model.recipe,
        RecipeName::Seed => Recipe::SEED,
    };
    TrainOptions {
        batch_size: args.batch_size.unwrap_or(recipe.batch_size),
        epochs: args.epochs.unwrap_or(recipe.epochs),
        learning_rate: args.lr.unwrap_or(recipe.learning_rate),
        warmup_steps: args.warmup.unwrap_or(recipe.warmup_steps),
        schedule: args.schedule.map_or(recipe.schedule, Into::into),
        normalize,
        seed: args.seed,
        shuffle: !args.no_shuffle,
        log_every: args.log_every,
        checkpoint_every: args.checkpoint_every,
        max_steps: args.max_steps,
        first_step: args.dump.is_some(),
    }
}

fn load_data(
    name: &str,
    folder: Option<&Path>,
    limit_train: Option<usize>,
    limit_test: Option<usize>,
) -> Result<Split> {
    let mut split = data::load(name, folder)?;
    if let Some(limit) = limit_train {
        split.train = split.train.limit(limit);
    }
    if let Some(limit) = limit_test {
        split.test = split.test.limit(limit);
    }
    Ok(split)
}

fn normalization(args: &Args, split: &Split) -> (Normalize, Vec<(f32, f32)>) {
    let channels = split.train.channels();
    let statistics = match args.normalize {
        true => split.train.mean_std(),
        false => vec![(0.0, 1.0); channels],
    };
    (Normalize::from_channels(&statistics), statistics)
}

fn parameters(args: &Args, program: &Program) -> Result<Parameters> {
    let init = args.init.clone().unwrap_or(match args.recipe {
        RecipeName::Default => InitChoice::Kaiming,
        RecipeName::Seed => InitChoice::PyTorch,
    });
    Ok(match init {
        InitChoice::Kaiming => Init::Kaiming.parameters(program.graph(), args.seed)?,
        InitChoice::PyTorch => Init::PyTorch.parameters(program.graph(), args.seed)?,
        InitChoice::File(path) => {
            let (parameters, _) = checkpoint::load(&path).context("--init")?;
            checkpoint::check(&path, &parameters, program.graph()).context("--init")?;
            parameters
        }
    })
}

/// Everything that a run is made of.
struct Setup {
    model: &'static Model,
    split: Split,
    options: TrainOptions,
    parameters: Parameters,
    folder: RunFolder,
    /// Where a run that was stopped goes on.
    resumed: Option<Resumed>,
}

/// A new run, as the flags say.
fn new_run(args: &Args, device: &Device) -> Result<Setup> {
    let model = model(args, device.is_software())?;
    let split = load_data(
        &args.dataset,
        args.data_dir.as_deref(),
        args.limit_train,
        args.limit_test,
    )?;
    let (normalize, statistics) = normalization(args, &split);
    let options = options(args, model, normalize);
    let default = || PathBuf::from("runs").join(format!("{}-{}", model.name, args.dataset));
    let out = args.out.clone().unwrap_or_else(default);
    let program = training_program(model, &split.train.outline(), &options)?;
    let parameters = parameters(args, &program)?;
    let metadata = Metadata {
        model: model.name.to_owned(),
        dataset: args.dataset.clone(),
        classes: split.train.classes().to_vec(),
        image: split.train.outline().image,
        normalize: statistics,
        epoch: 0,
        step: 0,
        seed: args.seed,
        resume: None,
    };
    let config = args.config(model, device, &options);
    let folder = RunFolder::create(&out, &config, metadata).context("--out")?;
    Ok(Setup {
        model,
        split,
        options,
        parameters,
        folder,
        resumed: None,
    })
}

/// The run in `out`, where it stopped.
fn resumed_run(args: &Args, out: &Path) -> Result<Setup> {
    let (folder, resumed) = RunFolder::resume(out).context("--resume")?;
    let Resumed {
        metadata,
        state,
        parameters,
        ..
    } = &resumed;
    let model = Model::find(&metadata.model).context("--resume")?;
    let limits = [state.train_images, state.test_images].map(Some);
    let split = load_data(
        &metadata.dataset,
        args.data_dir.as_deref(),
        limits[0],
        limits[1],
    )?;
    let mut options = state.options.clone();
    options.epochs = args.epochs.unwrap_or(options.epochs);
    options.max_steps = args.max_steps;
    let parameters = parameters.clone();
    Ok(Setup {
        model,
        split,
        options,
        parameters,
        folder,
        resumed: Some(resumed),
    })
}

fn train(args: &Args) -> Result<()> {
    let start = Instant::now();
    let device = Device::open(args.device).with_context(|| format!("--device {}", args.device))?;
    let setup = match &args.resume {
        Some(out) => resumed_run(args, out)?,
        None => new_run(args, &device)?,
    };
    let Setup {
        model,
        split,
        options,
        parameters,
        mut folder,
        resumed,
    } = setup;
    let out = folder.path().to_owned();
    let screen = Screen::new(args.quiet, split.train.classes());
    screen.header(args, model, &device, &split, &options, &out)?;
    let mut trainer = Trainer::new(&device, model, &split, &parameters, options)?;
    if let Some(Resumed {
        metadata,
        moments,
        state,
        ..
    }) = &resumed
    {
        trainer.resume(metadata.step, moments, state)?;
        screen.resumed(metadata.step);
    }
    stop_on_interrupt(&trainer)?;
    screen.ready(start);
    let summary = trainer.run(|event| {
        folder.record(&event)?;
        if let (Event::FirstStep(tensors), Some(path)) = (&event, &args.dump) {
            checkpoint::save(path, tensors, None)?;
        }
        screen.show(&event);
        Ok(())
    })?;
    screen.summary(&summary, start, &out);
    Ok(())
}

/// Ctrl-C finishes the step and saves; a second one ends the program at once.
fn stop_on_interrupt(trainer: &Trainer<'_>) -> Result<()> {
    let stop = trainer.stop_flag();
    ctrlc::set_handler(move || {
        if stop.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nstopping after this step; press Ctrl-C again to stop at once and lose what was not saved");
    })
    .context("cannot listen for Ctrl-C")
}
