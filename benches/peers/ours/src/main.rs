//! A network in this project, as the peers run it.

#[path = "../../../../examples/common/adapters.rs"]
mod adapters;
#[path = "../../turns.rs"]
mod turns;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nin_wgpu::checkpoint;
use nin_wgpu::device::Device;
use nin_wgpu::models::{Form, Model};
use nin_wgpu::ops::Adam;
use nin_wgpu::program::{Parameters, Program, Run, Source};
use turns::{LEARNING_RATE, Peer, Task, locked_version, size, take_turns};

const CLASSES: usize = 10;

struct Ours {
    run: Run,
    indices: Vec<u32>,
    train: bool,
    step: u64,
    loss: Option<f64>,
}

impl Peer for Ours {
    fn run(&mut self) -> Result<()> {
        if self.train {
            self.step += 1;
            let metrics = self
                .run
                .train_step(&self.indices, LEARNING_RATE, self.step)?;
            self.loss = Some(metrics.loss());
        } else {
            self.run.probabilities(&self.indices)?;
        }
        Ok(())
    }

    fn values(&mut self) -> Result<Vec<f32>> {
        let mut values = self.run.logits()?.data;
        values.extend(self.loss.map(|loss| loss as f32));
        Ok(values)
    }
}

/// The first `len` numbers of a tensor.
fn first<'a>(tensors: &'a Parameters, name: &str, len: usize) -> Result<&'a [f32]> {
    let (_, tensor) = tensors
        .iter()
        .find(|(n, _)| n == name)
        .with_context(|| format!("--images has no tensor `{name}`"))?;
    let got = tensor.data.len();
    ensure!(
        got >= len,
        "--images: `{name}` has {got} numbers, a batch needs {len}"
    );
    Ok(&tensor.data[..len])
}

fn main() -> Result<()> {
    let task = Task::parse();
    let device = Device::open_among(&adapters::adapters(), task.device.parse()?)?;
    let model = Model::find(&task.model)?;
    let model = model.with_form(Form {
        dropout: Some(0.0),
        ..model.form
    })?;
    let size = size(&task.model);
    let source = Source::new(task.batch, [1, size[0], size[1]]);
    let program = if task.train {
        Program::training(&source, size, task.batch, Adam::default(), |net, x| {
            model.build(net, x, CLASSES)
        })?
    } else {
        Program::inference(&source, size, task.batch, |net, x| {
            model.build(net, x, CLASSES)
        })?
    };
    let (parameters, _) = checkpoint::load(&task.weights)?;
    checkpoint::check(&task.weights, &parameters, program.graph())?;
    let (batch, _) = checkpoint::load(&task.images)?;
    let pixels = first(&batch, "images", task.batch * size[0] * size[1])?;
    let pixels: Vec<u8> = pixels.iter().map(|x| (255.0 * x).round() as u8).collect();
    let labels = first(&batch, "labels", task.batch)?;
    let labels: Vec<u16> = labels.iter().map(|&label| label as u16).collect();

    let mut run = program.load(&device)?;
    run.set_parameters(&parameters)?;
    run.set_data(&pixels, &labels)?;
    let ours = Ours {
        run,
        indices: (0..task.batch as u32).collect(),
        train: task.train,
        step: 0,
        loss: None,
    };
    let version = locked_version(include_str!("../Cargo.lock"), "nin-wgpu")?;
    take_turns("nin-wgpu", version, &device.to_string(), &task, ours)
}
