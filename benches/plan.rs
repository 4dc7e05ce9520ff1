//! Getting ready: building a graph and its plan, and from the start of a process to the end of its first step.
//!
//! A start is a process of its own. A cold one has an empty cache folder, so the driver compiles every kernel; a warm one
//! has the folder that the cold one filled. Criterion would take ten samples of each, which is minutes on a software
//! driver: starts are timed beside it, three of each, and the medians reported. See `common/mod.rs` for the choice of
//! device and the quick mode.

mod common;

use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::device::{Power, device, is_quick, key};
use common::digits;
use common::measure::{self, measure, median};
use common::plot::Chart;
use common::report::Report;
use common::table::Table;
use criterion::Criterion;
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::program::{Program, Source};

/// Set in the processes whose start is timed.
const START: &str = "NIN_BENCH_START";

/// Folders in which drivers, and this library, keep what they compiled and measured.
const CACHES: [&str; 3] = [
    "XDG_CACHE_HOME",
    "MESA_SHADER_CACHE_DIR",
    "__GL_SHADER_DISK_CACHE_PATH",
];

/// Parts of a start, then the whole process.
const PARTS: [&str; 4] = ["open device", "load", "first step", "process"];

fn batch(device: &Device) -> usize {
    match Power::of(device) {
        Power::Hardware | Power::Cpu => 16,
        Power::Software | Power::Quick => 1,
    }
}

fn model() -> &'static Model {
    Model::find(if is_quick() { "nin-small" } else { "nin" }).expect("exists")
}

fn program(batch: usize) -> Program {
    let model = model();
    let source = Source::new(batch, [1, 28, 28]);
    let size = model.input_size(28, 28);
    let network = |net: &mut _, x| model.build(net, x, 10);
    Program::training(&source, size, batch, Adam::default(), network).expect("builds")
}

/// Opens the device, loads the program, does a step, and prints the seconds of each.
fn start() {
    let begin = Instant::now();
    let device = device();
    let open = begin.elapsed();
    let batch = batch(&device);
    let program = program(batch);
    let mut run = program.load(&device).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), 1).expect("fits");
    run.set_parameters(&parameters).expect("fits");
    let images = vec![100; batch * 28 * 28];
    run.set_data(&images, &vec![1; batch]).expect("fits");
    let load = begin.elapsed() - open;
    let indices: Vec<u32> = (0..batch as u32).collect();
    run.train_step(&indices, 1e-4, 1).expect("steps");
    let step = begin.elapsed() - open - load;
    for part in [open, load, step] {
        println!("{}", part.as_secs_f64());
    }
}

/// Seconds of the parts of a start with this cache folder.
fn time_start(cache: &Path) -> [f64; 4] {
    let program = std::env::current_exe().expect("this program has a path");
    let mut command = Command::new(program);
    command.env(START, "1");
    for name in CACHES {
        command.env(name, cache);
    }
    let begin = Instant::now();
    let output = command.output().expect("this program runs");
    let whole: Duration = begin.elapsed();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the start failed: {errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut parts = text.lines().map(|line| line.parse().expect("seconds"));
    let mut next = || parts.next().expect("three lines");
    [next(), next(), next(), whole.as_secs_f64()]
}

/// Median seconds of the parts of cold and of warm starts.
fn starts() -> [[f64; 4]; 2] {
    let runs = if is_quick() { 1 } else { 3 };
    let pairs: Vec<[[f64; 4]; 2]> = (0..runs)
        .map(|_| {
            let cache = tempfile::tempdir().expect("a temporary folder can be made");
            [(); 2].map(|()| time_start(cache.path()))
        })
        .collect();
    [0, 1].map(|which| {
        [0, 1, 2, 3].map(|part| {
            let samples = pairs.iter().map(|pair| pair[which][part]).collect();
            median(samples).expect("at least one start")
        })
    })
}

/// Building the graph, with its gradients and fused, and planning it.
fn build(criterion: &mut Criterion, device: &Device) -> [Option<f64>; 2] {
    let batch = batch(device);
    let options = match device {
        Device::Gpu(gpu) => gpu.plan_options(),
        Device::Cpu | Device::PreciseCpu => PlanOptions::default(),
    };
    let graph = program(batch).graph().clone();
    let mut group = criterion.benchmark_group(format!("{} build", key(device)));
    let times = [
        measure(&mut group, "graph", || {
            move |runs| (0..runs).for_each(|_| drop(black_box(program(batch))))
        }),
        measure(&mut group, "plan", || {
            move |runs| {
                for _ in 0..runs {
                    let plan = Plan::new(black_box(graph.clone()), &options);
                    black_box(plan.expect("fits the device"));
                }
            }
        }),
    ];
    group.finish();
    times
}

fn main() {
    if std::env::var_os(START).is_some() {
        return start();
    }
    let device = device();
    println!("device: {device}");
    let mut criterion = measure::criterion();
    let mut rows: Vec<(String, f64)> = ["build the graph", "plan it"]
        .into_iter()
        .zip(build(&mut criterion, &device))
        .filter_map(|(what, seconds)| Some((what.to_owned(), seconds?)))
        .collect();
    // A filter or a mode of criterion's leaves the starts out.
    if std::env::args()
        .skip(1)
        .all(|argument| argument == "--bench")
    {
        for (kind, parts) in ["cold", "warm"].into_iter().zip(starts()) {
            let part = |(part, seconds)| (format!("{kind} start: {part}"), seconds);
            rows.extend(PARTS.into_iter().zip(parts).map(part));
        }
    }
    let mut table = Table::new(1, ["what", "ms"]);
    let mut groups = Vec::new();
    for (what, seconds) in rows {
        let milliseconds = 1e3 * seconds;
        table.push(vec![what.as_str().into(), digits(milliseconds).into()]);
        groups.push((what, vec![Some(milliseconds)]));
    }
    let model = model().name;
    Report {
        name: "plan",
        title: format!("Getting ready for {model} at batch {}", batch(&device)),
        device: device.to_string(),
        notes: vec![
            "Load: memory, kernels, parameters and data. Process: from its start to its end."
                .into(),
        ],
        table,
        chart: Chart {
            unit: "ms",
            series: vec!["ms".into()],
            groups,
        },
    }
    .publish();
    criterion.final_summary();
}
