//! The CPU computes the same bits on any number of threads: sums are cut by shapes alone.

use nin_wgpu::device::Device;
use nin_wgpu::graph::{Graph, Role, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Conv2d, Conv2dDgrad, Conv2dWgrad, Op, Sgd};
use nin_wgpu::program::{Program, Source, Training};
use nin_wgpu::shape::{DType, Shape};

/// Numbers of threads: one, few, odd, and more than there are images, bands or cores.
const THREADS: [usize; 5] = [1, 2, 3, 7, 64];

/// The bits of what `compute` makes on so many threads.
fn bits<T: Send>(threads: usize, compute: impl Fn() -> T + Send + Sync) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("a pool").install(compute)
}

fn numbers(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| {
            let word = i
                .wrapping_mul(747_796_405)
                .wrapping_add(seed.wrapping_mul(2_891_336_453));
            let word = (word >> ((word >> 28) + 4) ^ word).wrapping_mul(277_803_737);
            (word >> 8) as f32 / (1 << 23) as f32 - 1.0
        })
        .collect()
}

/// Losses and parameters of three steps.
fn training(model: &'static str, batch: usize) -> Vec<u32> {
    let model = Model::find(model).expect("a preset");
    let (len, image) = (batch, [3, 32, 32]);
    let training = Training {
        clip_norm: Some(1.0),
        ema: Some(0.9),
        ..Training::from(Sgd::default())
    };
    let source = Source::new(len, image);
    let program = Program::training(&source, [32, 32], batch, training, |net, x| {
        model.build(net, x, 10)
    });
    let program = program.expect("fits");
    let mut run = program.load(&Device::Cpu).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), 3).expect("drawn");
    run.set_parameters(&parameters).expect("fit");
    let pixels: Vec<u8> = numbers(len * 3072, 5)
        .iter()
        .map(|x| (127.0 * x + 127.0) as u8)
        .collect();
    let labels: Vec<u16> = (0..len as u16).map(|i| i % 10).collect();
    run.set_data(&pixels, &labels).expect("fit");
    let indices: Vec<u32> = (0..batch as u32).collect();
    let mut bits: Vec<u32> = Vec::new();
    for step in 1..=3 {
        let metrics = run.train_step(&indices, 0.01, step).expect("trains");
        bits.push((metrics.loss() as f32).to_bits());
    }
    for (_, tensor) in run
        .averaged()
        .expect("read")
        .iter()
        .chain(&run.parameters().expect("read"))
    {
        bits.extend(tensor.data.iter().map(|x| x.to_bits()));
    }
    bits
}

#[test]
fn steps_of_networks_have_the_same_bits_on_any_number_of_threads() {
    for (model, batch) in [("nin-small", 5), ("nin-small", 16), ("resnet18", 2)] {
        let want = bits(THREADS[0], || training(model, batch));
        for threads in THREADS {
            assert!(
                bits(threads, || training(model, batch)) == want,
                "{model} on {threads}"
            );
        }
    }
}

/// Shapes for every method of the CPU: Winograd's, panels, pointwise, strided, grouped and depthwise ones.
#[test]
fn convolutions_have_the_same_bits_on_any_number_of_threads() {
    let conv = |filter, stride, pad, groups| {
        let conv = Conv2d::new(filter, stride, pad).and_then(|conv| conv.with_groups(groups));
        conv.expect("valid")
    };
    for (n, c, side, k, conv) in [
        (1, 16, 40, 24, conv(3, 1, 1, 1)),
        (3, 64, 31, 64, conv(3, 1, 1, 1)),
        (9, 32, 14, 48, conv(5, 1, 2, 1)),
        (2, 96, 27, 64, conv(1, 1, 0, 1)),
        (70, 8, 9, 8, conv(1, 1, 0, 1)),
        (1, 3, 120, 32, conv(11, 4, 2, 1)),
        (2, 16, 33, 32, conv(3, 2, 1, 4)),
        (2, 24, 33, 24, conv(3, 1, 1, 24)),
    ] {
        let mut graph = Graph::default();
        let mut written: Vec<(ValueId, Vec<f32>)> = Vec::new();
        let mut input = |graph: &mut Graph, name: &str, dims: &[usize]| {
            let shape = Shape::new(dims).expect("a shape");
            let id = graph.add_value(name, shape, DType::F32, Role::Input);
            written.push((id, numbers(shape.len(), written.len() as u32 + 1)));
            id
        };
        let filters = conv.filters(c, k).expect("divide");
        let x = input(&mut graph, "x", &[n, c, side, side]);
        let w = input(&mut graph, "w", filters.dims());
        let b = input(&mut graph, "b", &[k]);
        let g = conv.geometry(graph.value(x).shape, k).expect("fits");
        let dy = input(&mut graph, "dy", &[n, k, g.p, g.q]);
        let mut outputs = Vec::new();
        let dgrad = Op::from(Conv2dDgrad::new(conv, side, side));
        for (op, inputs) in [
            (Op::from(conv), vec![x, w, b]),
            (dgrad, vec![dy, w]),
            (Conv2dWgrad::new(conv).into(), vec![x, dy]),
        ] {
            outputs.extend(graph.push("conv", op, &inputs, &[]).expect("fits"));
        }
        outputs.iter().for_each(|&id| graph.keep(id));
        let run = || -> Vec<Vec<u32>> {
            let mut runtime = Device::Cpu.load(graph.clone()).expect("loads");
            for (id, data) in &written {
                runtime.write(*id, data.as_slice().into()).expect("fits");
            }
            runtime.run().expect("runs");
            let read = |&id: &ValueId| runtime.read(id).expect("kept");
            let read: Vec<Vec<f32>> = outputs.iter().map(read).collect();
            read.iter()
                .map(|data| data.iter().map(|x| x.to_bits()).collect())
                .collect()
        };
        let want = bits(1, run);
        for threads in THREADS {
            let got = bits(threads, run);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                assert!(got == want, "{g}: output {i} on {threads} threads");
            }
        }
    }
}
