//! One network: trained, tested and timed.

use std::time::Instant;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use nin_wgpu::data::Split;
use nin_wgpu::device::Device;
use nin_wgpu::graph::GraphBuilder;
use nin_wgpu::init::Init;
use nin_wgpu::models::{Model, layers};
use nin_wgpu::ops::Normalize;
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::program::{Parameters, Program, Source};
use nin_wgpu::train::{Event, TrainOptions, Trainer, evaluate, training_program_on};
use serde::Serialize;

use crate::args::Args;

/// What came of a network.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) model: String,
    pub(crate) width: f64,
    pub(crate) parameters: usize,
    /// Multiplications and additions of a forward pass over one image.
    pub(crate) flops: u64,
    /// Bytes that a training step takes on a GPU, if one binding holds each part of it.
    pub(crate) memory: Option<u64>,
    pub(crate) learning_rate: f64,
    pub(crate) train_images_per_second: f64,
    pub(crate) infer_images_per_second: f64,
    /// Classes whose logit was zero for a whole interval: behind a ReLU they no longer learn.
    pub(crate) dead_classes: Vec<usize>,
    pub(crate) epochs: Vec<Epoch>,
}

/// Accuracy after an epoch, without dropout.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Epoch {
    /// Images trained on so far.
    pub(crate) images: u64,
    /// Seconds of training so far.
    pub(crate) seconds: f64,
    pub(crate) train: f64,
    pub(crate) test: f64,
}

/// Batches that are timed for inference, and before.
const TIMED: [usize; 2] = [20, 3];

fn options(args: &Args, model: &Model) -> TrainOptions {
    let recipe = model.recipe;
    TrainOptions {
        batch_size: args.batch_size,
        epochs: args.epochs,
        learning_rate: args.lr.unwrap_or(recipe.learning_rate),
        warmup_steps: 30,
        schedule: nin_wgpu::train::Schedule::Cosine,
        seed: args.seed,
        log_every: 10,
        image_size: Some(args.image_size),
        ..TrainOptions::default()
    }
}

pub(crate) fn measure(args: &Args, device: &Device, model: &Model, split: &Split) -> Result<Row> {
    let [height, width] = args.image_size;
    let channels = split.train.channels();
    let classes = split.train.classes().len();
    let statistics = split.train.mean_std();
    let options = TrainOptions {
        normalize: Normalize::from_channels(&statistics),
        ..options(args, model)
    };
    let network = |net: &mut GraphBuilder, x| model.build(net, x, classes);
    let source = Source::new(args.batch_size, [channels, height, width]);
    let inference = Program::inference(&source, args.image_size, args.batch_size, network)?;
    let flops = layers(inference.graph())
        .iter()
        .map(|layer| layer.flops)
        .sum::<u64>();
    let training = training_program_on(device, model, &split.train.outline(), &options)?;
    let graph = training.graph();
    let parameters = graph
        .parameters()
        .map(|id| graph.value(id).shape.len())
        .sum();
    let plan = Plan::new(graph.clone(), &PlanOptions::default()).ok();

    let initial = Init::Kaiming.parameters(graph, args.seed)?;
    let seen = split.train.clone().limit(args.limit_test);
    let mut trainer = Trainer::new(device, model, split, &initial, options.clone())?;
    let steps = (split.train.len() / args.batch_size) as u64 * args.epochs;
    let bar = bar(model, steps);
    let (mut epochs, mut seconds, mut done, mut test) = (Vec::new(), 0.0, 0, 0.0);
    let mut trained = Parameters::new();
    let mut dead_classes = Vec::new();
    trainer.run(|event| {
        match event {
            Event::Interval(interval) => {
                seconds += interval.seconds;
                done = interval.step;
                bar.set_position(done);
                bar.set_message(format!("loss {:.3}", interval.loss));
            }
            Event::Epoch(epoch) => test = epoch.accuracy(),
            Event::DeadClasses(classes) => dead_classes = classes,
            Event::Checkpoint { parameters, .. } => {
                let train = evaluate(device, model, parameters, &seen, &options)?.accuracy();
                epochs.push(Epoch {
                    images: done * args.batch_size as u64,
                    seconds,
                    train,
                    test,
                });
                trained = parameters.clone();
            }
            _ => {}
        }
        Ok(())
    })?;
    bar.finish_and_clear();
    Ok(Row {
        model: model.name.to_owned(),
        width: model.form.width,
        parameters,
        flops: flops / args.batch_size as u64,
        memory: plan.map(|plan| plan.bytes()),
        learning_rate: options.learning_rate,
        train_images_per_second: (done * args.batch_size as u64) as f64 / seconds,
        infer_images_per_second: infer(device, &inference, &trained)?,
        dead_classes,
        epochs,
    })
}

/// Images a second, of batches that lie on the device, until the probabilities are on the host.
fn infer(device: &Device, program: &Program, parameters: &Parameters) -> Result<f64> {
    let mut run = program.load(device)?;
    run.set_parameters(parameters)?;
    let indices: Vec<u32> = (0..program.batch() as u32).collect();
    let [timed, before] = TIMED;
    for _ in 0..before {
        run.probabilities(&indices)?;
    }
    let start = Instant::now();
    for _ in 0..timed {
        run.probabilities(&indices)?;
    }
    Ok((timed * program.batch()) as f64 / start.elapsed().as_secs_f64())
}

fn bar(model: &Model, steps: u64) -> ProgressBar {
    let style = "{prefix:10} {bar:30} {pos}/{len} steps, {msg}, {eta} left";
    let style =
        ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(steps)
        .with_style(style)
        .with_prefix(model.name)
}
