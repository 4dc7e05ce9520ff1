//! Whole trainings under each optimizer, with groups of parameters, clipping, averages and frozen parameters: against PyTorch,
//! on each device, on whole batches and in parts.

mod cases;

use std::collections::HashMap;
use std::path::Path;

use nin_wgpu::checkpoint;
use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, GraphError, Role, ValueId};
use nin_wgpu::ops::{Adam, Conv2d, Sgd};
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::program::{Parameters, Program, Run, Source, Training};
use nin_wgpu::tensor::Tensor;

const BATCH: usize = 4;

/// The network `TwoConvolutions` of `fixtures/make.py`.
fn network(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("conv1", x, 6, Conv2d::new(3, 2, 1)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("conv2", x, 3, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

/// What `OPTIMIZERS` of `fixtures/make.py` says, and the learning rate.
fn trainings() -> Vec<(&'static str, f64, Training)> {
    let sgd = Sgd {
        weight_decay: 0.05,
        ..Sgd::default()
    };
    let momentum = Sgd {
        momentum: 0.9,
        ..sgd
    };
    let adam = Adam {
        weight_decay: 0.1,
        ..Adam::default()
    };
    let adamw = Adam {
        weight_decay: 0.1,
        ..Adam::adamw()
    };
    let conv1 = |factor: f32| vec![("conv1".to_owned(), factor)];
    vec![
        (
            "sgd",
            0.1,
            Training {
                decay_all: true,
                ..sgd.into()
            },
        ),
        (
            "momentum",
            0.05,
            Training {
                rates: conv1(0.5),
                ..Sgd {
                    dampening: 0.3,
                    ..momentum
                }
                .into()
            },
        ),
        (
            "nesterov",
            0.05,
            Training {
                ema: Some(0.8),
                ..Sgd {
                    nesterov: true,
                    ..momentum
                }
                .into()
            },
        ),
        (
            "adam",
            0.01,
            Training {
                rates: conv1(3.0),
                ..adam.into()
            },
        ),
        (
            "adamw",
            0.01,
            Training {
                rates: conv1(0.5),
                ema: Some(0.9),
                ..adamw.into()
            },
        ),
        (
            "adamw_all",
            0.01,
            Training {
                decay_all: true,
                ..Adam::adamw().into()
            },
        ),
        (
            "clipped_sgd",
            0.5,
            Training {
                clip_norm: Some(0.1),
                ema: Some(0.5),
                ..Sgd {
                    momentum: 0.5,
                    ..Sgd::default()
                }
                .into()
            },
        ),
        (
            "clipped_adam",
            0.01,
            Training {
                clip_norm: Some(0.2),
                ..adam.into()
            },
        ),
    ]
}

fn fixture() -> HashMap<String, Tensor> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/optimizers.safetensors");
    let (tensors, _) = checkpoint::load(&path).expect("the fixture is committed");
    tensors.into_iter().collect()
}

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

fn program(part: usize, training: impl Into<Training>) -> Result<Program, GraphError> {
    let source = Source::new(40, [1, 8, 8]);
    Program::training_in_parts(&source, [8, 8], [BATCH, part], training, network)
}

/// The program with the fixture's data and first parameters.
fn start(device: &Device, fixture: &HashMap<String, Tensor>, program: &Program) -> Run {
    let mut run = program.load(device).expect("loads");
    let pixels: Vec<u8> = fixture["pixels"].data.iter().map(|&x| x as u8).collect();
    let labels: Vec<u16> = fixture["labels"].data.iter().map(|&x| x as u16).collect();
    run.set_data(&pixels, &labels).expect("fits");
    let init = fixture.iter().filter_map(|(name, tensor)| {
        let name = name.strip_prefix("init.")?;
        Some((name.to_owned(), tensor.clone()))
    });
    run.set_parameters(&init.collect()).expect("fits");
    run
}

fn batch(step: u64) -> Vec<u32> {
    let first = BATCH as u32 * (step as u32 - 1);
    (first..first + BATCH as u32).collect()
}

fn assert_close(what: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{what}");
    let most = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    for (got, want) in got.iter().zip(want) {
        let off = (got - want).abs();
        assert!(off <= 2e-5 * most, "{what}: {got} and {want}");
    }
}

#[test]
fn ten_steps_under_each_optimizer_follow_pytorch_on_whole_batches_and_in_parts() {
    let fixture = fixture();
    for (name, rate, training) in trainings() {
        for (device, part) in devices()
            .iter()
            .flat_map(|d| [4, 3, 1].map(|part| (d, part)))
        {
            let what = format!("{name} on {device}, parts of {part}");
            let program = program(part, training.clone()).expect("builds");
            let mut run = start(device, &fixture, &program);
            for step in 1..=10 {
                let metrics = run.train_step(&batch(step), rate, step).expect("runs");
                let at = step as usize - 1;
                let loss = [metrics.loss() as f32];
                assert_close(
                    &what,
                    &loss,
                    &fixture[&format!("{name}.losses")].data[at..=at],
                );
                let norm = run.gradient_norm().expect("readable");
                assert_eq!(norm.is_some(), training.clip_norm.is_some());
                assert_eq!(norm.map(f64::from), metrics.gradient_norm(), "{what}");
                if let Some(norm) = norm {
                    let want = &fixture[&format!("{name}.norm")].data[at..=at];
                    assert_close(&format!("{what}, norm"), &[norm], want);
                }
            }
            let compare = |prefix: &str, got: Parameters| {
                assert_eq!(got.len(), 4);
                for (of, got) in got {
                    let want = &fixture[&format!("{prefix}.{of}")];
                    assert_close(&format!("{what}, {of}"), &got.data, &want.data);
                }
            };
            compare(name, run.parameters().expect("readable"));
            match training.ema {
                Some(_) => compare(&format!("{name}.ema"), run.averaged().expect("readable")),
                None => compare(name, run.averaged().expect("readable")),
            }
            let kinds = training.optimizer.moments() + usize::from(training.ema.is_some());
            assert_eq!(run.moments().expect("readable").len(), 4 * kinds, "{what}");
        }
    }
}

#[test]
fn a_step_repeats_bit_for_bit_where_gradients_are_clipped_and_averaged() {
    let fixture = fixture();
    let training = trainings().swap_remove(6).2;
    for device in devices() {
        let [one, two] = [(); 2].map(|()| {
            let program = program(3, training.clone()).expect("builds");
            let mut run = start(&device, &fixture, &program);
            for step in 1..=3 {
                run.train_step(&batch(step), 0.5, step).expect("runs");
            }
            let mut end = run.parameters().expect("readable");
            end.extend(run.moments().expect("readable"));
            end
        });
        assert!(one == two, "{device}");
    }
}

/// Dispatches of a step, and bytes of its slots.
fn planned(training: impl Into<Training>) -> (usize, u64) {
    let program = program(BATCH, training).expect("builds");
    let plan = Plan::new(program.graph().clone(), &PlanOptions::default()).expect("fits");
    (plan.dispatches().len(), plan.bytes())
}

#[test]
fn every_optimizer_is_one_dispatch_and_an_average_one_more() {
    let (adam, bytes) = planned(Adam::default());
    for (name, _, training) in trainings() {
        let (dispatches, all) = planned(training.clone());
        // Clipping sums the gradients of each layer by itself, and takes two dispatches for the norm.
        let clipping = if training.clip_norm.is_some() { 4 } else { 0 };
        let average = usize::from(training.ema.is_some());
        assert_eq!(dispatches, adam + clipping + average, "{name}");
        let plain = training.ema.is_none() && training.clip_norm.is_none();
        if plain && training.optimizer.moments() < 2 {
            assert!(all < bytes, "{name} keeps fewer slabs than Adam");
        }
    }
}

#[test]
fn frozen_parameters_stay_and_neither_gradients_nor_moments_are_made_for_them() {
    let fixture = fixture();
    let frozen = |prefix: &str, training: Training| Training {
        frozen: vec![prefix.to_owned()],
        ..training
    };
    let (all, all_bytes) = planned(Adam::default());
    let (fewer, fewer_bytes) = planned(frozen("conv1", Adam::default().into()));
    // The filter gradient of the first layer; the input gradient of the second is one dispatch with its filter gradient.
    assert_eq!(fewer, all - 1);
    assert!(fewer_bytes < all_bytes);
    let training = Training {
        ema: Some(0.9),
        ..frozen("conv1", Adam::adamw().into())
    };
    let built = program(BATCH, training.clone()).expect("builds");
    let graph = built.graph();
    let first = graph.find("conv1.weight").expect("there");
    for id in graph.ids() {
        let of = match graph.value(id).role {
            Role::Gradient(of) | Role::Moment(of, _) | Role::Average(of) => of,
            _ => continue,
        };
        assert!(of > first && graph.value(of).name.starts_with("conv2."));
    }
    // With a bias alone frozen, its filters' gradient is still computed.
    for (prefix, moved) in [
        ("conv1", [false, false, true, true]),
        ("conv1.bias", [true, false, true, true]),
    ] {
        for (device, part) in devices().iter().flat_map(|d| [4, 3].map(|part| (d, part))) {
            let training = Training {
                ema: Some(0.9),
                ..frozen(prefix, Adam::adamw().into())
            };
            let program = program(part, training).expect("builds");
            let mut run = start(device, &fixture, &program);
            for step in 1..=3 {
                run.train_step(&batch(step), 0.01, step).expect("runs");
            }
            let now = run.parameters().expect("readable");
            let kept = now
                .iter()
                .map(|(name, now)| now.data != fixture[&format!("init.{name}")].data);
            assert_eq!(kept.collect::<Vec<_>>(), moved, "{prefix} on {device}");
            let averaged = run.averaged().expect("readable");
            let (name, average) = &averaged[1];
            assert_eq!(
                average.data,
                fixture[&format!("init.{name}")].data,
                "{device}"
            );
            assert_ne!(averaged[3].1.data, now[3].1.data, "{device}");
        }
    }
}

#[test]
fn a_frozen_network_computes_the_gradients_that_the_whole_one_has_there() {
    let fixture = fixture();
    for device in devices() {
        let gradients = |frozen: Vec<String>| {
            let training = Training {
                frozen,
                ..Training::default()
            };
            let program = program(BATCH, training).expect("builds");
            let mut run = start(&device, &fixture, &program);
            run.train_step(&batch(1), 0.01, 1).expect("runs");
            run.gradients().expect("readable")
        };
        let (all, two) = (gradients(Vec::new()), gradients(vec!["conv1".to_owned()]));
        assert_eq!(all[2..], two, "{device}");
    }
}

#[test]
fn averages_begin_as_the_parameters_and_are_those_before_the_first_step() {
    let fixture = fixture();
    let training = Training {
        ema: Some(0.9),
        ..Training::default()
    };
    let program = program(BATCH, training).expect("builds");
    for device in devices() {
        let mut run = start(&device, &fixture, &program);
        assert!(run.averages());
        let [averaged, parameters] = [run.averaged(), run.parameters()];
        assert_eq!(averaged.expect("readable"), parameters.expect("readable"));
    }
}

#[test]
fn what_a_training_names_wrongly_is_refused_with_what_there_is() {
    let says = |training: Training| program(BATCH, training).expect_err("refused").to_string();
    let training = Training::default;
    let of = |frozen: &[&str]| Training {
        frozen: frozen.iter().map(|&prefix| prefix.to_owned()).collect(),
        ..training()
    };
    // A prefix ends where a part of a name does.
    assert_eq!(
        says(of(&["conv2", "conv"])),
        "frozen: no parameter's name begins with `conv`; the layers are conv1, conv2"
    );
    assert_eq!(
        says(of(&["conv1", "conv2"])),
        "the network has no parameter to train; freeze fewer, or add a layer that has some"
    );
    let rates = |prefix: &str, factor| Training {
        rates: vec![(prefix.to_owned(), factor)],
        ..training()
    };
    assert_eq!(
        says(rates("dense", 0.1)),
        "factor of the learning rate: no parameter's name begins with `dense`; the layers are conv1, conv2"
    );
    assert_eq!(
        says(rates("conv1", -1.0)),
        "factor of the learning rate is -1, expected a number above 0"
    );
    let clip = Training {
        clip_norm: Some(0.0),
        ..training()
    };
    assert!(says(clip).ends_with("is 0, expected a number above 0"));
    let ema = Training {
        ema: Some(1.0),
        ..training()
    };
    assert!(says(ema).ends_with("is 1, expected 0 or more and less than 1"));
    let nesterov = Sgd {
        nesterov: true,
        ..Sgd::default()
    };
    assert!(says(nesterov.into()).contains("needs a momentum above 0"));
    let momentum = Sgd {
        momentum: f32::NAN,
        ..Sgd::default()
    };
    assert!(says(momentum.into()).contains("momentum is NaN"));
}

#[test]
fn a_network_without_parameters_is_refused() {
    let source = Source::new(4, [3, 8, 8]);
    let error = Program::training(&source, [8, 8], 2, Adam::default(), |net, x| {
        net.global_avg_pool(x)
    });
    assert!(matches!(error, Err(GraphError::NothingToTrain)));
}

#[test]
fn the_longest_prefix_says_how_fast_a_parameter_learns() {
    let fixture = fixture();
    let steps = |rates: &[(&str, f32)]| {
        let rates = rates
            .iter()
            .map(|&(prefix, factor)| (prefix.to_owned(), factor));
        let training = Training {
            rates: rates.collect(),
            ..Sgd::default().into()
        };
        let program = program(BATCH, training).expect("builds");
        let mut run = start(&Device::Cpu, &fixture, &program);
        run.train_step(&batch(1), 0.125, 1).expect("runs");
        let now = run.parameters().expect("readable");
        let step = |(name, now): (String, Tensor)| {
            let init = &fixture[&format!("init.{name}")].data;
            let step = now
                .data
                .iter()
                .zip(init)
                .map(|(now, init)| (now - init).abs());
            step.fold(0f32, f32::max)
        };
        now.into_iter().map(step).collect::<Vec<_>>()
    };
    let (plain, grouped) = (steps(&[]), steps(&[("conv1.bias", 4.0), ("conv1", 0.5)]));
    for (i, factor) in [0.5, 4.0, 1.0, 1.0].into_iter().enumerate() {
        let off = (grouped[i] / plain[i] - factor).abs();
        assert!(off < 1e-3 * factor, "{i}: {plain:?} and {grouped:?}");
    }
}
