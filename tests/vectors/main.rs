//! Against the test vectors of others, through the public API, on the CPU and on the adapter: ONNX's backend tests and
//! PyTorch's OpInfo samples.
//!
//! `scripts/check-vectors` makes the vectors, runs this and writes what came out to docs/vectors.md.

#[path = "../cases/mod.rs"]
mod cases;

mod build;
mod net;
mod suite;

use nin_wgpu::fuse::fuse;
use nin_wgpu::gpu::{Executor, Gpu};
use nin_wgpu::graph::Graph;
use nin_wgpu::ops::Op;
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanOptions};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;

use net::Net;
use suite::{Case, Outcome, Suite, Tensors};

type Failure = Box<dyn std::error::Error>;

/// Whether a case's graph holds what the algorithms for convolutions compute.
fn has_choice(graph: &Graph) -> bool {
    let chosen = |op: &Op| matches!(op, Op::Conv2d(_) | Op::Linear(_));
    graph.nodes().iter().any(|node| chosen(&node.op))
}

/// Something to run a graph, and what it is called.
type Named = (String, Box<dyn Runtime>);

/// A name and a run-time for each way of computing a graph.
fn runtimes(graph: &Graph, gpu: Option<&Gpu>) -> Result<Vec<Named>, Failure> {
    let reference: Box<dyn Runtime> = Box::new(Reference::<f32>::new(graph.clone()));
    let mut runtimes = vec![("CPU".to_owned(), reference)];
    let Some(gpu) = gpu else {
        return Ok(runtimes);
    };
    let options = gpu.plan_options();
    let mut algorithms = Conv2dAlgorithm::available(options.limits);
    if !has_choice(graph) {
        algorithms.truncate(1);
    }
    for algorithm in algorithms {
        let options = PlanOptions {
            conv2d: algorithm.into(),
            ..options.clone()
        };
        let plan = Plan::new(graph.clone(), &options)?;
        let executor = Box::new(Executor::new(gpu, plan)?);
        runtimes.push((format!("GPU, {algorithm}"), executor));
    }
    Ok(runtimes)
}

/// Runs a case everywhere; the first result that is wrong is a failure.
fn run(suite: &Suite, case: &Case, tensors: &Tensors, gpu: Option<&Gpu>) -> Result<(), Failure> {
    let mut net = Net::new(case, tensors);
    build::build(&mut net, &case.build)?;
    let mut graph = net.graph;
    for &(_, id, _) in &net.results {
        graph.keep(id);
    }
    fuse(&mut graph);
    let mut came: Vec<&str> = net.results.iter().map(|(name, ..)| name.as_str()).collect();
    let mut wanted: Vec<&str> = case.want.iter().map(String::as_str).collect();
    came.sort_unstable();
    wanted.sort_unstable();
    if came != wanted {
        return Err(format!("yields {came:?}, wanted are {wanted:?}").into());
    }
    for (by, mut runtime) in runtimes(&graph, gpu)? {
        for (id, data) in &net.data {
            runtime.write(*id, data.slice())?;
        }
        runtime.run()?;
        for (name, id, reading) in &net.results {
            let want = tensors.get(case, name)?;
            let shape = graph.value(*id).shape;
            let (dims, got) = reading.of(shape.dims(), runtime.read(*id)?);
            suite
                .compare(want, &dims, &got)
                .map_err(|why| format!("{name} on {by}: {why}"))?;
        }
    }
    Ok(())
}

fn check(name: &str) {
    let (suite, tensors) = Suite::load(name);
    let gpu = cases::gpu();
    let outcome = |case: &Case| Outcome {
        name: case.name.clone(),
        failure: run(&suite, case, &tensors, gpu)
            .err()
            .map(|why| chain(&*why)),
    };
    let outcomes: Vec<Outcome> = suite.cases.iter().map(outcome).collect();
    suite.save(gpu.map(|gpu| gpu.description().to_string()), &outcomes);
    let failed: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| {
            let why = outcome.failure.as_ref()?;
            Some(format!("{}: {why}", outcome.name))
        })
        .collect();
    eprintln!(
        "{name}: {} cases ran, {} failed",
        outcomes.len(),
        failed.len()
    );
    assert!(!outcomes.is_empty(), "{name} holds no case");
    assert!(failed.is_empty(), "{name}:\n{}", failed.join("\n"));
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

#[test]
#[ignore = "scripts/check-vectors makes the vectors and runs this"]
fn onnx_backend_tests_pass() {
    check("onnx");
}

#[test]
#[ignore = "scripts/check-vectors makes the vectors and runs this"]
fn pytorch_opinfo_samples_pass() {
    check("opinfo");
}
