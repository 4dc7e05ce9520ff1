//! Everything but convolutions: pooling, loss, optimizer, batches, ReLU and dropout, at the sizes of the presets.
//!
//! These ops are bound by memory, so throughput is in bytes a second: each input and output once, and what is updated in
//! place twice. What fits in a cache may run above the measured peak of memory. An op is checked against the reference on
//! the device before it is timed. See `common/mod.rs` for the choice of device and the quick mode.

#[path = "../tests/cases/mod.rs"]
mod cases;
mod common;

use cases::{Case, CaseBuilder, assert_agreement, of_graph, on_reference};
use common::device::{Power, device, peak};
use common::measure::{self, measure};
use common::plot::Chart;
use common::report::Report;
use common::table::Table;
use common::{digits, percent};
use criterion::{Throughput, criterion_group, criterion_main};
use nin_wgpu::graph::{Graph, Role, ValueId};
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Adam, Conv2d, Dropout, Relu, ReluBackward, Update};
use nin_wgpu::program::{Program, Source};

/// A training step's graph of `nin`.
fn nin(batch: usize) -> Graph {
    let nin = Model::find("nin").expect("exists");
    // As many images as a batch takes: the data set is read about once.
    let source = Source::new(batch, [1, 28, 28]);
    let network = |net: &mut _, x| nin.build(net, x, 10);
    let program = Program::training(&source, [224, 224], batch, Adam::default(), network);
    program.expect("builds").graph().clone()
}

/// Adam over all parameters of a network.
fn adam(graph: &Graph) -> Case {
    let mut case = CaseBuilder::new();
    let mut inputs = vec![case.input(&[3], Adam::default().hyper(1e-3, 1).to_vec())];
    let mut updates = [Vec::new(), Vec::new(), Vec::new()];
    for of in graph.parameters() {
        let shape = graph.value(of).shape;
        let mut add = |role, value| case.with_role(shape.dims(), role, vec![value; shape.len()]);
        let parameter = add(Role::Parameter, 0.5);
        inputs.push(add(Role::Gradient(parameter), 0.01));
        updates[0].push(parameter);
        updates[1].push(add(Role::Moment(parameter, 0), 0.02));
        updates[2].push(add(Role::Moment(parameter, 1), 0.03));
    }
    case.op(Update::from(Adam::default()), &inputs, &updates.concat());
    case.case("nin optimizer adam")
}

/// ReLU, which networks fuse, on its own: the first map of `nin`.
fn relu(batch: usize) -> Case {
    let dims = [batch, 96, 55, 55];
    let mut case = CaseBuilder::new();
    let (x, dy) = (case.random(&dims), case.random(&dims));
    let y = case.op(Relu, &[x], &[])[0];
    case.op(ReluBackward, &[dy, y], &[]);
    case.case("nin conv.0 relu+backward")
}

/// Dropout of the first map of `nin-paper`.
fn dropout(batch: usize) -> Case {
    let mut case = CaseBuilder::new();
    let x = case.random(&[batch, 96, 14, 14]);
    let random = case.input_u32(&[3], vec![42, 1000, 0]);
    case.op(Dropout::new(0.5, 5).expect("valid"), &[x, random], &[]);
    case.case("nin-paper conv.2 dropout")
}

fn cases(batch: usize) -> Vec<Case> {
    let graph = nin(batch);
    let mut cases = of_graph("nin", &graph);
    cases.retain(|case| {
        let mut nodes = case.graph.nodes().iter();
        !nodes.any(|node| Conv2d::of_node(&case.graph, node).is_some())
    });
    cases.extend([adam(&graph), relu(batch), dropout(batch)]);
    cases
}

/// Bytes that every implementation has to move.
fn traffic(graph: &Graph) -> u64 {
    let bytes = |ids: &[ValueId]| -> u64 {
        let of = |&id: &ValueId| graph.value(id).dtype.bytes(graph.value(id).shape.len());
        ids.iter().map(of).sum()
    };
    let nodes = graph.nodes().iter();
    nodes
        .map(|node| bytes(&node.inputs) + bytes(&node.outputs) + 2 * bytes(&node.updates))
        .sum()
}

/// Layer, ops and shape of the first operand.
fn describe(case: &Case) -> [String; 3] {
    let nodes = case.graph.nodes();
    let ops: Vec<&str> = nodes.iter().map(|node| node.op.name()).collect();
    let large = nodes[0].outputs.iter().chain(&nodes[0].updates);
    let shape = match large.map(|&id| case.graph.value(id).shape).next() {
        Some(_) if nodes[0].updates.len() > 1 => format!("{} tensors", nodes[0].updates.len() / 3),
        Some(shape) => shape.to_string(),
        None => String::new(),
    };
    let mut words = case.name.split(' ');
    let layer = words.nth(1).unwrap_or_default();
    [layer.to_owned(), ops.join(" + "), shape]
}

fn ops(criterion: &mut criterion::Criterion) {
    let device = device();
    println!("device: {device}");
    let batch = match Power::of(&device) {
        Power::Quick => 1,
        _ => 16,
    };
    let peak = peak(&device).bytes / 1e9;
    let head = ["layer", "op", "output", "MB", "ms", "GB/s", "% of peak"];
    let mut table = Table::new(3, head);
    let mut groups = Vec::new();
    for case in cases(batch) {
        let [layer, op, shape] = describe(&case);
        let bytes = traffic(&case.graph);
        let mut group = measure::group(criterion, &device, &op, Throughput::Bytes(bytes));
        let seconds = measure(&mut group, &shape, || {
            let mut runtime = device.load(case.graph.clone()).expect("loads");
            cases::write(&mut *runtime, &case);
            runtime.run().expect("runs");
            let got = cases::results(&mut *runtime, &case);
            assert_agreement(&case, "the device", &got, &on_reference::<f64>(&case));
            move |runs| measure::run(&mut *runtime, runs)
        });
        group.finish();
        let Some(seconds) = seconds else { continue };
        let speed = bytes as f64 / seconds / 1e9;
        groups.push((format!("{op} {shape}"), vec![Some(speed)]));
        let numbers = [bytes as f64 / 1e6, 1e3 * seconds, speed].map(digits);
        let cells = [layer, op, shape].into_iter().chain(numbers);
        let cells = cells.chain([percent(speed, peak)]);
        table.push(cells.map(Into::into).collect());
    }
    Report {
        name: "ops",
        title: format!("Ops bound by memory at batch {batch}"),
        device: device.to_string(),
        notes: vec![format!(
            "Measured peak {} GB/s; what fits in a cache may run above it.",
            digits(peak)
        )],
        table,
        chart: Chart {
            unit: "GB/s",
            series: vec!["GB/s".into()],
            groups,
        },
    }
    .publish();
}

criterion_group! {
    name = benches;
    config = measure::criterion();
    targets = ops
}
criterion_main!(benches);
