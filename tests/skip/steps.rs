//! Single steps, and what is left behind of them.

use nin_wgpu::device::Device;
use nin_wgpu::graph::{Graph, GraphBuilder, GraphError, Role, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::ops::{Adam, Commit, Conv2d, Gate, Optimizer, Sgd};
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::program::{Loss, Metrics, Parameters, Program, Run, Source, Training};
use nin_wgpu::shape::{DType, Shape};

use crate::{SIZE, devices, labels, normalize, pixels, with_large_filters};

/// Images of a batch. The third channel of the first eight is black.
const GOOD: [[u32; 4]; 2] = [[0, 1, 2, 3], [4, 5, 6, 7]];
/// One picture whose third channel is white overflows within the network, one that is nearly black there in the gradients' squares.
const BAD: [[u32; 4]; 2] = [[0, 8, 2, 3], [9, 1, 2, 3]];

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
    let plain = Optimizer::every_rule().map(of);
    let clipped = Optimizer::every_rule().map(of).map(whole);
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
            for optimizer in Optimizer::every_rule() {
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

/// By hand, since the reference is what all else is compared with.
#[test]
fn sums_join_or_are_dropped_and_statistics_stay_or_go_back() {
    const INF: f32 = f32::INFINITY;
    // The norm, whether it is the last part; then what is left of sums, totals, running and kept statistics.
    let cases = [
        (
            2.0,
            1.0,
            [&[0.0; 2][..], &[11.0, 22.0, 5.0], &[1.0, 8.0], &[1.0, 8.0]],
        ),
        (
            INF,
            1.0,
            [&[0.0; 2], &[10.0, 20.0, 6.0], &[7.0, 8.0], &[7.0, 8.0]],
        ),
        (
            f32::NAN,
            0.0,
            [&[1.0, 2.0], &[10.0, 20.0, 5.0], &[1.0, INF], &[7.0, 8.0]],
        ),
    ];
    for (device, (norm, last, want)) in devices()
        .iter()
        .flat_map(|device| cases.map(|case| (device, case)))
    {
        let mut graph = Graph::default();
        let mut add = |name: &str, data: &[f32], role| {
            let shape = Shape::new(&[data.len()]).expect("valid");
            let id = graph.add_value(name, shape, DType::F32, role);
            (id, data.to_vec())
        };
        let hyper = add("hyper", &[0.1, 1.0, 0.1, 0.0, 1.0, last], Role::Input);
        let norm = add("norm", &[norm], Role::Input);
        let sums = add("sums", &[1.0, 2.0], Role::Accumulator);
        let totals = add("totals", &[10.0, 20.0, 5.0], Role::Accumulator);
        let running = add("running", &[1.0, INF], Role::Statistic);
        let kept = add("kept", &[7.0, 8.0], Role::Kept(running.0));
        let updates = [sums.0, totals.0, running.0, kept.0];
        let gated = graph.push("gate", Gate, &[hyper.0, norm.0], &[]);
        let gated = gated.expect("fits")[0];
        graph.keep(gated);
        let commit = graph.push("commit", Commit, &[hyper.0, norm.0], &updates);
        commit.expect("fits");
        let mut runtime = device.load(graph).expect("loads");
        let finite = norm.1[0].is_finite();
        let passed = if finite {
            hyper.1.clone()
        } else {
            vec![0.0; 6]
        };
        for (id, data) in [hyper, norm, sums, totals, running, kept] {
            runtime.write(id, data.as_slice().into()).expect("fits");
        }
        runtime.run().expect("runs");
        for (id, want) in updates.iter().zip(want) {
            assert_eq!(runtime.read(*id).expect("readable"), want, "{device}");
        }
        assert_eq!(runtime.read(gated).expect("readable"), passed, "{device}");
    }
}
