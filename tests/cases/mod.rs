//! One table of cases per op: agreement tests and benches run them all.
//!
//! A case is a graph of one op (max pooling's gradient comes with its forward pass) and the host data of its inputs.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses the part of the tables that it needs"
)]

pub mod activation;
#[path = "../../examples/common/adapters.rs"]
mod adapters;
pub mod add;
pub mod avg_pool2d;
pub mod batch_norm;
pub mod branches;
pub mod commit;
pub mod concat;
pub mod conv2d;
pub mod dropout;
pub mod ema;
pub mod fixture;
pub mod gather;
pub mod global_avg_pool;
pub mod gradient_norm;
pub mod linear;
pub mod local_response_norm;
pub mod max_pool2d;
pub mod mean_squared_error;
pub mod one_hot;
pub mod optimizer;
pub mod relu;
pub mod reshape;
pub mod slots;
pub mod soft_target_cross_entropy;
pub mod softmax;
pub mod softmax_cross_entropy;
pub mod tables;
pub mod validation;

use std::sync::OnceLock;

use nin_wgpu::gpu::{Executor, Gpu};
use nin_wgpu::graph::{Graph, Node, Role, ValueId};
use nin_wgpu::ops::{Op, Tolerance};
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanOptions};
use nin_wgpu::reference::{Real, Reference};
use nin_wgpu::rng::pcg4d;
use nin_wgpu::runtime::Runtime;
use nin_wgpu::shape::{DType, Shape};

/// Host data of an input.
#[derive(Clone, Debug)]
pub enum Data {
    F32(Vec<f32>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

/// One op at one shape.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub graph: Graph,
    pub data: Vec<(ValueId, Data)>,
    /// Values to compare, each with the tolerance of the op that makes it.
    pub results: Vec<(ValueId, Tolerance)>,
}

/// Builds a case value by value.
pub struct CaseBuilder {
    graph: Graph,
    data: Vec<(ValueId, Data)>,
    pub results: Vec<(ValueId, Tolerance)>,
    seed: u32,
}

pub fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("valid dimensions")
}

/// Floats in -1..1, the same for the same seed.
pub fn floats(len: usize, seed: u32) -> Vec<f32> {
    (0..len as u32)
        .map(|i| pcg4d([i, seed, 11, 13])[0] as f32 / 2f32.powi(31) - 1.0)
        .collect()
}

/// Integers below `bound`.
pub fn integers(len: usize, bound: u32, seed: u32) -> Vec<u32> {
    (0..len as u32)
        .map(|i| pcg4d([i, seed, 17, 19])[0] % bound)
        .collect()
}

impl CaseBuilder {
    pub fn new() -> Self {
        Self {
            graph: Graph::default(),
            data: Vec::new(),
            results: Vec::new(),
            seed: 0,
        }
    }

    fn value(&mut self, dims: &[usize], role: Role, data: Data) -> ValueId {
        let dtype = match data {
            Data::F32(_) => DType::F32,
            Data::U32(_) => DType::U32,
            Data::U8(_) => DType::U8,
        };
        self.seed += 1;
        let id = self
            .graph
            .add_value(format!("value{}", self.seed), shape(dims), dtype, role);
        self.data.push((id, data));
        id
    }

    /// Random floats in -1..1, some of them zero: what a rectifier masks ends there.
    pub fn random(&mut self, dims: &[usize]) -> ValueId {
        let data = floats(shape(dims).len(), self.seed).into_iter();
        let data = data.map(|x| if x.abs() < 0.05 { 0.0 } else { x });
        self.input(dims, data.collect())
    }

    pub fn input(&mut self, dims: &[usize], data: Vec<f32>) -> ValueId {
        self.value(dims, Role::Input, Data::F32(data))
    }

    pub fn with_role(&mut self, dims: &[usize], role: Role, data: Vec<f32>) -> ValueId {
        self.value(dims, role, Data::F32(data))
    }

    pub fn input_u32(&mut self, dims: &[usize], data: Vec<u32>) -> ValueId {
        self.value(dims, Role::Input, Data::U32(data))
    }

    pub fn input_u8(&mut self, dims: &[usize], data: Vec<u8>) -> ValueId {
        self.value(dims, Role::Input, Data::U8(data))
    }

    /// Adds an op whose outputs and updates are compared.
    pub fn op(
        &mut self,
        op: impl Into<Op>,
        inputs: &[ValueId],
        updates: &[ValueId],
    ) -> Vec<ValueId> {
        let op = op.into();
        let tolerance = op.tolerance();
        let outputs = self
            .graph
            .push("case", op, inputs, updates)
            .expect("the case fits its op");
        for &id in outputs.iter().chain(updates) {
            self.graph.keep(id);
            self.results.push((id, tolerance));
        }
        outputs
    }

    /// Adds an op that only later ones read: its outputs are neither kept nor compared.
    pub fn hidden(&mut self, op: impl Into<Op>, inputs: &[ValueId]) -> ValueId {
        let outputs = self.graph.push("case", op, inputs, &[]);
        outputs.expect("the case fits its op")[0]
    }

    pub fn case(self, name: impl Into<String>) -> Case {
        Case {
            name: name.into(),
            graph: self.graph,
            data: self.data,
            results: self.results,
        }
    }
}

/// The ops of a whole graph as cases of one op each, equal ones once: every layer shape of a network.
pub fn of_graph(model: &str, graph: &Graph) -> Vec<Case> {
    let mut seen: Vec<String> = Vec::new();
    let mut cases = Vec::new();
    for node in graph.nodes() {
        let dims = |ids: &[ValueId]| -> Vec<String> {
            ids.iter()
                .map(|&id| graph.value(id).shape.to_string())
                .collect()
        };
        let key = format!("{:?} {:?}", node.op, dims(&node.inputs));
        // The optimizer is one op over all parameters, and has cases of its own.
        if seen.contains(&key) || matches!(node.op, Op::Update(_)) {
            continue;
        }
        seen.push(key);
        let name = format!(
            "{model} {} {} {}",
            node.layer,
            node.op.name(),
            dims(&node.inputs).join(" ")
        );
        cases.push(of_node(graph, node).case(name));
    }
    cases
}

fn of_node(graph: &Graph, node: &Node) -> CaseBuilder {
    let mut case = CaseBuilder::new();
    let mut inputs = Vec::new();
    for (i, &id) in node.inputs.iter().enumerate() {
        let value = graph.value(id);
        let (dims, len) = (value.shape.dims(), value.shape.len());
        let input = match (&node.op, value.dtype, i) {
            (_, DType::F32, _) => case.random(dims),
            (_, DType::U8, _) => case.input_u8(
                dims,
                integers(len, 256, 3).iter().map(|&x| x as u8).collect(),
            ),
            (Op::MaxPool2dBackward(_), DType::U32, 1) => {
                // The argmax of a real forward pass.
                let forward = graph
                    .nodes()
                    .iter()
                    .find(|other| other.outputs.contains(&id))
                    .expect("the argmax has a producer");
                let x = case.random(graph.value(forward.inputs[0]).shape.dims());
                case.op(forward.op.clone(), &[x], &[])[1]
            }
            (Op::Gather(_), DType::U32, 2) => {
                let images = graph.value(node.inputs[0]).shape.dims()[0];
                case.input_u32(dims, integers(len, images as u32, 5))
            }
            _ => case.input_u32(dims, integers(len, 2, 7)),
        };
        inputs.push(input);
    }
    let updates: Vec<ValueId> = node
        .updates
        .iter()
        .map(|&id| {
            let value = graph.value(id);
            case.with_role(value.shape.dims(), value.role, vec![0.0; value.shape.len()])
        })
        .collect();
    case.op(node.op.clone(), &inputs, &updates);
    case
}

/// The adapter under test: the best there is, or `None` where the run says `NIN_TEST_GPU=off`.
pub fn gpu() -> Option<&'static Gpu> {
    static GPU: OnceLock<Option<Gpu>> = OnceLock::new();
    GPU.get_or_init(|| {
        if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
            eprintln!("NIN_TEST_GPU=off: GPU tests run on the CPU reference alone");
            return None;
        }
        validation::listen();
        let gpu = Gpu::open(&adapters::adapters(), "adapter", |_, _| true).expect(
            "GPU tests need a Vulkan, Metal or DX12 adapter (./scripts/setup installs a software one); NIN_TEST_GPU=off leaves them out",
        );
        eprintln!("adapter: {}", gpu.description());
        Some(gpu)
    })
    .as_ref()
}

/// The adapters that tests may use.
pub fn adapters() -> nin_wgpu::gpu::AdapterFilter {
    adapters::adapters()
}

/// The same adapter with bindings no larger than WebGPU promises.
pub fn gpu_at_default_limits() -> Option<Gpu> {
    let wanted = gpu()?.description();
    let opened =
        Gpu::open_at_default_limits(&adapters::adapters(), "adapter", |_, found| found == wanted);
    Some(opened.expect("opens"))
}

/// Writes a case's inputs.
pub fn write(runtime: &mut dyn Runtime, case: &Case) {
    for (id, data) in &case.data {
        let data = match data {
            Data::F32(data) => data.as_slice().into(),
            Data::U32(data) => data.as_slice().into(),
            Data::U8(data) => data.as_slice().into(),
        };
        runtime.write(*id, data).expect("the data fits the value");
    }
}

/// Results of a case on the CPU reference, in `T`.
pub fn on_reference<T: Real>(case: &Case) -> Vec<Vec<f64>> {
    let mut reference = Reference::<T>::new(case.graph.clone());
    write(&mut reference, case);
    reference.run().expect("the reference runs");
    case.results
        .iter()
        .map(|&(id, _)| match case.graph.value(id).dtype {
            DType::F32 => reference.real(id).iter().map(|x| x.to_f64()).collect(),
            _ => reference
                .read(id)
                .expect("readable")
                .iter()
                .map(|&x| x.into())
                .collect(),
        })
        .collect()
}

/// Results of a case on the adapter.
pub fn on_gpu(gpu: &Gpu, case: &Case, conv2d: Conv2dAlgorithm) -> Vec<Vec<f64>> {
    let options = PlanOptions {
        conv2d: conv2d.into(),
        ..gpu.plan_options()
    };
    let plan = Plan::new(case.graph.clone(), &options).expect("the case fits the device");
    run_plan(gpu, case, plan)
}

/// Results of a case by a plan of it.
pub fn run_plan(gpu: &Gpu, case: &Case, plan: Plan) -> Vec<Vec<f64>> {
    let mut executor = Executor::new(gpu, plan).expect("the plan loads");
    write(&mut executor, case);
    executor.run().expect("the plan runs");
    results(&mut executor, case)
}

/// Reads a case's results back.
pub fn results(runtime: &mut dyn Runtime, case: &Case) -> Vec<Vec<f64>> {
    case.results
        .iter()
        .map(|&(id, _)| {
            runtime
                .read(id)
                .expect("readable")
                .iter()
                .map(|&x| x.into())
                .collect()
        })
        .collect()
}

/// Panics if `got` is not `want` within the case's tolerances.
pub fn assert_agreement(case: &Case, by: &str, got: &[Vec<f64>], want: &[Vec<f64>]) {
    if let Some(wrong) = disagreement(case, by, got, want) {
        panic!("{wrong}");
    }
}

/// The first element of `got` that is not `want` within the case's tolerances, in words.
pub fn disagreement(case: &Case, by: &str, got: &[Vec<f64>], want: &[Vec<f64>]) -> Option<String> {
    for (((id, tolerance), got), want) in case.results.iter().zip(got).zip(want) {
        let name = &case.graph.value(*id).name;
        if got.len() != want.len() {
            let (got, want) = (got.len(), want.len());
            return Some(format!(
                "{}: {name} on {by} has {got} elements, expected {want}",
                case.name
            ));
        }
        let largest = want.iter().fold(0f64, |most, x| most.max(x.abs()));
        let allowed = tolerance.relative * largest + tolerance.absolute;
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let off = (got - want).abs();
            if !(off <= allowed || (got.is_nan() && want.is_nan())) {
                return Some(format!(
                    "{}: {name}[{i}] on {by} is {got}, expected {want} (off by {off:e}, allowed {allowed:e})",
                    case.name
                ));
            }
        }
    }
    None
}
