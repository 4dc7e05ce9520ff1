//! What a device can do at most, and where the time of a run goes.

mod cases;

use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::peak::Peak;
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::profile::{Entry, Profile};
use nin_wgpu::program::{Program, Run, Source};
use serde_json::Value;

fn devices() -> impl Iterator<Item = Device> {
    std::iter::once(Device::Cpu).chain(cases::gpu().cloned().map(Device::Gpu))
}

#[test]
fn every_device_has_a_peak() {
    for device in devices() {
        let peak = device.peak().expect("measures");
        println!("{device}: {peak}");
        for rate in [peak.flops, peak.bytes] {
            // Operations and bytes: a thousandth of what the slowest device does, and far more products or copies than any.
            assert!(rate.is_finite() && rate > 1e6, "{device}: {peak:?}");
        }
    }
}

#[test]
fn work_is_bound_by_what_takes_longer() {
    let peak = Peak {
        flops: 100.0,
        bytes: 10.0,
    };
    assert_eq!(peak.seconds(200, 10), 2.0);
    assert_eq!(peak.seconds(200, 30), 3.0);
}

/// `nin-small`, ready to train on `device`.
fn run(device: &Device) -> Run {
    let model = Model::find("nin-small").expect("exists");
    let source = Source::new(8, [1, 28, 28]);
    let program = Program::training(&source, [28, 28], 4, Adam::default(), |net, x| {
        model.build(net, x, 10)
    })
    .expect("builds");
    let mut run = program.load(device).expect("loads");
    run.set_data(&[7; 8 * 28 * 28], &[1; 8]).expect("fits");
    let parameters = Init::Kaiming.parameters(program.graph(), 1);
    run.set_parameters(&parameters.expect("initialises"))
        .expect("fits");
    run
}

#[test]
fn a_profile_has_every_operation_of_the_run_in_its_order() {
    for device in devices() {
        let mut run = run(&device);
        let profile = Profile::measure(&device, &mut run, 2).expect("runs");
        let graph = run.program().graph();
        let (mut ops, mut flops) = (Vec::new(), 0);
        for entry in &profile.entries {
            let op = (entry.layer.clone(), entry.op);
            // The dispatches of one op stand together.
            if ops.last() != Some(&op) {
                ops.push(op);
            }
            flops += entry.flops;
            assert!(entry.bytes > 0 && !entry.shapes.is_empty(), "{entry:?}");
            assert!(entry.seconds.is_finite() && entry.seconds >= 0.0);
        }
        let nodes = graph.nodes().iter();
        let nodes: Vec<_> = nodes.map(|n| (n.layer.clone(), n.op.name())).collect();
        assert_eq!(ops, nodes, "{device}");
        let plan = Plan::new(graph.clone(), &PlanOptions::default()).expect("fits");
        assert_eq!(flops, plan.nominal_flops(), "{device}");
        assert!(profile.seconds() > 0.0, "{device}");
    }
}

#[test]
fn each_profiled_run_is_a_real_one() {
    for device in devices() {
        let mut profiled = run(&device);
        let mut trained = run(&device);
        let batch = [0, 1, 2, 3];
        profiled.train_step(&batch, 1e-3, 1).expect("runs");
        profiled.profile(2).expect("runs");
        // Three steps with the inputs of the first.
        for _ in 0..3 {
            trained.train_step(&batch, 1e-3, 1).expect("runs");
        }
        let parameters = [&mut profiled, &mut trained].map(|run| run.parameters().expect("reads"));
        assert_eq!(parameters[0], parameters[1], "{device}");
    }
}

fn profile() -> Profile {
    let entry = |layer: &str, op, seconds, flops, bytes| Entry {
        layer: layer.to_owned(),
        op,
        kernel: "cpu".to_owned(),
        shapes: "[2] -> [2]".to_owned(),
        seconds,
        flops,
        bytes,
    };
    Profile {
        device: "a device".to_owned(),
        peak: Peak {
            flops: 100e9,
            bytes: 10e9,
        },
        entries: vec![
            entry("first", "conv2d", 0.003, 150_000_000, 1000),
            entry("second", "max_pool2d", 0.001, 1000, 1_000_000),
            entry("third", "relu", 0.0, 1, 8),
        ],
    }
}

#[test]
fn the_table_compares_with_what_bounds_each_dispatch() {
    let want = "\
a device, at most 100 GFLOP/s, 10.0 GB/s
#  layer   op          kernel  shapes         ms          rate  of peak  of step
1  first   conv2d      cpu     [2] -> [2]  3.000  50.0 GFLOP/s   50.0 %   75.0 %
2  second  max_pool2d  cpu     [2] -> [2]  1.000  1.00 GB/s      10.0 %   25.0 %
3  third   relu        cpu     [2] -> [2]  0.000             -        -    0.0 %
   total                                   4.000  37.5 GFLOP/s   40.0 %  100.0 %
";
    assert_eq!(profile().to_string(), want);
}

#[test]
fn the_trace_has_a_span_for_each_dispatch_behind_the_last() {
    let trace: Value = serde_json::from_str(&profile().chrome_trace()).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("events");
    assert_eq!(events[0]["args"]["name"], "a device");
    let spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
    assert_eq!(spans.len(), 3);
    assert_eq!(spans[1]["name"], "second max_pool2d");
    // Microseconds.
    let times = |key| -> Vec<f64> {
        let times = spans.iter().map(|span| span[key].as_f64());
        times.map(|time| time.expect("a number").round()).collect()
    };
    assert_eq!(times("ts"), [0.0, 3000.0, 4000.0]);
    assert_eq!(times("dur"), [3000.0, 1000.0, 0.0]);
    assert_eq!(spans[0]["args"]["flops"], 150_000_000);
}
