//! Whole training steps and inference, on each device: the adapter and the CPU, or the one that is named.
//!
//! Training queues its steps and waits for the last; inference waits for each batch's probabilities, so at batch 1 it is
//! a latency. See `common/mod.rs` for the choice of device and the quick mode.

mod common;

use common::device::{Power, devices, key, peak};
use common::measure::{self, measure};
use common::plot::Chart;
use common::report::Report;
use common::table::Table;
use common::{digits, percent};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::plan::{Plan, PlanOptions};
use nin_wgpu::program::{Program, Run, Source};

/// Images of the data set.
const IMAGES: usize = 64;

#[derive(Clone, Copy, Debug)]
enum Goal {
    Training,
    Inference,
}

impl Goal {
    fn name(self) -> &'static str {
        match self {
            Self::Training => "training step",
            Self::Inference => "inference",
        }
    }
}

/// Presets and batches that a device gets through in its time.
fn cases(device: &Device) -> Vec<(&'static str, usize)> {
    match Power::of(device) {
        Power::Hardware | Power::Cpu => [1, 16, 64].map(|batch| ("nin", batch)).to_vec(),
        Power::Software => vec![
            ("nin", 1),
            ("nin-small", 1),
            ("nin-small", 16),
            ("nin-small", 64),
        ],
        Power::Quick => vec![("nin-small", 1)],
    }
}

fn program(model: &str, batch: usize, goal: Goal) -> Program {
    let model = Model::find(model).expect("exists");
    let source = Source::new(IMAGES, [1, 28, 28]);
    let size = model.input_size(28, 28);
    let network = |net: &mut _, x| model.build(net, x, 10);
    match goal {
        Goal::Training => Program::training(&source, size, batch, Adam::default(), network),
        Goal::Inference => Program::inference(&source, size, batch, network),
    }
    .expect("builds")
}

/// The program with parameters and data on the device.
fn load(program: &Program, device: &Device) -> Run {
    let mut run = program.load(device).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), 1).expect("fits");
    run.set_parameters(&parameters).expect("fits");
    let images: Vec<u8> = (0..IMAGES * 28 * 28)
        .map(|i| (31 * i % 251) as u8)
        .collect();
    let labels: Vec<u16> = (0..IMAGES as u16).map(|i| i % 10).collect();
    run.set_data(&images, &labels).expect("fits");
    run
}

/// Does `runs` runs, to the end of the work. The first compiles what is left and fills the caches.
fn repeat(mut run: Run, goal: Goal) -> impl FnMut(u64) {
    let indices: Vec<u32> = (0..run.program().batch() as u32).collect();
    let mut step = 0;
    let mut repeat = move |runs| {
        for _ in 0..runs {
            step += 1;
            match goal {
                Goal::Training => run
                    .queue_train_step(&indices, 1e-5, step, 0, false)
                    .expect("the device runs"),
                Goal::Inference => drop(run.probabilities(&indices).expect("the device runs")),
            }
        }
        run.take_metrics(true).expect("the device waits");
    };
    repeat(1);
    repeat
}

fn step(criterion: &mut Criterion) {
    let head = [
        "device",
        "model",
        "work",
        "batch",
        "ms",
        "images/s",
        "GFLOP/s",
        "% of peak",
    ];
    let mut table = Table::new(3, head);
    let mut groups = Vec::new();
    let mut notes = Vec::new();
    let devices = devices();
    for device in &devices {
        let key = key(device);
        let peak = peak(device).flops / 1e9;
        notes.push(format!(
            "{key}: {device}, measured peak {} GFLOP/s.",
            digits(peak)
        ));
        println!("device: {device}");
        for (model, batch) in cases(device) {
            for goal in [Goal::Training, Goal::Inference] {
                let program = program(model, batch, goal);
                let work = flops(&program);
                let name = format!("{model} {}", goal.name());
                let mut group =
                    measure::group(criterion, device, &name, Throughput::Elements(work));
                let prepare = || repeat(load(&program, device), goal);
                let seconds = measure(&mut group, &batch.to_string(), prepare);
                group.finish();
                let Some(seconds) = seconds else { continue };
                let speed = work as f64 / seconds / 1e9;
                let words = [key, model, goal.name()].map(String::from);
                let numbers = [1e3 * seconds, batch as f64 / seconds, speed].map(digits);
                let cells = words.into_iter().chain([batch.to_string()]).chain(numbers);
                let cells = cells.chain([percent(speed, peak)]);
                table.push(cells.map(Into::into).collect());
                groups.push((format!("{key} {name} {batch}"), vec![Some(speed)]));
            }
        }
    }
    Report {
        name: "step",
        title: "Training steps and inference".into(),
        device: devices
            .iter()
            .map(Device::to_string)
            .collect::<Vec<_>>()
            .join("; "),
        notes,
        table,
        chart: Chart {
            unit: "GFLOP/s",
            series: vec!["GFLOP/s".into()],
            groups,
        },
    }
    .publish();
}

fn flops(program: &Program) -> u64 {
    let plan = Plan::new(program.graph().clone(), &PlanOptions::default());
    plan.expect("fits WebGPU's limits").nominal_flops()
}

criterion_group! {
    name = benches;
    config = measure::criterion();
    targets = step
}
criterion_main!(benches);
