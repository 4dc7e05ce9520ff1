//! Convolution kernels side by side: every algorithm x layers of `nin` x forward, dgrad, wgrad, batch 1.
//!
//! `cargo bench` runs them on the best adapter, else on a software one; `NIN_BENCH_DEVICE=cpu|software|gpu:N` chooses.
//! Throughput is in floating-point operations (criterion's "elements") a second. A kernel is checked against the
//! reference on the device before it is timed.

#[path = "../tests/cases/mod.rs"]
mod cases;

use std::time::{Duration, Instant};

use cases::{Case, assert_agreement, of_graph, on_reference};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::{Executor, Gpu};
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanOptions};
use nin_wgpu::program::{Program, Source};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;

/// One k x k and one 1x1 layer of each size of map.
const LAYERS: [&str; 4] = ["conv.2.0", "conv.2.2", "conv.4.0", "conv.4.2"];

fn device() -> Device {
    let choice = std::env::var("NIN_BENCH_DEVICE").ok();
    match choice.as_deref().map(str::parse::<DeviceChoice>) {
        Some(Ok(choice)) => {
            Device::open(choice).expect("NIN_BENCH_DEVICE names a device of this machine")
        }
        Some(Err(error)) => panic!("NIN_BENCH_DEVICE: {error}"),
        None => Gpu::open("adapter", |_, _| true).map_or(Device::Cpu, Device::Gpu),
    }
}

fn layers() -> Vec<Case> {
    let nin = Model::find("nin").expect("exists");
    let program = Program::training(
        &Source::new(1, [1, 28, 28]),
        [224, 224],
        1,
        Adam::default(),
        |net, x| nin.build(net, x, 10),
    )
    .expect("builds");
    let mut all = of_graph("nin", program.graph());
    all.retain(|case| {
        case.name.contains("conv2d") && LAYERS.iter().any(|layer| case.name.contains(layer))
    });
    all
}

/// Seconds of `runs` runs, from submit to the end of the work.
fn time(runtime: &mut dyn Runtime, runs: u64) -> Duration {
    let start = Instant::now();
    for _ in 0..runs {
        runtime.run().expect("runs");
    }
    runtime.take_snapshots(true).expect("the device waits");
    start.elapsed()
}

fn conv2d(criterion: &mut Criterion) {
    let device = device();
    println!("device: {device}");
    for case in layers() {
        let flops = Plan::new(case.graph.clone(), &PlanOptions::default())
            .expect("plans")
            .flops();
        let mut group = criterion.benchmark_group(case.name.replace("nin ", ""));
        group.throughput(Throughput::Elements(flops));
        group
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200));
        group.measurement_time(Duration::from_millis(1000));
        match &device {
            Device::Cpu => {
                let mut runtime = Reference::<f32>::new(case.graph.clone());
                cases::write(&mut runtime, &case);
                group.bench_function("cpu", |b| b.iter_custom(|runs| time(&mut runtime, runs)));
            }
            Device::Gpu(gpu) => {
                let want = on_reference::<f32>(&case);
                for algorithm in Conv2dAlgorithm::ALL {
                    let options = PlanOptions {
                        conv2d: algorithm.into(),
                        ..gpu.plan_options()
                    };
                    let plan = Plan::new(case.graph.clone(), &options).expect("plans");
                    let mut executor = Executor::new(gpu, plan).expect("loads");
                    cases::write(&mut executor, &case);
                    executor.run().expect("runs");
                    let got = cases::results(&mut executor, &case);
                    assert_agreement(&case, &format!("{algorithm:?}"), &got, &want);
                    group.bench_function(
                        BenchmarkId::from_parameter(format!("{algorithm:?}")),
                        |b| {
                            b.iter_custom(|runs| time(&mut executor, runs));
                        },
                    );
                }
            }
        }
        group.finish();
    }
}

criterion_group!(benches, conv2d);
criterion_main!(benches);
