//! Steps whose gradients are not finite are skipped: nothing moves, on either device, under each optimizer, on whole batches and in
//! parts, and a run goes on as if they had not been.

mod cases;

use std::path::Path;

use nin_wgpu::checkpoint::Metadata;
use nin_wgpu::data::{Dataset, Split};
use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, GraphError, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Adam, Conv2d, Normalize, Optimizer, Sgd};
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::program::{Loss, Metrics, Parameters, Program, Run, Source, Training};
use nin_wgpu::train::{
    Event, RunFolder, Summary, TrainError, TrainOptions, Trainer, training_program,
};
use nin_wgpu::{Error, Result};

const SIZE: [usize; 2] = [14, 15];
const PIXELS: usize = SIZE[0] * SIZE[1];
/// Images of a batch. The third channel of the first eight is black.
const GOOD: [[u32; 4]; 2] = [[0, 1, 2, 3], [4, 5, 6, 7]];
/// One picture whose third channel is white overflows within the network, one that is nearly black there in the gradients' squares.
const BAD: [[u32; 4]; 2] = [[0, 8, 2, 3], [9, 1, 2, 3]];

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

/// The third channel is taken times 5e37.
fn normalize() -> Normalize {
    Normalize::from_channels(&[(0.5, 0.25), (0.5, 0.25), (0.0, 2e-38)])
}

fn plain(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("conv1", x, 5, Conv2d::new(3, 1, 1)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("conv2", x, 3, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

fn normalized(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("conv1", x, 5, Conv2d::new(3, 1, 1)?.without_bias())?;
    let x = net.batch_norm("norm1", x)?;
    let x = net.relu(x)?;
    let x = net.dropout(x, 0.3)?;
    let x = net.conv2d("conv2", x, 6, Conv2d::new(3, 2, 1)?.without_bias())?;
    let x = net.batch_norm("norm2", x)?;
    let x = net.flatten(x)?;
    net.linear("logits", x, 3)
}

type Network = fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>;

fn pixels() -> Vec<u8> {
    let image = |i: usize| {
        let third = [0, 255, 1][i.saturating_sub(7)];
        let noise = cases::integers(2 * PIXELS, 256, i as u32).into_iter();
        let noise = noise.map(|x| x as u8);
        noise.chain(std::iter::repeat_n(third, PIXELS))
    };
    (0..10).flat_map(image).collect()
}

fn labels() -> Vec<u16> {
    (0..10).map(|i| i % 3).collect()
}

/// So that a white third channel overflows at once.
fn with_large_filters(mut parameters: Parameters) -> Parameters {
    // Those of the first layer are the first.
    let filters = parameters.first_mut();
    let (_, filters) = filters.expect("there");
    let taps = filters.shape.dims()[2] * filters.shape.dims()[3];
    for of_channel in filters.data.chunks_mut(taps).skip(2).step_by(3) {
        of_channel.fill(4.0);
    }
    parameters
}

fn program(part: usize, training: &Training, network: Network) -> Program {
    let source = Source::new(10, [3, SIZE[0], SIZE[1]]).with_normalize(normalize());
    let program = Program::training_in_parts(&source, SIZE, [4, part], training.clone(), network);
    program.expect("builds")
}

fn load(device: &Device, program: &Program) -> Run {
    let mut run = program.load(device).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), 3);
    let parameters = with_large_filters(parameters.expect("initialises"));
    run.set_parameters(&parameters).expect("fits");
    run.set_data(&pixels(), &labels()).expect("fits");
    run
}

/// All that a step may leave behind.
fn state(run: &mut Run) -> Vec<Parameters> {
    vec![
        run.parameters().expect("readable"),
        run.moments().expect("readable"),
        run.averaged().expect("readable"),
    ]
}

fn is_finite(state: &[Parameters]) -> bool {
    let mut all = state.iter().flatten().flat_map(|(_, tensor)| &tensor.data);
    all.all(|x| x.is_finite())
}

/// Takes a step, and tells of it and of those before that nothing was told of.
fn step(run: &mut Run, number: u64, batch: [u32; 4]) -> Metrics {
    queue(run, number, batch, true);
    let told = run.take_metrics(true).expect("readable").pop();
    told.expect("asked for")
}

fn queue(run: &mut Run, number: u64, batch: [u32; 4], snapshot: bool) {
    run.queue_train_step(&batch, 0.01, number, 5, snapshot)
        .expect("runs");
}

fn optimizers() -> [Optimizer; 4] {
    let sgd = Sgd {
        weight_decay: 0.01,
        ..Sgd::default()
    };
    let nesterov = Sgd {
        momentum: 0.9,
        nesterov: true,
        ..sgd
    };
    [
        sgd.into(),
        nesterov.into(),
        Adam::default().into(),
        Adam::adamw().into(),
    ]
}

fn trainings() -> Vec<Training> {
    let of = |optimizer: Optimizer| Training {
        skip_non_finite: true,
        ..optimizer.into()
    };
    let whole = |training: Training| Training {
        clip_norm: Some(0.1),
        ema: Some(0.8),
        rates: vec![("conv1".to_owned(), 0.5)],
        ..training
    };
    let plain = optimizers().map(of);
    let clipped = optimizers().map(of).map(whole);
    let squared = Training {
        loss: Loss::MeanSquaredError,
        ..of(Sgd::default().into())
    };
    let weighed = Training {
        ema: Some(0.9),
        loss: Loss::CrossEntropy {
            label_smoothing: 0.1,
            class_weights: vec![1.0, 2.0, 0.5],
        },
        ..of(Adam::default().into())
    };
    [plain.to_vec(), clipped.to_vec(), vec![squared, weighed]].concat()
}

/// The bits of what metrics are made of, without the norm.
fn told(metrics: &Metrics) -> [u64; 4] {
    [
        metrics.loss().to_bits(),
        metrics.accuracy().to_bits(),
        metrics.images(),
        metrics.dead_classes().len() as u64,
    ]
}

fn goes_on_as_if_it_had_not_been(network: Network, parts: &[usize], bad: &[[u32; 4]]) {
    for (device, training) in devices()
        .iter()
        .flat_map(|device| trainings().into_iter().map(move |of| (device, of)))
    {
        for &part in parts {
            let program = program(part, &training, network);
            let [mut with, mut without, mut quiet, mut quiet_without] =
                [(); 4].map(|()| load(device, &program));
            let what = format!("{training:?} on {device}, parts of {part}");
            let first = [&mut with, &mut without].map(|run| step(run, 1, GOOD[0]));
            assert_eq!(told(&first[0]), told(&first[1]), "{what}");
            assert_eq!((first[0].skipped(), first[0].images()), (0, 4), "{what}");
            assert!(first[0].gradient_norm().is_some_and(f64::is_finite));
            let before = state(&mut with);
            for (number, &batch) in (2..).zip(bad) {
                let metrics = step(&mut with, number, batch);
                assert_eq!((metrics.skipped(), metrics.images()), (1, 0), "{what}");
                assert!(metrics.loss().is_nan() && metrics.accuracy().is_nan());
                assert!(
                    metrics
                        .gradient_norm()
                        .is_some_and(|norm| !norm.is_finite())
                );
                assert!(state(&mut with) == before, "{what}");
            }
            let last = [&mut with, &mut without].map(|run| step(run, 9, GOOD[1]));
            assert_eq!(told(&last[0]), told(&last[1]), "{what}");
            let after = state(&mut with);
            assert!(after == state(&mut without), "{what}");
            assert!(after != before && is_finite(&after), "{what}");

            // What is told of several steps at once leaves those out that were skipped.
            queue(&mut quiet, 1, GOOD[0], false);
            for (number, &batch) in (2..).zip(bad) {
                queue(&mut quiet, number, batch, false);
            }
            queue(&mut quiet_without, 1, GOOD[0], false);
            let all = [&mut quiet, &mut quiet_without].map(|run| step(run, 9, GOOD[1]));
            assert_eq!(told(&all[0]), told(&all[1]), "{what}");
            assert_eq!(all[0].skipped(), bad.len() as u64, "{what}");
            assert_eq!((all[1].skipped(), all[1].images()), (0, 8), "{what}");
            assert!(state(&mut quiet) == after, "{what}");
        }
    }
}

#[test]
fn a_step_that_is_not_finite_moves_nothing_and_the_next_goes_on_as_if_it_had_not_been() {
    goes_on_as_if_it_had_not_been(plain, &[4, 3, 1], &BAD);
}

#[test]
fn so_it_is_with_running_statistics_and_dropout() {
    goes_on_as_if_it_had_not_been(normalized, &[4, 2], &BAD[..1]);
}

#[test]
fn without_it_the_same_step_spoils_what_is_trained() {
    for device in devices() {
        for network in [plain as Network, normalized] {
            for optimizer in optimizers() {
                let program = program(4, &optimizer.into(), network);
                let mut run = load(&device, &program);
                let metrics = step(&mut run, 1, GOOD[0]);
                assert_eq!((metrics.skipped(), metrics.gradient_norm()), (0, None));
                assert!(is_finite(&state(&mut run)));
                step(&mut run, 2, BAD[0]);
                assert!(!is_finite(&state(&mut run)), "{optimizer:?} on {device}");
            }
        }
    }
}

#[test]
fn a_variance_that_overflows_where_gradients_do_not_goes_back_by_itself() {
    let training = Training {
        skip_non_finite: true,
        ..Adam::default().into()
    };
    for device in devices() {
        let program = program(4, &training, normalized);
        let mut run = load(&device, &program);
        step(&mut run, 1, GOOD[0]);
        for number in 2..5 {
            step(&mut run, number, BAD[1]);
        }
        assert!(is_finite(&state(&mut run)), "{device}");
        let metrics = step(&mut run, 5, GOOD[1]);
        assert_eq!((metrics.skipped(), metrics.images()), (0, 4), "{device}");
    }
}

#[test]
fn where_no_step_is_skipped_the_training_is_that_without_it() {
    for training in trainings() {
        let off = Training {
            skip_non_finite: false,
            ..training.clone()
        };
        for device in devices() {
            for (network, part) in [(plain as Network, 4), (plain, 3), (normalized, 4)] {
                let [mut on, mut off] =
                    [&training, &off].map(|of| load(&device, &program(part, of, network)));
                for number in 1..6 {
                    let batch = GOOD[number as usize % 2];
                    let losses = [&mut on, &mut off].map(|run| step(run, number, batch).loss());
                    assert!((losses[0] - losses[1]).abs() < 1e-5, "{losses:?}");
                }
                let [on, off] = [&mut on, &mut off].map(state);
                for ((name, on), (_, off)) in on.iter().flatten().zip(off.iter().flatten()) {
                    match device {
                        // The sums have one order.
                        Device::Cpu => assert_eq!(on, off, "{name}, {training:?}"),
                        _ => {
                            let most = off.data.iter().fold(1e-6f32, |most, x| most.max(x.abs()));
                            let mut pairs = on.data.iter().zip(&off.data);
                            let near = pairs.all(|(on, off)| (on - off).abs() <= 1e-4 * most);
                            assert!(near, "{name}, {training:?} on {device}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn devices_agree_on_a_training_with_a_step_that_is_skipped() {
    for training in trainings() {
        let allowed = match training.optimizer {
            Optimizer::Sgd(_) => 1e-4,
            // It divides what is nearly nothing by itself: a step may go the other way.
            Optimizer::Adam(_) => 2e-2,
        };
        let mut all: Vec<Vec<Parameters>> = Vec::new();
        for device in devices() {
            let mut run = load(&device, &program(2, &training, normalized));
            for (number, batch) in (1..).zip([GOOD[0], BAD[0], GOOD[1]]) {
                step(&mut run, number, batch);
            }
            all.push(state(&mut run));
        }
        for of in &all[1..] {
            for ((name, got), (_, want)) in of.iter().flatten().zip(all[0].iter().flatten()) {
                let most = want.data.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
                let mut pairs = got.data.iter().zip(&want.data);
                let near = pairs.all(|(got, want)| (got - want).abs() <= allowed * most.max(1.0));
                assert!(near, "{name}, {training:?}");
            }
        }
    }
}

#[test]
fn it_costs_a_few_small_dispatches_and_a_plan_without_it_has_none_of_them() {
    let count = |training: &Training, network| {
        let graph = program(4, training, network).graph().clone();
        let plan = Plan::new(graph, &PlanOptions::default()).expect("fits");
        let small = plan.dispatches().iter();
        let small = small.filter(|dispatch| ["gate", "commit"].contains(&dispatch.op));
        (small.count(), plan.dispatches().len())
    };
    for training in trainings() {
        let clipped = Training {
            clip_norm: training.clip_norm.or(Some(1.0)),
            skip_non_finite: false,
            ..training.clone()
        };
        for (network, statistics) in [(plain as Network, 0), (normalized, 1)] {
            let (none, before) = count(&clipped, network);
            let (more, after) = count(&training, network);
            let want = 2 + statistics + usize::from(training.ema.is_some());
            assert_eq!(
                (none, more, after - before),
                (0, want, want),
                "{training:?}"
            );
        }
    }
}

/// Ten training pictures, more often if there are to be more; the bad ones are the seventh and the eighth.
fn split(times: usize) -> Split {
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let image = [3, SIZE[0], SIZE[1]];
    let (pixels, labels) = (pixels(), labels());
    let set = |order: &[usize], times: usize| {
        let image_of = |&i: &usize| {
            pixels
                .chunks(3 * PIXELS)
                .nth(i)
                .unwrap_or_default()
                .to_vec()
        };
        let images: Vec<Vec<u8>> = order.iter().map(image_of).collect();
        let labels: Vec<u16> = order.iter().map(|&i| labels[i]).collect();
        let (images, labels) = (images.concat().repeat(times), labels.repeat(times));
        Dataset::new("made", images, labels, image, classes.clone()).expect("valid")
    };
    let train = set(&[0, 1, 2, 3, 4, 5, 8, 9, 6, 7], times);
    Split::new(train, set(&[0, 1, 2, 3, 4, 5, 6, 7], 1))
}

fn options() -> TrainOptions {
    TrainOptions {
        batch_size: 2,
        epochs: 3,
        learning_rate: 0.01,
        warmup_steps: 0,
        normalize: normalize(),
        // The order is that of the pictures: of each five steps the fourth is skipped.
        shuffle: false,
        log_every: 3,
        training: Training {
            skip_non_finite: true,
            ema: Some(0.9),
            ..Adam::default().into()
        },
        ..TrainOptions::default()
    }
}

fn model() -> Model {
    let mut model = *Model::find("nin-small").expect("exists");
    model.form.batch_norm = true;
    model
}

/// Begins a run in `folder` or goes on with it; what it told, without times.
fn run_in(device: &Device, folder: &Path, options: TrainOptions) -> Result<Summary> {
    let (model, split) = (model(), split(1));
    let (mut folder, parameters, resumed) = match folder.join("resume.safetensors").exists() {
        true => {
            let (folder, resumed) = RunFolder::resume(folder)?;
            (folder, resumed.parameters.clone(), Some(resumed))
        }
        false => {
            let program = training_program(&model, &split.train.outline(), &options)?;
            let parameters = Init::Kaiming.parameters(program.graph(), 1)?;
            let parameters = with_large_filters(parameters);
            let metadata = Metadata::new(&model, &split.train, normalize().channels(3), 1);
            (
                RunFolder::create(folder, &"test", metadata)?,
                parameters,
                None,
            )
        }
    };
    let mut trainer = Trainer::new(device, &model, &split, &parameters, options)?;
    if let Some(resumed) = &resumed {
        trainer.resume(resumed.metadata.step, &resumed.moments, &resumed.state)?;
    }
    trainer.run(|event| folder.record(&event))
}

/// The lines of a run's metrics, without times.
fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("written");
    let timeless = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        fields.retain(|name, _| name != "seconds" && name != "waited");
        line
    };
    text.lines().map(timeless).collect()
}

#[test]
fn a_run_in_parts_with_steps_that_are_skipped_is_the_run_in_one() {
    for device in devices() {
        // With log intervals of one step too, of which that which is skipped has no loss.
        for log_every in [3, 1] {
            let [one, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            let of = |max_steps| TrainOptions {
                max_steps,
                log_every,
                ..options()
            };
            let whole = run_in(&device, one.path(), of(None)).expect("trains");
            // Behind a step that was skipped, alone in an interval that goes on; at the end of an epoch; and before and behind another.
            for until in [4, 5, 8, 9, 10, 11] {
                run_in(&device, parts.path(), of(Some(until))).expect("trains");
            }
            let last = run_in(&device, parts.path(), of(None)).expect("trains");
            assert_eq!((whole.steps, whole.skipped), (15, 3));
            assert_eq!(last, whole, "{device}");
            let steps = |folder: &Path| {
                let mut lines = lines(folder);
                lines.retain(|line| line["kind"] == "step");
                lines
            };
            assert_eq!(steps(parts.path()), steps(one.path()), "{device}");
            let skipped = steps(one.path());
            let skipped: u64 = skipped
                .iter()
                .filter_map(|line| line["skipped"].as_u64())
                .sum();
            assert_eq!(skipped, 3);
            if log_every == 1 {
                let line = &steps(one.path())[3];
                assert!(
                    line["loss"].is_null() && line["accuracy"].is_null(),
                    "{line}"
                );
                assert_eq!((&line["step"], &line["skipped"]), (&4.into(), &1.into()));
            }
            let read = |folder: &Path| std::fs::read(folder.join("resume.safetensors"));
            let [one, parts] = [&one, &parts].map(|folder| read(folder.path()).expect("written"));
            assert!(one == parts, "{device}");
        }
    }
}

#[test]
fn a_hundred_steps_skipped_in_a_row_are_a_training_that_diverged() {
    for device in devices() {
        let (model, split) = (model(), split(4));
        let options = TrainOptions {
            epochs: 10,
            ..options()
        };
        let program = training_program(&model, &split.train.outline(), &options).expect("builds");
        let mut parameters = Init::Kaiming
            .parameters(program.graph(), 1)
            .expect("initialises");
        // Finite, but nothing that comes of them is.
        for (name, tensor) in &mut parameters {
            if name.ends_with("weight") {
                tensor.data.fill(f32::MAX);
            }
        }
        let mut trainer =
            Trainer::new(&device, &model, &split, &parameters, options).expect("loads");
        let (mut skipped, mut epochs) = (0, 0);
        let ended = trainer.run(|event| {
            match event {
                Event::Interval(interval) => {
                    assert!(interval.loss.is_nan());
                    skipped += interval.skipped.expect("told");
                }
                Event::Epoch(epoch) => {
                    assert!(epoch.train_loss.is_nan() && epoch.skipped == Some(20));
                    epochs += 1;
                }
                _ => {}
            }
            Ok(())
        });
        let error = ended.expect_err("no step counts");
        let Error::Train(TrainError::NonFinite { interval, step, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!((interval, step, epochs), (100, 100, 4), "{device}");
        assert_eq!(skipped, 99, "{device}");
    }
}

#[test]
fn a_run_may_stop_skipping_when_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = TrainOptions {
        max_steps: Some(4),
        log_every: 5,
        ..options()
    };
    assert_eq!(
        run_in(&Device::Cpu, folder.path(), first)
            .expect("trains")
            .skipped,
        1
    );
    let mut second = TrainOptions {
        max_steps: Some(8),
        log_every: 5,
        ..options()
    };
    second.training.skip_non_finite = false;
    let summary = run_in(&Device::Cpu, folder.path(), second).expect("trains");
    assert_eq!((summary.steps, summary.skipped), (8, 1));
    let told = lines(folder.path());
    let last = told.last().expect("a line");
    assert!(last.get("skipped").is_none(), "{last}");
}
