//! Convolution kernels side by side: every algorithm x layers of `nin`, and one of each other kind, x forward, dgrad, wgrad;
//! equal shapes once.
//!
//! Throughput is in floating-point operations (criterion's "elements") a second. A kernel is checked against the
//! reference on the device before it is timed. On the CPU, the blocked GEMM runs against the plain loops that define the
//! op. See `common/mod.rs` for the choice of device and the quick mode.

#[path = "../tests/cases/mod.rs"]
mod cases;
mod common;

use cases::{Case, assert_agreement, of_graph, on_reference};
use common::device::{Power, device, peak};
use common::measure::{self, measure};
use common::plot::Chart;
use common::report::Report;
use common::table::{Cell, Row, Table};
use common::{digits, percent};
use criterion::{Throughput, criterion_group, criterion_main};
use nin_wgpu::device::Device;
use nin_wgpu::gpu::Executor;
use nin_wgpu::graph::{GraphBuilder, GraphError, ValueId};
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Adam, Conv2d, Op};
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanOptions};
use nin_wgpu::program::{Program, Source};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;

/// A first layer and a small 1x1, for the quick mode.
const QUICK: [&str; 2] = ["conv.0.0", "conv.6.2"];

type Built = Result<ValueId, GraphError>;

const DIRECTIONS: [&str; 3] = ["forward", "dgrad", "wgrad"];

/// A layer in one direction.
struct Pass {
    layer: String,
    direction: &'static str,
    filter: String,
    flops: u64,
    case: Case,
}

impl Pass {
    /// `None` if the case is not of a convolution.
    fn new(case: Case) -> Option<Self> {
        let node = case.graph.nodes().last()?;
        let (direction, filter) = match node.op {
            Op::Conv2d(_) => (DIRECTIONS[0], node.inputs[1]),
            Op::Conv2dDgrad(_) => (DIRECTIONS[1], node.inputs[1]),
            Op::Conv2dWgrad(_) => (DIRECTIONS[2], node.outputs[0]),
            _ => return None,
        };
        Some(Self {
            layer: case.name.split(' ').nth(1)?.to_owned(),
            direction,
            filter: case.graph.value(filter).shape.to_string(),
            flops: flops(&case),
            case,
        })
    }
}

fn flops(case: &Case) -> u64 {
    let plan = Plan::new(case.graph.clone(), &PlanOptions::default());
    plan.expect("fits WebGPU's limits").nominal_flops()
}

/// Convolutions of other kinds, as small networks have them.
fn kinds(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = net.conv2d("stem", x, 64, Conv2d::new(1, 1, 0)?)?;
    let x = net.conv2d("depthwise", x, 64, Conv2d::new(3, 1, 1)?.with_groups(64)?)?;
    let x = net.conv2d(
        "depthwise.strided",
        x,
        64,
        Conv2d::new(5, 2, 2)?.with_groups(64)?,
    )?;
    let x = net.conv2d("grouped", x, 64, Conv2d::new(3, 1, 1)?.with_groups(4)?)?;
    let dilated = Conv2d::new(3, 1, 2)?.with_dilation([2, 2])?;
    let x = net.conv2d("dilated", x, 64, dilated)?;
    let flat = Conv2d::rectangular([1, 7], [1, 1])?.with_padding([0, 3])?;
    let x = net.conv2d("flat", x, 10, flat)?;
    net.global_avg_pool(x)
}

fn passes(batch: usize) -> Vec<Pass> {
    let nin = Model::find("nin").expect("exists");
    let source = Source::new(batch, [1, 28, 28]);
    let network = |net: &mut _, x| nin.build(net, x, 10);
    let cases = |name, size, network: &dyn Fn(&mut GraphBuilder, ValueId) -> Built| {
        let program = Program::training(&source, size, batch, Adam::default(), network);
        of_graph(name, program.expect("builds").graph())
    };
    let mut all = cases("nin", [224; 2], &network);
    all.extend(cases("kinds", [56; 2], &kinds));
    let mut passes: Vec<Pass> = all.into_iter().filter_map(Pass::new).collect();
    let order = |pass: &Pass| DIRECTIONS.iter().position(|&name| name == pass.direction);
    passes.sort_by_key(|pass| (pass.layer.clone(), order(pass)));
    passes
}

/// One way to compute a convolution.
#[derive(Clone, Copy)]
enum Variant {
    /// A kernel.
    Kernel(Conv2dAlgorithm),
    /// The CPU backend.
    Gemm,
    /// What defines the op, in `f64`.
    Loops,
}

impl Variant {
    fn all(device: &Device) -> Vec<Self> {
        match device {
            Device::Cpu | Device::PreciseCpu => vec![Self::Loops, Self::Gemm],
            Device::Gpu(gpu) => Conv2dAlgorithm::available(gpu.plan_options().limits)
                .into_iter()
                .map(Self::Kernel)
                .collect(),
        }
    }

    /// `implicit_gemm 64x64x16`, say.
    fn name(self) -> String {
        match self {
            Self::Gemm => "gemm".into(),
            Self::Loops => "naive f64".into(),
            Self::Kernel(algorithm) => algorithm.to_string(),
        }
    }

    /// Its plan; `None` if it does not serve such a convolution, or the device's limits exclude it.
    fn plan(self, device: &Device, case: &Case) -> Option<Plan> {
        let mut nodes = case.graph.nodes().iter();
        let (_, geometry) = nodes.find_map(|node| Conv2d::of_node(&case.graph, node))?;
        if matches!(self, Self::Kernel(algorithm) if !algorithm.serves(&geometry)) {
            return None;
        }
        let mut options = PlanOptions::default();
        if let (Self::Kernel(conv2d), Device::Gpu(gpu)) = (self, device) {
            options = PlanOptions {
                conv2d: conv2d.into(),
                ..gpu.plan_options()
            };
        }
        Plan::new(case.graph.clone(), &options).ok()
    }

    /// The pass with memory on the device.
    fn load(self, device: &Device, case: &Case, plan: Plan) -> Box<dyn Runtime> {
        let graph = case.graph.clone();
        let mut runtime: Box<dyn Runtime> = match (self, device) {
            (Self::Kernel(_), Device::Gpu(gpu)) => {
                Box::new(Executor::new(gpu, plan).expect("loads"))
            }
            (Self::Loops, _) => Box::new(Reference::<f64>::new(graph)),
            _ => Box::new(Reference::<f32>::new(graph)),
        };
        cases::write(&mut *runtime, case);
        runtime
    }
}

fn conv2d(criterion: &mut criterion::Criterion) {
    let device = device();
    let batch = match Power::of(&device) {
        Power::Hardware => 16,
        Power::Cpu => 4,
        Power::Software | Power::Quick => 1,
    };
    println!("device: {device}");
    let variants = Variant::all(&device);
    let names: Vec<String> = variants.iter().map(|variant| variant.name()).collect();
    let mut passes = passes(batch);
    if Power::of(&device) == Power::Quick {
        passes.retain(|pass| QUICK.contains(&pass.layer.as_str()));
    }
    let peak = peak(&device).flops / 1e9;
    let head = ["layer", "filter", "direction", "MFLOP"].map(String::from);
    let last = "best, % of peak".to_owned();
    let mut table = Table::new(3, head.into_iter().chain(names.clone()).chain([last]));
    let mut groups = Vec::new();
    for pass in &passes {
        let name = format!("{} {}", pass.layer, pass.direction);
        let mut group = measure::group(criterion, &device, &name, Throughput::Elements(pass.flops));
        let time = |(&variant, name): (&Variant, &String)| -> Option<f64> {
            let plan = variant.plan(&device, &pass.case)?;
            let seconds = measure(&mut group, name, || {
                let mut runtime = variant.load(&device, &pass.case, plan);
                check(&mut *runtime, pass, variant);
                move |runs| measure::run(&mut *runtime, runs)
            });
            Some(pass.flops as f64 / seconds? / 1e9)
        };
        let speeds: Vec<Option<f64>> = variants.iter().zip(&names).map(time).collect();
        group.finish();
        if let Some(row) = row(pass, &speeds, peak) {
            table.push(row);
            groups.push((name, speeds));
        }
    }
    Report {
        name: "conv2d",
        title: format!("Convolutions of nin, and of other kinds, at batch {batch}"),
        device: device.to_string(),
        notes: vec![format!(
            "GFLOP/s, the best marked; measured peak {}. A row stands for all passes of its shapes.",
            digits(peak)
        )],
        table,
        chart: Chart {
            unit: "GFLOP/s",
            series: names,
            groups,
        },
    }
    .publish();
}

/// Panics unless a first run yields what the reference does; what the reference is, the other one.
fn check(runtime: &mut dyn Runtime, pass: &Pass, variant: Variant) {
    runtime.run().expect("runs");
    let got = cases::results(runtime, &pass.case);
    let want = match variant {
        Variant::Gemm => on_reference::<f64>(&pass.case),
        _ => on_reference::<f32>(&pass.case),
    };
    assert_agreement(&pass.case, &variant.name(), &got, &want);
}

/// `None` if nothing was measured.
fn row(pass: &Pass, speeds: &[Option<f64>], peak: f64) -> Option<Row> {
    let best = speeds.iter().copied().flatten().reduce(f64::max)?;
    let cell = |speed: &Option<f64>| match *speed {
        Some(speed) if speed == best => Cell::best(digits(speed)),
        Some(speed) => digits(speed).into(),
        None => "–".into(),
    };
    let megaflops = digits(pass.flops as f64 / 1e6);
    let words = [
        pass.layer.as_str(),
        &pass.filter,
        pass.direction,
        &megaflops,
    ];
    let cells = words.into_iter().map(Cell::from);
    let cells = cells.chain(speeds.iter().map(cell));
    Some(cells.chain([percent(best, peak).into()]).collect())
}

criterion_group! {
    name = benches;
    config = measure::criterion();
    targets = conv2d
}
criterion_main!(benches);
