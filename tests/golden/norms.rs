//! Normalisations.

use crate::cases::fixture::{Fixture, difference, widen};
use crate::cases::{CaseBuilder, shape};
use crate::check;
use nin_wgpu::autodiff;
use nin_wgpu::fuse::fuse;
use nin_wgpu::gpu::Executor;
use nin_wgpu::graph::{Graph, GraphBuilder, Phase, Role, ValueId};
use nin_wgpu::ops::{
    BatchNorm, Conv2d, LocalResponseNorm, LocalResponseNormBackward, Pool2d, SoftmaxCrossEntropy,
};
use nin_wgpu::plan::Plan;
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;
use nin_wgpu::shape::DType;

/// The network `Norms` in `make.py`.
fn norms(net: &mut GraphBuilder, x: ValueId) -> nin_wgpu::Result<ValueId> {
    let conv = |stride| Conv2d::new(3, stride, 1).map(Conv2d::without_bias);
    let x = net.conv2d("conv1", x, 4, conv(1)?)?;
    let x = net.batch_norm("bn1", x)?;
    let x = net.relu(x)?;
    let y = net.conv2d("conv2", x, 6, conv(2)?)?;
    let y = net.batch_norm("bn2", y)?;
    let z = net.conv2d("conv3", x, 6, Conv2d::new(1, 2, 0)?)?;
    let z = net.batch_norm_by("bn3", z, BatchNorm::new(1e-3, 0.3)?)?;
    let y = net.add(y, z)?;
    let y = net.relu(y)?;
    let lrn = LocalResponseNorm::new(3)?.with_constants(0.5, 0.75, 1.5)?;
    let y = net.local_response_norm(y, lrn)?;
    let y = net.max_pool2d(y, Pool2d::new(2, 2)?)?;
    let y = net.batch_norm("bn4", y)?;
    let y = net.conv2d("conv4", y, 5, Conv2d::new(1, 1, 0)?)?;
    Ok(net.global_avg_pool(y)?)
}

/// Each backend with memory for a graph, and how far it may be off.
fn runtimes(graph: &Graph) -> Vec<(&'static str, f64, Box<dyn Runtime>)> {
    let mut all: Vec<(&'static str, f64, Box<dyn Runtime>)> = vec![
        ("f64", 2e-7, Box::new(Reference::<f64>::new(graph.clone()))),
        ("f32", 2e-5, Box::new(Reference::<f32>::new(graph.clone()))),
    ];
    if let Some(gpu) = crate::cases::gpu() {
        let plan = Plan::new(graph.clone(), &gpu.plan_options()).expect("fits");
        let executor = Executor::new(gpu, plan).expect("loads");
        all.push(("the GPU", 2e-5, Box::new(executor)));
    }
    all
}

#[test]
fn a_network_with_normalisations_trains_and_evaluates_as_in_pytorch() {
    let fixture = Fixture::load("norms.safetensors");
    let &[batches, n, c, h, w] = fixture.dims("images") else {
        panic!("five dimensions")
    };
    let images = fixture.f32("images");
    let build = |phase| {
        let mut net = GraphBuilder::new(phase);
        let x = net.input("images", &[n, c, h, w]).expect("valid");
        let logits = norms(&mut net, x).expect("fits");
        let mut graph = net.finish();
        graph.keep(logits);
        (graph, x, logits)
    };
    let assert_is = |by: &str, allowed: f64, name: &str, got: &[f32]| {
        let (off, most) = difference(&widen(got), fixture.get(name));
        assert!(off <= allowed * most.max(1.0), "{name} by {by}: {off:e}");
    };
    let write = |run: &mut dyn Runtime, kind: &str| {
        let graph = run.graph().clone();
        for id in graph.state() {
            let value = graph.value(id);
            let data = match value.role {
                Role::Parameter => fixture.f32(&format!("param.{}", value.name)),
                _ if kind == "eval" => fixture.f32(&format!("running.{}", value.name)),
                _ if value.name.ends_with("var") => vec![1.0; value.shape.len()],
                _ => vec![0.0; value.shape.len()],
            };
            run.write(id, data.as_slice().into()).expect("fits");
        }
    };

    let (mut graph, x, logits) = build(Phase::Train);
    let labels = graph.add_value("labels", shape(&[n]), DType::U32, Role::Input);
    let len = shape(&[SoftmaxCrossEntropy::metrics_len(5)]);
    let metrics = graph.add_value("metrics", len, DType::F32, Role::Accumulator);
    let loss = graph.push(
        "loss",
        SoftmaxCrossEntropy::default(),
        &[logits, labels],
        &[metrics],
    );
    autodiff::backward(&mut graph, logits, loss.expect("fits")[0]).expect("differentiable");
    let plain = graph.clone();
    fuse(&mut graph);
    let numbers: Vec<u32> = fixture.get("labels").iter().map(|&x| x as u32).collect();
    for (by, allowed, mut run) in runtimes(&graph).into_iter().chain(runtimes(&plain)) {
        write(run.as_mut(), "train");
        run.write(labels, numbers.as_slice().into()).expect("fits");
        for (i, batch) in images.chunks(images.len() / batches).enumerate() {
            run.write(x, batch.into()).expect("fits");
            run.run().expect("runs");
            if i > 0 {
                continue;
            }
            let got = run.read(logits).expect("kept");
            assert_is(by, allowed, "logits", &got);
            for (parameter, gradient) in graph.gradients() {
                let name = format!("grad.{}", graph.value(parameter).name);
                let got = run.read(gradient).expect("kept");
                assert_is(by, allowed, &name, &got);
            }
        }
        assert_eq!(graph.statistics().count(), 8);
        for id in graph.statistics() {
            let name = format!("running.{}", graph.value(id).name);
            assert_is(by, allowed, &name, &run.read(id).expect("kept"));
        }
    }

    let (mut graph, x, logits) = build(Phase::Eval);
    let plain = graph.clone();
    fuse(&mut graph);
    let count = |name: &str| {
        let nodes = graph.nodes().iter();
        nodes.filter(|node| node.op.name() == name).count()
    };
    assert_eq!([count("batch_norm.fold"), count("batch_norm.eval")], [3, 1]);
    for (by, allowed, mut run) in runtimes(&graph).into_iter().chain(runtimes(&plain)) {
        write(run.as_mut(), "eval");
        let batch = &images[..images.len() / batches];
        run.write(x, batch.into()).expect("fits");
        // The second run needs nothing of what the parameters alone determine.
        for _ in 0..2 {
            run.run().expect("runs");
            assert_is(by, allowed, "eval", &run.read(logits).expect("kept"));
        }
    }
}

#[test]
fn local_response_norm_is_that_of_pytorch_with_odd_and_even_windows() {
    let fixture = Fixture::load("norms.safetensors");
    for size in [1, 2, 4, 5, 11] {
        let mut case = CaseBuilder::new();
        let [x, dy] =
            ["lrn.x", "lrn.dy"].map(|name| case.input(fixture.dims(name), fixture.f32(name)));
        let norm = LocalResponseNorm::new(size).expect("valid");
        let norm = norm.with_constants(0.5, 0.75, 2.0).expect("valid");
        case.op(norm, &[x], &[]);
        case.op(LocalResponseNormBackward::new(norm), &[dy, x], &[]);
        let want = ["y", "dx"].map(|what| fixture.get(&format!("lrn.{size}.{what}")));
        check(&case.case(format!("window of {size}")), 2e-6, &want);
    }
}
