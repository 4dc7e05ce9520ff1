//! Networks that branch and join: every device computes the same, and the same again; what does not fit is said.

mod cases;

use cases::branches::NETWORKS;
use cases::{floats, integers, shape};
use nin_wgpu::autodiff;
use nin_wgpu::device::Device;
use nin_wgpu::fuse::fuse;
use nin_wgpu::gpu::Executor;
use nin_wgpu::graph::{Graph, GraphBuilder, GraphError, Phase, Role, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::models::layers;
use nin_wgpu::ops::{
    Adam, Add, BatchNorm, BatchNormEvalBackward, Conv2d, GlobalAvgPool, LocalResponseNorm,
    LocalResponseNormBackward, Op, Relu, ReluBackward, SoftmaxCrossEntropy, Update,
};
use nin_wgpu::plan::Plan;
use nin_wgpu::program::{Parameters, Program, Source};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;
use nin_wgpu::shape::DType;

const IMAGES: usize = 6;

/// Losses of three steps, and the gradients of the first.
fn train(device: &Device, program: &Program) -> (Vec<f64>, Parameters) {
    let mut run = program.load(device).expect("loads");
    let parameters = Init::PyTorch.parameters(program.graph(), 3).expect("valid");
    run.set_parameters(&parameters).expect("fit");
    let pixels: Vec<u8> = (0..IMAGES * 3 * 17 * 16)
        .map(|i| (i * 37 % 251) as u8)
        .collect();
    run.set_data(&pixels, &[0, 1, 2, 3, 4, 0]).expect("fit");
    let mut gradients = None;
    let losses = (1..=3).map(|step| {
        let metrics = run.train_step(&[0, 3, 1, 5], 0.003, step).expect("runs");
        gradients.get_or_insert_with(|| run.gradients().expect("kept"));
        metrics.loss()
    });
    let losses = losses.collect();
    (losses, gradients.expect("read after a step"))
}

fn program(network: cases::branches::Network) -> Program {
    let source = Source::new(IMAGES, [3, 17, 16]);
    Program::training(&source, [17, 16], 4, Adam::default(), network.1).expect("builds")
}

fn assert_close(name: &str, got: &[f32], want: &[f32]) {
    assert_eq!(got.len(), want.len(), "{name}");
    let largest = want.iter().fold(0f32, |most, x| most.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs();
        let allowed = 1e-3 * largest + 1e-7;
        assert!(off <= allowed, "{name}[{i}] is {got}, expected {want}");
    }
}

#[test]
fn a_training_step_of_a_network_that_branches_is_the_same_on_every_device() {
    for &network in NETWORKS {
        let program = program(network);
        let (losses, gradients) = train(&Device::Cpu, &program);
        assert!(losses.iter().all(|loss| loss.is_finite()), "{}", network.0);
        assert_eq!(gradients.len(), program.graph().parameters().count());
        let Some(gpu) = cases::gpu() else { continue };
        let (on_gpu, gradients_on_gpu) = train(&Device::Gpu(gpu.clone()), &program);
        for ((name, want), (_, got)) in gradients.iter().zip(&gradients_on_gpu) {
            assert_close(
                &format!("{}: gradient of {name}", network.0),
                &got.data,
                &want.data,
            );
        }
        for (got, want) in on_gpu.iter().zip(&losses) {
            assert!((got - want).abs() < 1e-3, "{}: {got} {want}", network.0);
        }
    }
}

#[test]
fn a_second_run_of_a_network_that_branches_has_the_same_bits() {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    for device in std::iter::once(Device::Cpu).chain(gpu) {
        for &network in NETWORKS {
            let program = program(network);
            let (first, second) = (train(&device, &program), train(&device, &program));
            assert_eq!(first.0, second.0, "{} on {device}", network.0);
            for ((name, first), (_, second)) in first.1.iter().zip(&second.1) {
                assert_eq!(first.data, second.data, "{}: {name}", network.0);
            }
        }
    }
}

#[test]
fn the_profile_counts_what_a_concatenation_moves_once_whatever_its_dispatches() {
    let network = NETWORKS
        .iter()
        .find(|(name, _)| name.contains("three branches"));
    let program = program(*network.expect("there"));
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    for device in std::iter::once(Device::Cpu).chain(gpu) {
        let entries = program
            .load(&device)
            .expect("loads")
            .profile(1)
            .expect("runs");
        for op in ["concat", "concat.backward"] {
            let of_op = entries.iter().filter(|entry| entry.op == op);
            let bytes: u64 = of_op.map(|entry| entry.bytes).sum();
            assert_eq!(bytes, 2 * 4 * 4 * (3 + 2 + 4) * 17 * 16, "{op} on {device}");
        }
        let sums = entries.iter().filter(|entry| entry.op == "add");
        let flops: u64 = sums.map(|entry| entry.flops).sum();
        // Two sums of three gradients of 4 channels, in one layer or in two.
        assert_eq!(flops, 2 * 4 * 4 * 17 * 16, "{device}");
    }
}

/// Sums of gradients are no layers.
#[test]
fn the_table_of_layers_has_each_join_once() {
    for (name, joins) in [
        ("a residual block", &["add + ReLU"][..]),
        ("three branches side by side", &["concat"]),
        ("a value read three times", &["add", "add"]),
        ("a dense layer beside a pooled one", &["flatten", "add"]),
    ] {
        let network = NETWORKS.iter().find(|(other, _)| *other == name);
        let table = layers(program(*network.expect("there")).graph());
        let kinds = table.iter().map(|layer| layer.kind.as_str());
        let found: Vec<_> = kinds
            .filter(|kind| {
                ["add", "concat", "flatten"]
                    .iter()
                    .any(|join| kind.starts_with(join))
            })
            .collect();
        assert_eq!(found, joins, "{name}");
    }
}

/// A forward graph with loss and gradients, and, if wanted, the optimizer.
fn step(mut graph: Graph, logits: ValueId, adam: bool) -> Graph {
    let [n, classes] = [0, 1].map(|axis| graph.value(logits).shape.dims()[axis]);
    let labels = graph.add_value("labels", shape(&[n]), DType::U32, Role::Input);
    let len = shape(&[SoftmaxCrossEntropy::metrics_len(classes)]);
    let metrics = graph.add_value("metrics", len, DType::F32, Role::Accumulator);
    let loss = graph.push(
        "loss",
        SoftmaxCrossEntropy::default(),
        &[logits, labels],
        &[metrics],
    );
    autodiff::backward(&mut graph, logits, loss.expect("fits")[0]).expect("differentiable");
    if adam {
        let gradients: Vec<_> = graph.gradients().collect();
        let hyper = graph.add_value("hyper", shape(&[3]), DType::F32, Role::Input);
        let mut inputs = vec![hyper];
        inputs.extend(gradients.iter().map(|(_, gradient)| gradient));
        let mut updates: Vec<ValueId> = gradients.iter().map(|(parameter, _)| *parameter).collect();
        for n in [0, 1] {
            for &(parameter, _) in &gradients {
                let name = format!("{}.moment{n}", graph.value(parameter).name);
                let (of, role) = (graph.value(parameter).shape, Role::Moment(parameter, n));
                updates.push(graph.add_value(name, of, DType::F32, role));
            }
        }
        graph
            .push(
                "optimizer",
                Update::from(Adam::default()),
                &inputs,
                &updates,
            )
            .expect("fits");
    }
    graph
}

/// Runs a step on data that stays the same, and reads what `of` says.
fn results(runtime: &mut dyn Runtime, of: impl Fn(Role) -> bool) -> Vec<(String, Vec<f32>)> {
    let graph = runtime.graph().clone();
    for (seed, id) in graph.ids().enumerate() {
        let value = graph.value(id);
        let len = value.shape.len();
        let write = match (value.name.as_str(), value.role) {
            ("labels", _) => runtime.write(id, integers(len, 3, 5).as_slice().into()),
            ("hyper", _) => {
                let hyper = Adam::default().hyper(1e-3, 1);
                runtime.write(id, hyper.as_slice().into())
            }
            (_, Role::Input | Role::Parameter) => {
                runtime.write(id, floats(len, seed as u32).as_slice().into())
            }
            _ => Ok(()),
        };
        write.expect("fits");
    }
    runtime.run().expect("runs");
    let read = graph.ids().filter(|&id| of(graph.value(id).role));
    read.map(|id| {
        let data = runtime.read(id).expect("kept");
        (graph.value(id).name.clone(), data)
    })
    .collect()
}

/// The reference with and without fusion, the CPU and the GPU agree on what `of` says.
fn assert_agrees(graph: Graph, of: impl Fn(Role) -> bool) {
    let mut fused = graph.clone();
    fuse(&mut fused);
    let want = results(&mut Reference::<f64>::new(graph), &of);
    assert!(!want.is_empty());
    let mut all = vec![
        results(&mut Reference::<f64>::new(fused.clone()), &of),
        results(&mut Reference::<f32>::new(fused.clone()), &of),
    ];
    if let Some(gpu) = cases::gpu() {
        let plan = Plan::new(fused, &gpu.plan_options()).expect("fits");
        let mut executor = Executor::new(gpu, plan).expect("loads");
        all.push(results(&mut executor, &of));
    }
    for got in &all {
        assert_eq!(got.len(), want.len());
        for ((name, want), (_, got)) in want.iter().zip(got) {
            assert_close(name, got, want);
        }
    }
}

fn images() -> (GraphBuilder, ValueId) {
    let mut net = GraphBuilder::new(Phase::Train);
    let x = net.input("images", &[2, 3, 9, 8]).expect("valid");
    (net, x)
}

fn conv() -> Conv2d {
    Conv2d::new(3, 1, 1).expect("valid")
}

/// Its gradient is a sum, so the optimizer sums no parts, and takes what lies in the slab of gradients.
#[test]
fn a_parameter_used_twice_is_trained_by_the_sum_of_its_gradients() {
    let (mut net, x) = images();
    let y = net.conv2d("shared", x, 3, conv()).expect("fits");
    let y = net.conv2d("own", y, 3, conv()).expect("fits");
    let mut graph = net.finish();
    let [w, b] = ["shared.weight", "shared.bias"].map(|name| graph.find(name).expect("there"));
    let y = graph.push("again", conv(), &[y, w, b], &[]).expect("fits")[0];
    let logits = graph.push("pool", GlobalAvgPool::default(), &[y], &[]);
    let logits = logits.expect("fits")[0];
    for adam in [false, true] {
        let graph = step(graph.clone(), logits, adam);
        assert_eq!(graph.gradients().count(), 4);
        assert_agrees(graph, |role| {
            matches!(role, Role::Gradient(_) | Role::Moment(_, 0))
        });
    }
}

#[test]
fn parameters_that_are_added_have_a_gradient_each_on_every_device() {
    let (net, x) = images();
    let mut graph = net.finish();
    let mut parameter =
        |name, dims: &[usize]| graph.add_value(name, shape(dims), DType::F32, Role::Parameter);
    let [w1, w2] = ["w1", "w2"].map(|name| parameter(name, &[3, 3, 3, 3]));
    let b = parameter("b", &[3]);
    let w = graph
        .push("sum", Add::default(), &[w1, w2], &[])
        .expect("fits")[0];
    let y = graph.push("sum", conv(), &[x, w, b], &[]).expect("fits")[0];
    let logits = graph.push("pool", GlobalAvgPool::default(), &[y], &[]);
    let graph = step(graph, logits.expect("fits")[0], true);
    assert_eq!(graph.gradients().count(), 3);
    assert_agrees(graph, |role| {
        matches!(role, Role::Gradient(_) | Role::Moment(_, 0))
    });
}

/// The fused head writes the logits where the loss stood, too late for whoever reads them before.
#[test]
fn logits_that_something_else_reads_are_there_when_it_does() {
    let (mut net, x) = images();
    let y = net.conv2d("only", x, 4, conv()).expect("fits");
    let y = net.relu(y).expect("fits");
    let logits = net.global_avg_pool(y).expect("fits");
    let mut graph = net.finish();
    let other = graph.push("other", Relu, &[logits], &[]).expect("fits")[0];
    graph.keep(other);
    assert_agrees(step(graph, logits, false), |role| {
        matches!(role, Role::Gradient(_) | Role::Output)
    });
}

/// A normalisation's gradient takes the mask of its own input into it, and nobody else's.
#[test]
fn a_gradient_is_masked_by_the_value_that_its_relu_made() {
    let eval = BatchNorm::new(4.0, 0.1)
        .map(BatchNormEvalBackward::from)
        .expect("valid");
    let response = LocalResponseNorm::new(3)
        .map(LocalResponseNormBackward::new)
        .expect("valid");
    for (op, states) in [(Op::from(eval), 3), (Op::from(response), 0)] {
        for own in [true, false] {
            let mut graph = Graph::default();
            let mut input = |name: &str, dims: &[usize]| {
                graph.add_value(name, shape(dims), DType::F32, Role::Input)
            };
            let [dy, x, other] = ["dy", "x", "other"].map(|name| input(name, &[2, 4, 3, 3]));
            let mut inputs = vec![dy, x];
            inputs.extend((0..states).map(|i| input(&format!("state {i}"), &[4])));
            let dx = graph.push("norm", op.clone(), &inputs, &[]).expect("fits")[0];
            let mask = if own { x } else { other };
            let masked = graph
                .push("relu", ReluBackward, &[dx, mask], &[])
                .expect("fits")[0];
            graph.keep(masked);
            let mut fused = graph.clone();
            fuse(&mut fused);
            assert_eq!(fused.nodes().len(), if own { 1 } else { 2 });
            assert_agrees(graph, |role| role == Role::Output);
        }
    }
}

/// Only what follows from parameters and statistics alone is kept from run to run.
#[test]
fn what_follows_from_an_input_alone_is_computed_in_every_run() {
    let mut graph = Graph::default();
    let x = graph.add_value("x", shape(&[3]), DType::F32, Role::Input);
    let y = graph.push("y", Relu, &[x], &[]).expect("fits")[0];
    graph.keep(y);
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    for device in std::iter::once(Device::Cpu).chain(gpu) {
        let mut runtime = device.load(graph.clone()).expect("loads");
        for data in [[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]] {
            runtime.write(x, data.as_slice().into()).expect("fits");
            runtime.run().expect("runs");
            assert_eq!(runtime.read(y).expect("kept"), data, "{device}");
        }
    }
}

/// A pre-activation that stays readable, or that a sum reads too, keeps the values that it had before its ReLU.
#[test]
fn a_sum_that_is_kept_is_not_cut_by_the_relu_behind_it() {
    let (mut net, x) = images();
    let y = net.conv2d("only", x, 3, conv()).expect("fits");
    let sum = net.add(x, y).expect("fits");
    let z = net.relu(sum).expect("fits");
    let logits = net.global_avg_pool(z).expect("fits");
    let mut graph = net.finish();
    graph.keep(sum);
    graph.keep(y);
    assert_agrees(step(graph, logits, false), |role| {
        matches!(role, Role::Gradient(_) | Role::Output)
    });
}

/// The view keeps the memory of what it views, and that of a value that is read after the run outlives it.
#[test]
fn a_flattened_value_can_be_kept() {
    let (mut net, x) = images();
    let y = net.conv2d("only", x, 4, conv()).expect("fits");
    let flat = net.flatten(y).expect("fits");
    let z = net.conv2d("dense", flat, 5, Conv2d::new(1, 1, 0).expect("valid"));
    let logits = net.global_avg_pool(z.expect("fits")).expect("fits");
    let mut graph = net.finish();
    graph.keep(flat);
    assert_agrees(step(graph, logits, false), |role| {
        matches!(role, Role::Gradient(_) | Role::Output)
    });
}

#[test]
fn a_join_that_does_not_fit_names_the_layer_both_values_and_both_shapes() {
    let says = |error: nin_wgpu::graph::GraphError| {
        let error = nin_wgpu::Error::from(error);
        let source = std::error::Error::source(&error).map(ToString::to_string);
        let deeper = std::error::Error::source(&error)
            .and_then(std::error::Error::source)
            .map(ToString::to_string);
        format!("{error}; {source:?}; {deeper:?}")
    };
    let (mut net, x) = images();
    let y = net.conv2d("narrow", x, 4, conv()).expect("fits");
    let small = net.conv2d("small", x, 4, Conv2d::new(3, 2, 1).expect("valid"));
    let small = small.expect("fits");
    let error = says(net.add(x, y).expect_err("3 and 4 channels"));
    for part in [
        "layer `small`",
        "add: `images` 2x3x9x8 and `narrow:conv2d` 2x4x9x8 do not go together",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let error = says(net.concat(&[x, y, small]).expect_err("9x8 and 5x4"));
    let part = "concat: `images` 2x3x9x8 and `small:conv2d` 2x4x5x4 do not go together; all dimensions but the channels";
    assert!(error.contains(part), "{error}");
    let error = says(net.concat(&[x]).expect_err("one value"));
    assert!(error.contains("two or more values, got 1"), "{error}");
    net.concat(&[]).expect_err("no value");
}

#[test]
fn what_cannot_be_shared_is_said_with_its_name_and_both_shapes() {
    let (mut net, x) = images();
    let missing = net.sharing(|net| net.conv2d("first", x, 4, conv()));
    let says = missing.expect_err("is not there").to_string();
    assert!(
        says.contains("no layer before has a parameter `first.weight`"),
        "{says}"
    );
    net.conv2d("first", x, 4, conv()).expect("fits");
    let other = net.sharing(|net| net.conv2d("first", x, 5, conv()));
    let error = other.expect_err("another shape");
    let source = std::error::Error::source(&error)
        .expect("says what")
        .to_string();
    for part in ["`first.weight`", "4x3x3x3", "5x3x3x3"] {
        assert!(source.contains(part), "{source}");
    }
    // Behind it a name is one layer's again.
    let twice = net.conv2d("first", x, 4, conv());
    assert!(matches!(twice, Err(GraphError::DuplicateName(_))));
}

#[test]
fn a_layer_that_does_not_fit_leaves_nothing_behind() {
    let mut net = GraphBuilder::new(Phase::Train);
    let x = net.input("x", &[2, 3, 5, 4]).expect("a shape");
    let flat = net.input("flat", &[1, 6]).expect("a shape");
    let wide = Conv2d::new(7, 1, 0).expect("valid");
    net.conv2d("conv", x, 8, wide).expect_err("too wide");
    net.linear("linear", x, 3).expect_err("maps");
    net.batch_norm("norm", flat).expect_err("one value each");
    assert_eq!(net.graph().ids().count(), 2);
    // Its name is free, and what follows is not called by it.
    let narrow = Conv2d::new(3, 1, 0).expect("valid");
    let y = net.conv2d("conv", x, 8, narrow).expect("fits");
    net.conv2d("other", y, 8, wide).expect_err("too wide");
    let y = net.relu(y).expect("fits");
    let graph = net.finish();
    assert_eq!(graph.parameters().count(), 2);
    assert_eq!(graph.nodes().last().map(|node| &*node.layer), Some("conv"));
    assert_eq!(graph.value(y).shape, shape(&[2, 8, 3, 2]));
}
