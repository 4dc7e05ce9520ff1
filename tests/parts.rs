//! A batch that a device does not hold at once is trained on in parts, and nothing changes but the rounding.

mod cases;

use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, GraphError, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Augment, Conv2d, Pool2d};
use nin_wgpu::program::{Loss, Parameters, Program, Source, Training};
use nin_wgpu::train::{TrainOptions, training_program_on};

const BATCH: usize = 10;

fn network(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("conv1", x, 12, Conv2d::new(5, 2, 2)?)?;
    let x = net.relu(x)?;
    let x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
    let x = net.dropout(x, 0.3)?;
    let x = net.conv2d("conv2", x, 4, Conv2d::new(3, 1, 1)?)?;
    net.global_avg_pool(x)
}

const AUGMENT: Augment = Augment {
    crop: 2,
    flip: true,
    ..Augment::NONE
};

/// Trains eight steps; the losses, and the parameters, moments and last gradients at the end.
fn train_by(
    device: &Device,
    part: usize,
    augment: Augment,
    training: Training,
) -> (Vec<f64>, Parameters) {
    let made = Synthetic {
        shape: [1, 16, 14],
        classes: 4,
        train: 40,
        test: 1,
        ..Synthetic::default()
    };
    let data = made.generate().expect("valid").train;
    let source = Source::new(40, [1, 16, 14]).with_augment(augment);
    let sizes = [BATCH, part];
    let program = Program::training_in_parts(&source, [16, 14], sizes, training, network);
    let program = program.expect("builds");
    assert_eq!(program.parts(), BATCH.div_ceil(part));
    let mut run = program.load(device).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), 1).expect("fits");
    run.set_parameters(&parameters).expect("fits");
    run.set_data(&data.images().expect("in memory"), &data.labels())
        .expect("fits");
    let losses = (1..=8)
        .map(|step| {
            let first = 7 * step as u32;
            let batch: Vec<u32> = (0..BATCH as u32).map(|i| (first + 3 * i) % 40).collect();
            let metrics = run.train_step(&batch, 0.01, step).expect("trains");
            assert_eq!(metrics.images(), BATCH as u64);
            metrics.loss()
        })
        .collect();
    assert_eq!(run.completed(), 8);
    let mut end = run.parameters().expect("readable");
    end.extend(run.moments().expect("readable"));
    end.extend(run.gradients().expect("readable"));
    (losses, end)
}

#[test]
fn a_batch_in_parts_trains_as_the_whole_one_but_for_rounding_and_repeats() {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    for device in std::iter::once(Device::Cpu).chain(gpu) {
        agrees(&device, AUGMENT, &[5, 4, 3, 1]);
        // The parts of pictures too are those of their places in the whole batch.
        agrees(&device, AUGMENT.of_parts(), &[4]);
    }
}

/// Parts of unlike labels have unlike weights in the mean over the batch.
#[test]
fn a_batch_in_parts_has_the_weighted_mean_of_the_whole_one() {
    let training = Training {
        loss: Loss::CrossEntropy {
            label_smoothing: 0.1,
            class_weights: vec![0.0, 1.0, 5.0, 0.3],
        },
        ..Training::default()
    };
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    for device in std::iter::once(Device::Cpu).chain(gpu) {
        agrees_by(&device, AUGMENT, &[4, 1], &training);
    }
}

fn agrees(device: &Device, augment: Augment, parts: &[usize]) {
    agrees_by(device, augment, parts, &Training::default());
}

fn agrees_by(device: &Device, augment: Augment, parts: &[usize], training: &Training) {
    let train = |device: &Device, part, augment| train_by(device, part, augment, training.clone());
    let (want, end) = train(device, BATCH, augment);
    for &part in parts {
        let (losses, parts_end) = train(device, part, augment);
        for (step, (got, want)) in losses.iter().zip(&want).enumerate() {
            let off = (got - want).abs();
            assert!(
                off < 1e-4,
                "{device}, parts of {part}, step {step}: {got}, {want}"
            );
        }
        for ((name, got), (_, want)) in parts_end.iter().zip(&end) {
            let most = want.data.iter().fold(0f32, |most, x| most.max(x.abs()));
            for (got, want) in got.data.iter().zip(&want.data) {
                let off = (got - want).abs() / most.max(1e-6);
                assert!(
                    off < 2e-3,
                    "{device}, parts of {part}, {name}: {got}, {want}"
                );
            }
        }
        assert_eq!(
            train(device, part, augment),
            (losses, parts_end),
            "it repeats"
        );
    }
}

#[test]
fn the_networks_batch_of_128_fits_a_device_of_default_limits_in_two_parts() {
    let Some(gpu) = cases::gpu_at_default_limits() else {
        return;
    };
    let device = Device::Gpu(gpu);
    let model = Model::find("nin").expect("a preset");
    let data = nin_wgpu::data::outline("fashion-mnist").expect("known");
    let parts = |batch_size| {
        let options = TrainOptions {
            batch_size,
            ..TrainOptions::default()
        };
        training_program_on(&device, model, &data, &options).map(|program| program.parts())
    };
    assert_eq!(parts(115).expect("fits"), 1);
    assert_eq!(parts(128).expect("fits"), 2);
    assert_eq!(parts(1024).expect("fits"), 9);
}

#[test]
fn a_picture_too_large_for_any_part_is_refused_and_the_tensor_named() {
    let Some(gpu) = cases::gpu_at_default_limits() else {
        return;
    };
    let device = Device::Gpu(gpu);
    let model = Model::find("nin").expect("a preset");
    let mut data = nin_wgpu::data::outline("fashion-mnist").expect("known");
    data.len = 4;
    let options = TrainOptions {
        batch_size: 4,
        image_size: Some([4000, 4000]),
        ..TrainOptions::default()
    };
    let error = training_program_on(&device, model, &data, &options).expect_err("too large");
    let says = error.to_string();
    assert!(says.contains("conv.0") && says.contains("bytes"), "{says}");
}
