//! Parameters that one binding does not hold: they lie in several slabs, and a large weight in several pieces.

mod cases;

use nin_wgpu::device::Device;
use nin_wgpu::gpu::{Executor, Gpu};
use nin_wgpu::graph::{Graph, GraphBuilder, GraphError, Phase, Role, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::ops::{Adam, Conv2d, Optimizer};
use nin_wgpu::plan::{Conv2dAlgorithm, Direction, Plan, PlanError, PlanLimits, PlanOptions};
use nin_wgpu::program::{Parameters, Program, Source, Training};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;

fn options(max_binding: u64, options: PlanOptions) -> PlanOptions {
    let limits = PlanLimits {
        max_binding,
        ..options.limits
    };
    PlanOptions { limits, ..options }
}

fn within(gpu: &Gpu, graph: Graph, max_binding: u64) -> Executor {
    let plan = Plan::new(graph, &options(max_binding, gpu.plan_options())).expect("fits");
    assert!(plan.slots().iter().all(|slot| slot.bytes <= max_binding));
    Executor::new(gpu, plan).expect("loads")
}

/// Runs cases of parameters of 1, 17, 64 and 1000 elements, 256 bytes each and 4000: in two slabs.
fn agree_over_two_slabs(cases: &[cases::Case], dispatches: usize) {
    let Some(gpu) = cases::gpu() else { return };
    assert!(!cases.is_empty());
    for case in cases {
        let mut executor = within(gpu, case.graph.clone(), 4096);
        let plan = executor.plan();
        assert_eq!(plan.dispatches().len(), dispatches);
        let labels: Vec<_> = plan.buffers().iter().map(|b| b.label.as_str()).collect();
        assert!(labels.contains(&"parameters 2 of 2"), "{labels:?}");
        cases::write(&mut executor, case);
        executor.run().expect("runs");
        let got = cases::results(&mut executor, case);
        let want = cases::on_reference::<f64>(case);
        cases::assert_agreement(case, "two slabs", &got, &want);
    }
}

#[test]
fn optimizers_and_averages_over_two_slabs_are_a_dispatch_each_and_agree_with_the_reference() {
    agree_over_two_slabs(&cases::optimizer::cases(), 2);
    agree_over_two_slabs(&cases::ema::cases(), 2);
}

#[test]
fn the_norm_of_gradients_in_two_slabs_is_that_of_all() {
    // The sums of squares of each, and the root of them all.
    agree_over_two_slabs(&cases::gradient_norm::in_two_slabs(), 3);
}

#[test]
fn filters_that_a_binding_does_not_hold_are_refused_by_name() {
    let mut net = GraphBuilder::new(Phase::Eval);
    let x = net.input("images", &[1, 20, 5, 5]).expect("valid");
    let conv = Conv2d::new(3, 1, 1).expect("valid");
    net.conv2d("wide", x, 10, conv).expect("fits");
    let error = Plan::new(net.finish(), &options(7000, PlanOptions::default()));
    let error = error.expect_err("too large");
    assert!(matches!(error, PlanError::Parameter { .. }));
    let says = error.to_string();
    assert!(
        says.starts_with(
            "parameter `wide.weight` needs 7200 bytes at once, but this device binds at most 6912"
        ),
        "{says}"
    );
}

/// Pieces of 128, 128 and 44 rows, then of 64, 64, 64 and 8, then whole.
const BINDING: u64 = 128 << 10;

fn network(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("conv", x, 2, Conv2d::new(3, 1, 1)?)?;
    let x = net.relu(x)?;
    let x = net.flatten(x)?;
    let x = net.linear("one", x, 300)?;
    let x = net.relu(x)?;
    let x = net.linear("two", x, 200)?;
    let x = net.relu(x)?;
    net.linear("three", x, 10)
}

/// Images of a run, of a batch of 10 in two parts.
const PART: usize = 5;

fn program(batch: usize) -> Program {
    let source = Source::new(12, [1, 8, 8]);
    let sizes = [batch, PART];
    let program = Program::training_in_parts(&source, [8, 8], sizes, Adam::default(), network);
    program.expect("builds")
}

/// Three steps; then the logits of the last, all parameters, gradients and moments, and what reads back as written.
fn train(runtime: &mut dyn Runtime, program: &Program) -> Vec<(String, Vec<f32>)> {
    let graph = program.graph();
    let id = |name: &str| graph.find(name).expect("is there");
    let parameters = Init::Kaiming.parameters(graph, 3).expect("initialises");
    for (name, tensor) in &parameters {
        let data = tensor.data.as_slice();
        runtime.write(id(name), data.into()).expect("fits");
        assert_eq!(runtime.read(id(name)).expect("readable"), data, "{name}");
    }
    let pixels: Vec<u8> = cases::integers(12 * 64, 256, 3)
        .iter()
        .map(|&x| x as u8)
        .collect();
    let labels = cases::integers(12, 10, 4);
    runtime
        .write(id("data.images"), pixels.as_slice().into())
        .expect("fits");
    runtime
        .write(id("data.labels"), labels.as_slice().into())
        .expect("fits");
    let adam = Optimizer::default();
    for step in 1..=3 {
        for part in 0..program.parts() {
            let numbers = if program.parts() == 1 {
                adam.hyper(1e-3, step).to_vec()
            } else {
                adam.hyper_of_part(1e-3, step, part == 0, 0.5, part == 1)
                    .to_vec()
            };
            runtime
                .write(id("hyper"), numbers.as_slice().into())
                .expect("fits");
            let indices: Vec<u32> = (0..PART as u32)
                .map(|i| (i + 3 * part as u32 + step as u32) % 12)
                .collect();
            runtime
                .write(id("indices"), indices.as_slice().into())
                .expect("fits");
            runtime.run().expect("runs");
        }
    }
    let kept = graph.ids().filter(|&id| {
        let role = graph.value(id).role;
        id == program.logits()
            || matches!(role, Role::Parameter | Role::Gradient(_) | Role::Moment(..))
    });
    kept.map(|id| {
        (
            graph.value(id).name.clone(),
            runtime.read(id).expect("readable"),
        )
    })
    .collect()
}

fn assert_near(got: &[(String, Vec<f32>)], want: &[(String, Vec<f32>)], by: &str) {
    for ((name, got), (_, want)) in got.iter().zip(want) {
        let most = want.iter().fold(0f32, |most, x| most.max(x.abs()));
        assert!(most > 0.0, "{name} vanishes, so it tests nothing");
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let off = (got - want).abs() / most;
            assert!(off < 2e-3, "{by}: {name}[{i}] is {got}, expected {want}");
        }
    }
}

#[test]
fn a_network_of_linear_layers_in_pieces_trains_as_the_reference_in_every_algorithm() {
    let Some(gpu) = cases::gpu() else { return };
    for batch in [PART, 2 * PART] {
        let program = program(batch);
        let want = train(
            &mut Reference::<f64>::new(program.graph().clone()),
            &program,
        );
        for algorithm in Conv2dAlgorithm::available(gpu.plan_options().limits) {
            let base = PlanOptions {
                conv2d: algorithm.into(),
                ..gpu.plan_options()
            };
            let plan = Plan::new(program.graph().clone(), &options(BINDING, base)).expect("fits");
            let rows = |name: &str| -> Vec<usize> {
                let id = program.graph().find(name).expect("is there");
                plan.pages(id).iter().map(|page| page.rows).collect()
            };
            assert_eq!(rows("one.weight"), [128, 128, 44]);
            assert_eq!(rows("two.weight.grad"), [64, 64, 64, 8]);
            assert_eq!(rows("two.weight.moment2"), [64, 64, 64, 8]);
            assert!(rows("three.weight").is_empty());
            assert!(plan.slots().iter().all(|slot| slot.bytes <= BINDING));
            let mut executor = Executor::new(gpu, plan).expect("loads");
            let got = train(&mut executor, &program);
            assert_near(&got, &want, &format!("{algorithm}, batch {batch}"));
            assert_eq!(got, train_again(gpu, &program, algorithm), "it repeats");
        }
    }
}

/// The algorithm of a layer in pieces is chosen for what is run: the tuner measures these, and not the layer whole.
#[test]
fn a_plan_names_the_product_of_each_piece() {
    let program = program(PART);
    let convolutions = |binding| {
        let plan = Plan::new(
            program.graph().clone(),
            &options(binding, PlanOptions::default()),
        );
        plan.expect("fits").convolutions().to_vec()
    };
    let outputs = |binding, c| -> Vec<usize> {
        let of = convolutions(binding);
        let of = of
            .iter()
            .filter(|(direction, g)| *direction == Direction::Wgrad && g.c == c);
        of.map(|(_, g)| g.k).collect()
    };
    assert_eq!(outputs(BINDING, 128), [128, 44]);
    assert_eq!(outputs(BINDING, 300), [64, 8]);
    assert_eq!(outputs(1 << 30, 128), [300]);
    assert_eq!(outputs(1 << 30, 300), [200]);
}

/// Its gradient would need a binding that there is not; that of its bias does not.
#[test]
fn a_frozen_weight_in_pieces_whose_bias_is_trained_takes_no_gradient_of_the_weight() {
    let source = Source::new(12, [1, 8, 8]);
    let training = Training {
        frozen: vec!["one.weight".into()],
        ..Training::default()
    };
    let program = Program::training(&source, [8, 8], PART, training, network).expect("builds");
    let graph = program.graph();
    let gradients: Vec<_> = graph.gradients().collect();
    assert_eq!(gradients.len() + 1, graph.parameters().count());
    let want = train(&mut Reference::<f64>::new(graph.clone()), &program);
    let Some(gpu) = cases::gpu() else { return };
    for algorithm in Conv2dAlgorithm::available(gpu.plan_options().limits) {
        let base = PlanOptions {
            conv2d: algorithm.into(),
            ..gpu.plan_options()
        };
        let plan = Plan::new(graph.clone(), &options(BINDING, base)).expect("fits");
        assert!(plan.slots().iter().all(|slot| slot.bytes <= BINDING));
        let mut executor = Executor::new(gpu, plan).expect("loads");
        let got = train(&mut executor, &program);
        assert_near(&got, &want, &format!("{algorithm}"));
    }
}

fn train_again(
    gpu: &Gpu,
    program: &Program,
    algorithm: Conv2dAlgorithm,
) -> Vec<(String, Vec<f32>)> {
    let base = PlanOptions {
        conv2d: algorithm.into(),
        ..gpu.plan_options()
    };
    let plan = Plan::new(program.graph().clone(), &options(BINDING, base)).expect("fits");
    train(&mut Executor::new(gpu, plan).expect("loads"), program)
}

/// The operations that a plan counts are those of its graph, in pieces or not.
#[test]
fn a_plan_in_pieces_counts_each_operation_once() {
    for algorithm in [Conv2dAlgorithm::Direct, Conv2dAlgorithm::Columns] {
        let base = PlanOptions {
            conv2d: algorithm.into(),
            ..PlanOptions::default()
        };
        let program = program(PART);
        let flops = |binding| {
            let plan = Plan::new(program.graph().clone(), &options(binding, base.clone()));
            plan.expect("fits").flops()
        };
        assert_eq!(flops(BINDING), flops(1 << 30));
    }
}

/// The first dense layer of AlexNet: 151 MB, where WebGPU promises bindings of 134.
#[test]
fn a_linear_layer_above_the_default_binding_trains_a_step_as_on_the_cpu() {
    let Some(gpu) = cases::gpu_at_default_limits() else {
        return;
    };
    let source = Source::new(3, [1, 96, 96]);
    let program = Program::training(&source, [96, 96], 2, Adam::default(), |net, x| {
        let x = net.flatten(x)?;
        let x = net.linear("fc6", x, 4096)?;
        let x = net.relu(x)?;
        net.linear("fc8", x, 10)
    });
    let program = program.expect("builds");
    let parameters = Init::PyTorch
        .parameters(program.graph(), 1)
        .expect("initialises");
    let pixels: Vec<u8> = cases::integers(3 * 96 * 96, 256, 3)
        .iter()
        .map(|&x| x as u8)
        .collect();
    let step = |device: &Device| -> (f64, Parameters) {
        let mut run = program.load(device).expect("loads");
        run.set_parameters(&parameters).expect("fits");
        run.set_data(&pixels, &[3, 1, 7]).expect("fits");
        let metrics = run.train_step(&[0, 2], 1e-3, 1).expect("trains");
        (metrics.loss(), run.gradients().expect("readable"))
    };
    let (loss, gradients) = step(&Device::Gpu(gpu));
    let (want, expected) = step(&Device::Cpu);
    assert!((loss - want).abs() < 1e-4, "{loss}, {want}");
    for ((name, got), (_, want)) in gradients.iter().zip(&expected) {
        let most = want.data.iter().fold(0f32, |most, x| most.max(x.abs()));
        let off = got.data.iter().zip(&want.data).map(|(a, b)| (a - b).abs());
        let off = off.fold(0f32, f32::max);
        assert!(
            most > 0.0 && off <= 1e-3 * most,
            "{name}: off by {off} of {most}"
        );
    }
}
