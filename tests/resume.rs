//! Stopping and going on: a run in two parts equals a run in one, bit for bit.

mod cases;

use std::path::Path;
use std::sync::atomic::Ordering;

use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::data::Split;
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Adam, Augment, Optimizer, Sgd};
use nin_wgpu::program::{Parameters, Training};
use nin_wgpu::train::{
    Event, Resumed, RunFolder, Schedule, TrainOptions, Trainer, training_program,
};

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

fn metadata(model: &Model, split: &Split) -> Metadata {
    Metadata::new(model, &split.train, vec![(0.0, 1.0)], 1)
}

/// Starts or resumes the run in `folder`, stops after `until` steps, and returns the parameters.
fn run_until(
    device: &Device,
    model: &Model,
    split: &Split,
    folder: &Path,
    epochs: u64,
    until: u64,
) -> Parameters {
    let options = TrainOptions {
        epochs,
        max_steps: Some(until),
        ..options()
    };
    run_with(device, model, split, folder, options)
}

fn options() -> TrainOptions {
    TrainOptions {
        batch_size: 4,
        // All that draws on the step goes on too: the schedule and the random changes.
        schedule: Schedule::Cosine,
        augment: Augment {
            crop: 1,
            flip: true,
            ..Augment::NONE
        },
        log_every: 3,
        ..TrainOptions::default()
    }
}

/// The same with options of one's own.
fn run_with(
    device: &Device,
    model: &Model,
    split: &Split,
    folder: &Path,
    options: TrainOptions,
) -> Parameters {
    let (mut folder, parameters, resumed) = if folder.join("resume.safetensors").exists() {
        let (folder, resumed) = RunFolder::resume(folder).expect("readable");
        (folder, resumed.parameters.clone(), Some(resumed))
    } else {
        let program = training_program(model, &split.train.outline(), &options).expect("builds");
        let parameters = Init::Kaiming
            .parameters(program.graph(), 1)
            .expect("initialises");
        let folder = RunFolder::create(folder, &"test", metadata(model, split)).expect("writable");
        (folder, parameters, None)
    };
    let mut trainer = Trainer::new(device, model, split, &parameters, options).expect("loads");
    if let Some(Resumed {
        metadata,
        moments,
        state,
        ..
    }) = &resumed
    {
        trainer.resume(metadata.step, moments, state).expect("fits");
    }
    let mut last = Parameters::new();
    trainer
        .run(|event| {
            folder.record(&event)?;
            if let Event::Checkpoint { parameters, .. } = event {
                last = parameters.clone();
            }
            Ok(())
        })
        .expect("trains");
    last
}

#[test]
fn a_run_in_three_parts_equals_a_run_in_one_bit_for_bit() {
    // 5 steps an epoch: the parts end within the first, at the end of the second, and within the third.
    let split = Synthetic {
        shape: [1, 14, 14],
        train: 22,
        test: 8,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid");
    // With dropout, whose random numbers must go on too, and without.
    for name in ["nin-paper", "nin-small"] {
        let model = Model::find(name).expect("exists");
        for device in devices() {
            let [one, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            let whole = run_until(&device, model, &split, one.path(), 3, 12);
            for until in [3, 10] {
                run_until(&device, model, &split, parts.path(), 3, until);
            }
            let resumed = run_until(&device, model, &split, parts.path(), 3, 12);
            assert_eq!(whole.len(), 18);
            assert!(whole == resumed, "{name} on {device} differs");
            let read = |folder: &Path| {
                let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("written");
                let mut epochs = text
                    .lines()
                    .filter(|line| line.contains(r#""kind":"epoch","epoch":2"#));
                let line = epochs
                    .next_back()
                    .expect("the second epoch ended")
                    .to_owned();
                line.split(",\"seconds\"")
                    .next()
                    .expect("a line")
                    .to_owned()
            };
            assert_eq!(
                read(one.path()),
                read(parts.path()),
                "the means of the second epoch, {device}"
            );
        }
    }
}

#[test]
fn every_optimizer_goes_on_bit_for_bit_and_what_is_for_use_is_the_average() {
    let split = Synthetic {
        shape: [1, 14, 14],
        train: 22,
        test: 8,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid");
    let model = Model::find("nin-small").expect("exists");
    let momentum = Sgd {
        momentum: 0.9,
        nesterov: true,
        weight_decay: 1e-3,
        ..Sgd::default()
    };
    let whole = |optimizer: Optimizer| Training {
        rates: vec![("conv.0".to_owned(), 0.5)],
        frozen: vec!["conv.0.2".to_owned()],
        clip_norm: Some(0.5),
        ema: Some(0.8),
        ..optimizer.into()
    };
    for training in [
        Training::from(Sgd::default()),
        whole(momentum.into()),
        whole(Adam::adamw().into()),
    ] {
        for device in devices() {
            let run = |folder: &Path, until| {
                let options = TrainOptions {
                    training: training.clone(),
                    epochs: 2,
                    learning_rate: 0.01,
                    max_steps: Some(until),
                    ..options()
                };
                run_with(&device, model, &split, folder, options)
            };
            let [one, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            let all = run(one.path(), 9);
            let first = run(parts.path(), 4);
            let resumed = run(parts.path(), 9);
            assert!(all == resumed && all != first, "{training:?} on {device}");
            let read = |name: &str| {
                let path = one.path().join(name);
                let (mut tensors, metadata) = checkpoint::load_trained(&path).expect("readable");
                tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
                (tensors, metadata)
            };
            let (last, _) = read("last.safetensors");
            let (resume, metadata) = read("resume.safetensors");
            let mut sorted = all.clone();
            sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
            assert!(last == sorted);
            let state = metadata.resume.expect("a state");
            assert_eq!(state.options.training, training);
            let of = |name: &str| resume.iter().find(|(other, _)| other == name);
            for (name, tensor) in &last {
                let trained = &of(name).expect("held").1;
                match of(&format!("{name}.ema")) {
                    Some((_, average)) => {
                        assert_eq!(average, tensor, "{name}");
                        assert_ne!(average, trained, "{name}");
                    }
                    None => assert_eq!(trained, tensor, "{name}"),
                }
            }
            let count = |kind: &str| {
                resume
                    .iter()
                    .filter(|(name, _)| name.ends_with(kind))
                    .count()
            };
            let moments = training.optimizer.moments();
            let trained = if training.frozen.is_empty() {
                last.len()
            } else {
                last.len() - 2
            };
            let want = [1, 2].map(|n| if n <= moments { trained } else { 0 });
            assert_eq!([".moment1", ".moment2"].map(count), want);
            assert_eq!(count(".ema"), training.ema.map_or(0, |_| trained));
        }
    }
}

#[test]
fn two_hundred_steps_equal_a_hundred_and_a_hundred_more() {
    let split = Synthetic {
        shape: [1, 14, 14],
        train: 80,
        test: 8,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid");
    let model = Model::find("nin-small").expect("exists");
    for device in devices() {
        let [one, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let whole = run_until(&device, model, &split, one.path(), 10, 200);
        let half = run_until(&device, model, &split, parts.path(), 10, 100);
        let resumed = run_until(&device, model, &split, parts.path(), 10, 200);
        assert!(whole == resumed && whole != half, "{device}");
    }
}

#[test]
fn a_stop_flag_ends_the_run_with_a_checkpoint_of_the_step() {
    let split = Synthetic {
        train: 400,
        test: 8,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid");
    let model = Model::find("nin-small").expect("exists");
    let options = TrainOptions {
        batch_size: 4,
        log_every: 1,
        ..TrainOptions::default()
    };
    let program = training_program(model, &split.train.outline(), &options).expect("builds");
    let parameters = Init::Kaiming
        .parameters(program.graph(), 1)
        .expect("initialises");
    let mut trainer =
        Trainer::new(&Device::Cpu, model, &split, &parameters, options).expect("loads");
    let stop = trainer.stop_flag();
    let mut saved = None;
    let summary = trainer
        .run(|event| {
            match event {
                Event::Interval(interval) if interval.step == 5 => {
                    stop.store(true, Ordering::Relaxed)
                }
                Event::Checkpoint { step, .. } => saved = Some(step),
                _ => {}
            }
            Ok(())
        })
        .expect("trains");
    assert!(
        summary.stopped && (5..=7).contains(&summary.steps),
        "{summary:?}"
    );
    assert_eq!(saved, Some(summary.steps));
}
