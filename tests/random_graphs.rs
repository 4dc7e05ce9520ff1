//! Networks that nobody wrote: on every device they compute what the reference computes, and no slot loses what is still read.

mod cases;

use cases::slots::assert_slots_hold;
use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, GraphError, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::ops::{Activation, BatchNorm, Conv2d, LocalResponseNorm, Pool2d, Sgd};
use nin_wgpu::plan::{Conv2dChoices, Plan, PlanLimits, PlanOptions};
use nin_wgpu::program::{Program, Source};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const IMAGES: usize = 5;
const CHANNELS: usize = 2;
const SIZE: [usize; 2] = [13, 11];
const CLASSES: usize = 4;

/// Networks that are planned, and of those the ones that are run too. `NIN_TEST_GRAPHS` says how many times as many.
const PLANNED: u64 = 150;
const RUN: u64 = 24;

fn times() -> u64 {
    let times = std::env::var("NIN_TEST_GRAPHS").ok();
    times.map_or(1, |times| {
        times.parse().expect("NIN_TEST_GRAPHS is a number")
    })
}

/// A layer that takes maps to maps; what does not fit them is an error, and leaves the graph as it was.
fn layer(
    net: &mut GraphBuilder,
    rng: &mut StdRng,
    name: &str,
    maps: &[ValueId],
) -> Result<ValueId, GraphError> {
    let x = maps[maps.len() - 1];
    let other = maps[rng.random_range(0..maps.len())];
    let channels = net.graph().value(x).shape.dims()[1];
    match rng.random_range(0..12) {
        0..=3 => {
            let filter = [rng.random_range(1..=5), rng.random_range(1..=5)];
            let square = [filter[0]; 2];
            let filter = if rng.random_bool(0.7) { square } else { filter };
            let stride = [rng.random_range(1..=2), rng.random_range(1..=2)];
            let stride = if rng.random_bool(0.7) { [1; 2] } else { stride };
            let mut conv = Conv2d::rectangular(filter, stride)?.with_paddings([
                [filter[0] / 2, rng.random_range(0..=2)],
                [filter[1] / 2, rng.random_range(0..=2)],
            ])?;
            if rng.random_bool(0.2) {
                conv = conv.with_dilation([2, 1])?;
            }
            let mut filters = rng.random_range(1..=20);
            if rng.random_bool(0.2) {
                conv = conv.with_groups(channels)?;
                filters = channels * rng.random_range(1..=2);
            }
            if rng.random_bool(0.3) {
                conv = conv.without_bias();
            }
            net.conv2d(name, x, filters, conv)
        }
        4 | 5 => net.relu(x),
        6 => {
            let kinds = [Activation::Silu, Activation::Gelu, Activation::Sigmoid];
            net.activation(x, kinds[rng.random_range(0..kinds.len())])
        }
        7 | 8 => {
            let window = rng.random_range(2..=3);
            let mut pool = Pool2d::new(window, rng.random_range(1..=2))?;
            if rng.random_bool(0.5) {
                pool = pool.with_ceil_mode();
            }
            match rng.random_bool(0.6) {
                true => net.max_pool2d(x, pool),
                false => net.avg_pool2d(x, pool),
            }
        }
        9 => net.add(x, other),
        10 => net.concat(&[other, x]),
        _ if rng.random_bool(0.5) => net.batch_norm_by(name, x, BatchNorm::default()),
        _ => net.local_response_norm(x, LocalResponseNorm::new(3)?),
    }
}

/// The network of a seed: images to logits.
fn network(net: &mut GraphBuilder, images: ValueId, seed: u64) -> Result<ValueId, GraphError> {
    let rng = &mut StdRng::seed_from_u64(seed);
    let mut maps = vec![images];
    for i in 0..rng.random_range(2..=9) {
        // What does not fit is left out.
        maps.extend(layer(net, rng, &format!("layer{i}"), &maps));
    }
    let x = maps[maps.len() - 1];
    if rng.random_bool(0.5) {
        let x = net.conv2d("classes", x, CLASSES, Conv2d::new(1, 1, 0)?)?;
        return net.global_avg_pool(x);
    }
    let x = net.flatten(x)?;
    net.linear("classes", x, CLASSES)
}

fn program(seed: u64) -> Program {
    let source = Source::new(IMAGES, [CHANNELS, SIZE[0], SIZE[1]]);
    let training = Sgd::default();
    let program = Program::training(&source, SIZE, 3, training, |net, x| network(net, x, seed));
    program.unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

#[test]
fn no_slot_of_a_random_network_loses_what_is_still_read() {
    let small = PlanLimits {
        max_invocations: 128,
        ..PlanLimits::default()
    };
    let software = PlanOptions::SOFTWARE;
    for seed in 0..PLANNED * times() {
        let graph = program(seed).graph().clone();
        for options in [
            PlanOptions::default(),
            PlanOptions {
                limits: small,
                conv2d: Conv2dChoices::of_hardware(&small),
            },
            software.clone(),
        ] {
            let plan = Plan::new(graph.clone(), &options);
            let plan = plan.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            assert_slots_hold(&plan);
        }
    }
}

/// Losses of two steps, and every parameter and statistic after them.
fn train(device: &Device, program: &Program) -> (Vec<f64>, Vec<(String, Vec<f32>)>) {
    let mut run = program.load(device).expect("loads");
    let parameters = Init::PyTorch.parameters(program.graph(), 3).expect("valid");
    run.set_parameters(&parameters).expect("fit");
    let len = IMAGES * CHANNELS * SIZE[0] * SIZE[1];
    let pixels: Vec<u8> = cases::integers(len, 256, 7)
        .iter()
        .map(|&x| x as u8)
        .collect();
    run.set_data(&pixels, &[0, 3, 1, 2, 3]).expect("fit");
    let losses = (1..=2).map(|step| {
        let metrics = run.train_step(&[4, 0, 2], 0.01, step).expect("runs");
        metrics.loss()
    });
    let losses = losses.collect();
    let parameters = run.parameters().expect("readable").into_iter();
    let of = parameters.map(|(name, tensor)| (name, tensor.data.as_slice().to_vec()));
    (losses, of.collect())
}

#[test]
fn a_random_network_trains_on_the_adapter_as_on_the_reference() {
    let Some(gpu) = cases::gpu() else { return };
    let gpu = Device::Gpu(gpu.clone());
    for seed in 0..RUN * times() {
        let program = program(seed);
        let [(losses, got), (expected, want)] =
            [&gpu, &Device::Cpu.precise()].map(|device| train(device, &program));
        for (loss, want) in losses.iter().zip(&expected) {
            let off = (loss - want).abs();
            assert!(
                off <= 1e-3 * want.abs(),
                "seed {seed}: {losses:?}, expected {expected:?}"
            );
        }
        for ((name, got), (_, want)) in got.iter().zip(&want) {
            let largest = want.iter().fold(0f32, |most, x| most.max(x.abs()));
            for (i, (got, want)) in got.iter().zip(want).enumerate() {
                let allowed = 1e-3 * largest + 1e-6;
                assert!(
                    (got - want).abs() <= allowed,
                    "seed {seed}: {name}[{i}] is {got}, expected {want}"
                );
            }
        }
    }
}
