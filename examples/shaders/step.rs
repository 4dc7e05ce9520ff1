//! A training step as data: what another implementation of WebGPU needs to run it, and what must come out.
//!
//! `step.json` names the kernels, the sizes of the buffers, the dispatches, and which bytes of `step.bin` (f32, u32 or
//! u8, little-endian) are written before the step and expected after it. The expected ones are of the CPU reference.

use std::path::Path;

use anyhow::{Context, Result};
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::graph::{Graph, GraphBuilder, GraphError, Role, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::ops::{Activation, Adam, Augment, Conv2d, Pool2d};
use nin_wgpu::output;
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanOptions, Region};
use nin_wgpu::program::{Program, Source};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;
use nin_wgpu::tensor::HostSlice;
use serde_json::{Value, json};

use crate::translate::{Kind, Shader, bindings};

const BATCH: u32 = 4;
const LEARNING_RATE: f64 = 1e-3;
/// The whole images of the data set.
const SIZE: [usize; 2] = [20, 20];

/// Bytes one after another, each part at a multiple of four.
#[derive(Default)]
struct Store(Vec<u8>);

impl Store {
    /// Appends `data`, filled up with zeros; returns its first byte and length.
    fn add(&mut self, data: &[u8]) -> [usize; 2] {
        let start = self.0.len();
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        [start, self.0.len() - start]
    }
}

/// Host data of a value of the graph.
enum Data {
    F32(Vec<f32>),
    U32(Vec<u32>),
    U8(Vec<u8>),
}

impl Data {
    fn slice(&self) -> HostSlice<'_> {
        match self {
            Self::F32(data) => data.as_slice().into(),
            Self::U32(data) => data.as_slice().into(),
            Self::U8(data) => data.as_slice().into(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(data) => data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U32(data) => data.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Self::U8(data) => data.clone(),
        }
    }
}

/// Every op that a network may be made of, in few layers and at odd sizes; a ReLU that nothing takes in among them.
fn network(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("conv1", x, 24, Conv2d::new(5, 1, 2)?)?;
    let x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("conv2", x, 36, Conv2d::new(1, 1, 0)?)?;
    let x = net.relu(x)?;
    let x = net.dropout(x, 0.3)?;
    let wide = Pool2d::rectangular([2, 3], [1, 1])?.with_dilation([1, 2])?;
    let x = net.max_pool2d(x, wide)?;
    let mut x = net.avg_pool2d(x, Pool2d::new(2, 1)?)?;
    for activation in Activation::ALL {
        x = net.activation(x, activation)?;
    }
    let x = net.conv2d("conv3", x, 20, Conv2d::new(3, 2, 1)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("conv4", x, 10, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

/// Writes the first training step of a small network, planned with each algorithm for its convolutions: a folder in
/// `folder` for each. Returns how many.
///
/// # Errors
/// If a file cannot be written.
pub(crate) fn write(folder: &Path) -> Result<usize> {
    let data = Synthetic {
        shape: [1, SIZE[0], SIZE[1]],
        train: 2 * BATCH as usize,
        ..Synthetic::default()
    };
    let data = data.generate()?.train;
    let augment = Augment {
        crop: 2,
        flip: true,
        ..Augment::NONE
    };
    let source = Source::new(data.len(), [1, SIZE[0], SIZE[1]]).with_augment(augment);
    let batch = BATCH as usize;
    let program = Program::training(&source, SIZE, batch, Adam::default(), network)?;
    let graph = program.graph();
    let labels = data.labels().into_iter().map(u32::from);
    // Every second image of the data set, so that the order of the batch matters.
    let indices = (0..BATCH).map(|i| (2 * i + 1) % (2 * BATCH));
    let hyper = Adam::default().hyper(LEARNING_RATE, 1);
    let inputs = [
        ("data.images", Data::U8(data.images()?)),
        ("data.labels", Data::U32(labels.collect())),
        ("indices", Data::U32(indices.collect())),
        ("hyper", Data::F32(hyper.to_vec())),
        ("random", Data::U32(vec![1, 1, 0])),
    ];
    let mut writes: Vec<(ValueId, Data)> = inputs
        .into_iter()
        .filter_map(|(name, data)| Some((graph.find(name)?, data)))
        .collect();
    for (name, tensor) in Init::Kaiming.parameters(graph, 1)? {
        let id = graph.find(&name);
        writes.extend(id.map(|id| (id, Data::F32(tensor.data))));
    }
    let results = results(graph, &writes)?;
    for algorithm in Conv2dAlgorithm::ALL {
        let options = PlanOptions {
            conv2d: algorithm.into(),
            ..PlanOptions::SOFTWARE
        };
        let plan = Plan::new(graph.clone(), &options)?;
        let name = algorithm.to_string();
        let folder = folder.join(name.replace([' ', '/'], "-"));
        save(&folder, &name, &plan, &writes, &results)?;
    }
    Ok(Conv2dAlgorithm::ALL.len())
}

/// Runs the step on the CPU: all values that outlive it.
fn results(graph: &Graph, writes: &[(ValueId, Data)]) -> Result<Vec<(ValueId, Vec<f32>)>> {
    let mut reference = Reference::<f32>::new(graph.clone());
    for (id, data) in writes {
        reference.write(*id, data.slice())?;
    }
    reference.run()?;
    let kept = |id: &ValueId| !matches!(graph.value(*id).role, Role::Input | Role::Activation);
    let ids = graph.ids().filter(kept);
    ids.map(|id| Ok((id, reference.read(id)?))).collect()
}

fn save(
    folder: &Path,
    name: &str,
    plan: &Plan,
    writes: &[(ValueId, Data)],
    results: &[(ValueId, Vec<f32>)],
) -> Result<()> {
    let mut store = Store::default();
    let place = |region: Region| Some((plan.slot_of(region.buffer)?.index(), region.offset));
    let mut written = Vec::new();
    for buffer in plan.buffers() {
        if let Some(words) = &buffer.contents {
            let data = store.add(&Data::U32(words.clone()).bytes());
            written.push(json!({ "slot": buffer.slot.index(), "offset": 0, "data": data }));
        }
    }
    for (id, data) in writes {
        if let Some((slot, offset)) = plan.region(*id).and_then(place) {
            let data = store.add(&data.bytes());
            written.push(json!({ "slot": slot, "offset": offset, "data": data }));
        }
    }
    let mut expected = Vec::new();
    for (id, data) in results {
        if let Some((slot, offset)) = plan.region(*id).and_then(place) {
            let before = writes.iter().find(|(written, _)| written == id);
            let before = before.map(|(_, before)| store.add(&before.bytes()));
            let data = store.add(&Data::F32(data.clone()).bytes());
            let name = &plan.graph().value(*id).name;
            expected.push(json!({
                "name": name, "slot": slot, "offset": offset, "before": before, "data": data,
            }));
        }
    }
    let mut shaders: Vec<Shader> = Vec::new();
    let mut dispatches = Vec::new();
    for dispatch in plan.dispatches() {
        let same = |shader: &Shader| {
            (shader.kernel, shader.variant) == (dispatch.kernel, dispatch.variant)
        };
        let kernel = match shaders.iter().position(same) {
            Some(kernel) => kernel,
            None => {
                shaders.push(Shader::new(dispatch.kernel, dispatch.variant)?);
                shaders.len() - 1
            }
        };
        let bindings: Vec<_> = dispatch
            .bindings
            .iter()
            .filter_map(|&region| Some((place(region)?.0, region.offset, region.bytes)))
            .collect();
        dispatches.push(json!({
            "kernel": kernel,
            "uniform": dispatch.uniform,
            "bindings": bindings,
            "workgroups": dispatch.workgroups,
        }));
    }
    let slots: Vec<_> = plan.slots().iter().map(|slot| slot.bytes).collect();
    let step = json!({
        "name": name,
        "kernels": shaders.iter().map(kernel).collect::<Vec<_>>(),
        "slots": slots,
        "writes": written,
        "dispatches": dispatches,
        "results": expected,
    });
    std::fs::create_dir_all(folder)
        .with_context(|| format!("--step: cannot make {}", folder.display()))?;
    for (file, bytes) in [
        ("step.bin", store.0),
        ("step.json", serde_json::to_vec_pretty(&step)?),
    ] {
        output::write_whole(&folder.join(file), &bytes).context("--step")?;
    }
    Ok(())
}

fn kernel(shader: &Shader) -> Value {
    let kinds = bindings(shader.kernel).map(|(_, kind)| match kind {
        Kind::Uniform => "uniform",
        Kind::Read => "read-only-storage",
        Kind::Write => "storage",
    });
    json!({
        "name": shader.name(),
        "entry": shader.kernel.entry,
        "bindings": kinds.collect::<Vec<_>>(),
        "wgsl": shader.wgsl,
    })
}
