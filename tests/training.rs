//! Training, on the CPU and through the WGSL kernels: it repeats bit for bit, the two agree, and it learns.

mod cases;

use nin_wgpu::Error;
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::data::{self, Split};
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::program::{Loss, Parameters, Program, Source, Training};
use nin_wgpu::train::{
    Event, Interval, Summary, TrainError, TrainOptions, Trainer, training_program,
};

/// The CPU, and the adapter under test.
fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

fn small() -> &'static Model {
    Model::find("nin-small").expect("exists")
}

fn synthetic(train: usize) -> Split {
    Synthetic {
        train,
        test: 40,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid")
}

struct Outcome {
    intervals: Vec<Interval>,
    parameters: Parameters,
    summary: Summary,
    dead: Vec<usize>,
}

fn train(
    device: &Device,
    model: &Model,
    split: &Split,
    options: &TrainOptions,
) -> Result<Outcome, Error> {
    let program = training_program(model, &split.train.outline(), options)?;
    let initial = Init::Kaiming.parameters(program.graph(), options.seed)?;
    train_from(device, model, split, options, &initial)
}

fn train_from(
    device: &Device,
    model: &Model,
    split: &Split,
    options: &TrainOptions,
    initial: &Parameters,
) -> Result<Outcome, Error> {
    let (mut intervals, mut last, mut dead) = (Vec::new(), Parameters::new(), Vec::new());
    let mut trainer = Trainer::new(device, model, split, initial, options.clone())?;
    let summary = trainer.run(|event| {
        match event {
            Event::Interval(interval) => intervals.push(interval),
            Event::Checkpoint { parameters, .. } => last = parameters.clone(),
            Event::DeadClasses(classes) => dead = classes,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Outcome {
        intervals,
        parameters: last,
        summary,
        dead,
    })
}

fn options() -> TrainOptions {
    TrainOptions {
        batch_size: 16,
        epochs: 1,
        learning_rate: 1e-3,
        warmup_steps: 5,
        log_every: 1,
        ..TrainOptions::default()
    }
}

#[test]
fn the_same_seed_on_the_same_device_gives_the_same_bits() {
    let split = synthetic(96);
    for device in devices() {
        // With dropout, so that its random numbers are part of the claim.
        let paper = Model::find("nin-paper").expect("exists");
        let options = TrainOptions {
            batch_size: 4,
            max_steps: Some(2),
            ..options()
        };
        let runs = [(); 2].map(|()| train(&device, paper, &split, &options).expect("trains"));
        assert_eq!(runs[0].parameters, runs[1].parameters, "{device}");
        let options = TrainOptions {
            max_steps: Some(6),
            ..self::options()
        };
        let runs = [(); 2].map(|()| train(&device, small(), &split, &options).expect("trains"));
        assert_eq!(runs[0].parameters, runs[1].parameters, "{device}");
        let other = TrainOptions { seed: 2, ..options };
        let other = train(&device, small(), &split, &other).expect("trains");
        assert_ne!(runs[0].parameters, other.parameters, "{device}");
    }
}

#[test]
fn the_losses_of_the_gpu_follow_those_of_the_cpu() {
    let split = synthetic(96);
    let devices = devices();
    let runs: Vec<Outcome> = devices
        .iter()
        .map(|device| train(device, small(), &split, &options()).expect("trains"))
        .collect();
    for (device, run) in devices.iter().zip(&runs) {
        assert_eq!(run.intervals.len(), 6, "{device}");
        for (a, b) in run.intervals.iter().zip(&runs[0].intervals) {
            assert!(
                (a.loss - b.loss).abs() < 1e-4,
                "{device}: step {}: {} and {}",
                a.step,
                a.loss,
                b.loss
            );
        }
    }
}

#[test]
fn one_batch_is_overfitted() {
    let split = synthetic(16);
    for device in devices() {
        let options = TrainOptions {
            epochs: 60,
            ..options()
        };
        let run = train(&device, small(), &split, &options).expect("trains");
        let last = run.intervals.last().expect("60 intervals");
        assert!(
            last.loss < 0.05 && last.accuracy == 1.0,
            "{device}: {last:?}"
        );
    }
}

#[test]
fn nin_small_learns_2000_real_images_to_70_percent_on_held_out_ones() {
    let split = data::load("fashion-mnist", None).expect("./scripts/setup installs the data set");
    let split = Split::new(split.train.limit(2000), split.test.limit(1000));
    for device in devices() {
        let recipe = small().recipe;
        let options = TrainOptions {
            batch_size: 16,
            epochs: 3,
            learning_rate: recipe.learning_rate,
            warmup_steps: recipe.warmup_steps.min(30),
            log_every: 50,
            ..TrainOptions::default()
        };
        let run = train(&device, small(), &split, &options).expect("trains");
        eprintln!("{device}: {:.1} %", 100.0 * run.summary.best_accuracy);
        assert!(
            run.summary.best_accuracy > 0.7,
            "{device}: {:?}",
            run.summary
        );
    }
}

#[test]
fn a_diverging_loss_is_an_error_that_names_the_step_and_the_mend() {
    let split = synthetic(64);
    for device in devices() {
        let options = TrainOptions {
            learning_rate: 1e30,
            warmup_steps: 0,
            epochs: 3,
            ..options()
        };
        let error = train(&device, small(), &split, &options)
            .err()
            .expect("diverges");
        assert!(
            matches!(error, Error::Train(TrainError::NonFinite { .. })),
            "{device}: {error}"
        );
        assert!(error.to_string().contains("lower learning rate"), "{error}");
    }
}

#[test]
fn dead_classes_are_reported() {
    let split = synthetic(320);
    let options = TrainOptions {
        log_every: 20,
        learning_rate: 1e-6,
        ..options()
    };
    let program = training_program(small(), &split.train.outline(), &options).expect("builds");
    let mut initial = Init::Kaiming
        .parameters(program.graph(), 1)
        .expect("initialises");
    let (name, last_bias) = initial.last_mut().expect("not empty");
    assert!(name.ends_with(".bias"), "{name}");
    // Nothing reaches these maps through their last ReLU.
    last_bias.data[3] = -1e6;
    last_bias.data[7] = -1e6;
    for device in devices() {
        let run = train_from(&device, small(), &split, &options, &initial).expect("trains");
        assert_eq!(run.dead, [3, 7], "{device}");
    }
}

#[test]
fn a_batch_larger_than_the_data_and_options_out_of_range_are_refused() {
    let split = synthetic(10);
    let refused = |options: TrainOptions| {
        train(&Device::Cpu, small(), &split, &options)
            .err()
            .expect("refused")
            .to_string()
    };
    let ok = TrainOptions {
        batch_size: 2,
        ..options()
    };
    assert!(refused(options()).contains("batch of 16 is larger than the 10 training images"));
    assert!(
        refused(TrainOptions {
            epochs: 0,
            ..ok.clone()
        })
        .contains("epochs is 0")
    );
    assert!(
        refused(TrainOptions {
            batch_size: 0,
            ..ok.clone()
        })
        .contains("batch size is 0")
    );
    assert!(
        refused(TrainOptions {
            log_every: 0,
            ..ok.clone()
        })
        .contains("log interval is 0")
    );
    for rate in [f64::NAN, -1.0, 0.0, f64::INFINITY] {
        let options = TrainOptions {
            learning_rate: rate,
            ..ok.clone()
        };
        assert!(refused(options).contains("learning rate is"), "{rate}");
    }
}

#[test]
fn a_squared_error_falls_and_its_losses_are_read_image_by_image() {
    let source = Source::new(4, [1, 4, 4]);
    let training = Training {
        loss: Loss::MeanSquaredError,
        ..Training::default()
    };
    let program = Program::training(&source, [4, 4], 4, training, |net, x| {
        let x = net.flatten(x)?;
        net.linear("dense", x, 2)
    });
    let program = program.expect("builds");
    let initial = Init::PyTorch.parameters(program.graph(), 1);
    let initial = initial.expect("initialises");
    let pixels: Vec<u8> = [10u8, 240, 30, 250].iter().flat_map(|&v| [v; 16]).collect();
    for device in devices() {
        let mut run = program.load(&device).expect("loads");
        run.set_parameters(&initial).expect("fits");
        run.set_data(&pixels, &[0, 1, 0, 1]).expect("fits");
        let mut losses = Vec::new();
        for step in 1..=60 {
            let metrics = run.train_step(&[0, 1, 2, 3], 0.02, step).expect("trains");
            let each = run.losses().expect("readable").data;
            let mean = each.iter().map(|&x| f64::from(x)).sum::<f64>() / 4.0;
            assert!(
                (mean - metrics.loss()).abs() < 1e-5,
                "{mean}, {}",
                metrics.loss()
            );
            losses.push(metrics);
        }
        assert!(losses[59].loss() < 0.2 * losses[0].loss(), "{device}");
        assert_eq!(losses[59].accuracy(), 1.0, "{device}");
    }
}
