//! Trains a preset on real images: `cargo run --release --example train`.

#[path = "train/args.rs"]
mod args;
#[path = "train/screen.rs"]
mod screen;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use args::{Args, InitChoice, RecipeName};
use clap::Parser;
use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::data::{self, Outline, Split};
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::Gpu;
use nin_wgpu::init::Init;
use nin_wgpu::models::{Model, Recipe};
use nin_wgpu::ops::Normalize;
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanOptions};
use nin_wgpu::program::{Parameters, Program};
use nin_wgpu::train::{Event, RunFolder, TrainOptions, Trainer, training_program};
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
        normalize,
        seed: args.seed,
        shuffle: !args.no_shuffle,
        log_every: args.log_every,
        checkpoint_every: args.checkpoint_every,
        max_steps: args.max_steps,
        first_step: args.dump.is_some(),
    }
}

fn load_data(args: &Args) -> Result<Split> {
    let mut split = data::load(&args.dataset, args.data_dir.as_deref())?;
    if let Some(limit) = args.limit_train {
        split.train = split.train.limit(limit);
    }
    if let Some(limit) = args.limit_test {
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

fn train(args: &Args) -> Result<()> {
    let start = Instant::now();
    let device = Device::open(args.device).with_context(|| format!("--device {}", args.device))?;
    let model = model(args, device.is_software())?;
    let split = load_data(args)?;
    let (normalize, statistics) = normalization(args, &split);
    let options = options(args, model, normalize);
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs").join(format!("{}-{}", model.name, args.dataset)));
    let outline: Outline = split.train.outline();
    let program = training_program(model, &outline, &options)?;
    let parameters = parameters(args, &program)?;

    let screen = Screen::new(args.quiet, split.train.classes());
    screen.header(args, model, &device, &program, &split, &options, &out);
    let metadata = Metadata {
        model: model.name.to_owned(),
        dataset: args.dataset.clone(),
        classes: split.train.classes().to_vec(),
        image: outline.image,
        normalize: statistics,
        epoch: 0,
        step: 0,
        seed: args.seed,
    };
    let config = args.config(model, &device, &options);
    let mut folder = RunFolder::create(&out, &config, metadata).context("--out")?;
    let mut trainer = Trainer::new(&device, model, &split, &parameters, options)?;
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
