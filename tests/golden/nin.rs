//! A small Network in Network over ten Adam steps.

use crate::cases::fixture::{Fixture, devices, difference, widen};
use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, GraphError, ValueId};
use nin_wgpu::ops::{Adam, Conv2d, Pool2d};
use nin_wgpu::program::{Parameters, Program, Run, Source};
use nin_wgpu::shape::Shape;
use nin_wgpu::tensor::Tensor;

/// The network of `NIN_TINY` in `make.py`.
fn tiny(net: &mut GraphBuilder, mut x: ValueId) -> Result<ValueId, GraphError> {
    let blocks = [(8, 5, 2, 2), (12, 5, 1, 2), (16, 3, 1, 1), (10, 3, 1, 1)];
    for (i, (k, filter, stride, pad)) in blocks.into_iter().enumerate() {
        if i > 0 {
            x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
        }
        let convs = [
            Conv2d::new(filter, stride, pad)?,
            Conv2d::new(1, 1, 0)?,
            Conv2d::new(1, 1, 0)?,
        ];
        for (j, conv) in convs.into_iter().enumerate() {
            x = net.conv2d(&format!("conv.{}.{}", 2 * i, 2 * j), x, k, conv)?;
            x = net.relu(x)?;
        }
    }
    net.global_avg_pool(x)
}

/// The tiny network on a device, with the fixture's parameters and all its images as the data set.
fn tiny_run(fixture: &Fixture, device: &Device) -> Run {
    let &[steps, n, c, h, w] = fixture.dims("images_u8") else {
        panic!("five dimensions")
    };
    let source = Source::new(steps * n, [c, h, w]);
    let program = Program::training(&source, [h, w], n, Adam::default(), tiny).expect("builds");
    let mut run = program.load(device).expect("loads");
    let labels: Vec<u16> = fixture.bytes("labels").into_iter().map(u16::from).collect();
    run.set_data(&fixture.bytes("images_u8"), &labels)
        .expect("fits");
    let graph = program.graph();
    let parameters: Parameters = graph
        .parameters()
        .map(|id| {
            let name = graph.value(id).name.clone();
            let init = format!("init.{name}");
            let shape = Shape::new(fixture.dims(&init)).expect("valid");
            assert_eq!(shape, graph.value(id).shape, "{name}");
            (
                name,
                Tensor {
                    shape,
                    data: fixture.f32(&init),
                },
            )
        })
        .collect();
    let count = fixture
        .tensors
        .keys()
        .filter(|name| name.starts_with("init."))
        .count();
    assert_eq!(parameters.len(), count);
    run.set_parameters(&parameters).expect("fits");
    run
}

#[test]
fn a_small_nin_follows_pytorch_over_ten_adam_steps() {
    let fixture = Fixture::load("nin_tiny.safetensors");
    let allowed = |what, factor: f64| factor * fixture.own_difference(what);
    for device in devices() {
        let mut run = tiny_run(&fixture, &device);
        let losses = fixture.get("losses");
        for (step, &want) in (1u64..).zip(losses) {
            let batch = 4 * (step as u32 - 1);
            let indices: Vec<u32> = (batch..batch + 4).collect();
            let loss = run.train_step(&indices, 1e-3, step).expect("runs").loss();
            let off = (loss - want).abs();
            assert!(
                off <= allowed("losses_max_abs_diff", 8.0),
                "{device}: loss {step} is off by {off:e}"
            );
            if step == 1 {
                let logits = widen(&run.logits().expect("readable").data);
                let (off, _) = difference(&logits, fixture.get("logits"));
                assert!(
                    off <= allowed("logits_max_abs_diff", 6.0),
                    "{device}: logits are off by {off:e}"
                );
                let mut worst = 0f64;
                for (name, tensor) in run.gradients().expect("readable") {
                    let (off, most) =
                        difference(&widen(&tensor.data), fixture.get(&format!("grad.{name}")));
                    worst = worst.max(off / most);
                }
                assert!(
                    worst <= allowed("grads_max_rel_diff", 6.0),
                    "{device}: gradients are off by {worst:e}"
                );
            }
        }
        let mut worst = 0f64;
        for (name, tensor) in run.parameters().expect("readable") {
            let (off, _) = difference(&widen(&tensor.data), fixture.get(&format!("final.{name}")));
            worst = worst.max(off);
        }
        assert!(
            worst <= allowed("final_max_abs_diff", 10.0),
            "{device}: parameters are off by {worst:e}"
        );
    }
}

/// Its rounding is a few times that of sums, and so is what ten steps make of it.
#[test]
fn winograds_method_follows_pytorch_within_a_hundred_thousandth() {
    let fixture = Fixture::load("nin_tiny.safetensors");
    let mut run = tiny_run(&fixture, &Device::Cpu);
    for (step, &want) in (1u64..).zip(fixture.get("losses")) {
        let batch = 4 * (step as u32 - 1);
        let indices: Vec<u32> = (batch..batch + 4).collect();
        let loss = run.train_step(&indices, 1e-3, step).expect("runs").loss();
        assert!((loss - want).abs() <= 1e-5, "loss {step}: {loss}, {want}");
    }
}
