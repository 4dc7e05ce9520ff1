//! `nin` in meganeura, on the Vulkan adapter of its choice.

#[path = "../../turns.rs"]
mod turns;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use meganeura::{Graph, Mode, NodeId, Session, SessionConfig, build};
use safetensors::SafeTensors;
use turns::{LEARNING_RATE, Peer, Task, locked_version, size, take_turns};

const CLASSES: usize = 10;

/// Channels in and out, filter, stride and padding of each block's first convolution; the other two are 1x1.
const BLOCKS: [[u32; 5]; 4] = [
    [1, 96, 11, 4, 2],
    [96, 256, 5, 1, 2],
    [256, 384, 3, 1, 1],
    [384, CLASSES as u32, 3, 1, 1],
];

/// A parameter and how many numbers it has.
type Parameter = (String, usize);

/// Images -> logits, layer for layer as in `src/models/nin.rs`, and the parameters under PyTorch's names.
fn network(g: &mut Graph, batch: u32, side: u32) -> (NodeId, Vec<Parameter>) {
    let mut x = g.input("images", &[(batch * side * side) as usize]);
    let (mut side, mut parameters) = (side, Vec::new());
    for (i, [channels, maps, filter, stride, pad]) in BLOCKS.into_iter().enumerate() {
        if i > 0 {
            x = g.max_pool_2d(x, batch, channels, side, side, 3, 3, 2, 0);
            side = (side - 3) / 2 + 1;
        }
        for j in 0..3 {
            let (channels, filter, stride, pad) = match j {
                0 => (channels, filter, stride, pad),
                _ => (maps, 1, 1, 0),
            };
            let name = format!("conv.{}.{}", 2 * i, 2 * j);
            let mut parameter = |what: &str, len: u32| {
                let (name, len) = (format!("{name}.{what}"), len as usize);
                let node = g.parameter(&name, &[len]);
                parameters.push((name, len));
                node
            };
            let filters = parameter("weight", maps * channels * filter * filter);
            let bias = parameter("bias", maps);
            x = g.conv2d(
                x, filters, batch, channels, side, side, maps, filter, filter, stride, pad,
            );
            side = (side + 2 * pad - filter) / stride + 1;
            x = g.add_per_channel(x, bias, maps, side * side);
            x = g.relu(x);
        }
    }
    (
        g.global_avg_pool(x, batch, CLASSES as u32, side * side),
        parameters,
    )
}

struct Run {
    session: Session,
    logits: usize,
    trains: bool,
}

impl Peer for Run {
    fn run(&mut self) -> Result<()> {
        self.session.step();
        self.session.wait();
        Ok(())
    }

    fn values(&mut self) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.logits];
        self.session
            .read_output_by_index(usize::from(self.trains), &mut values);
        if self.trains {
            values.push(self.session.read_loss());
        }
        Ok(values)
    }
}

/// The first `len` numbers of a tensor of 32-bit floats.
fn read(file: &SafeTensors<'_>, name: &str, len: usize) -> Result<Vec<f32>> {
    let view = file.tensor(name).with_context(|| format!("no `{name}`"))?;
    let numbers = view.data().chunks_exact(4).take(len);
    let numbers: Vec<f32> = numbers
        .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect();
    let got = numbers.len();
    ensure!(got == len, "`{name}` has {got} numbers, {len} are needed");
    Ok(numbers)
}

fn main() -> Result<()> {
    let task = Task::parse();
    ensure!(task.model == "nin", "no `{}` here", task.model);
    let weights = std::fs::read(&task.weights)?;
    let weights = SafeTensors::deserialize(&weights)?;
    let batch = std::fs::read(&task.images)?;
    let batch = SafeTensors::deserialize(&batch)?;
    let [height, width] = size(&task.model);

    let mut graph = Graph::new();
    let (logits, parameters) = network(&mut graph, task.batch as u32, height as u32);
    if task.train {
        let labels = graph.input("labels", &[task.batch, CLASSES]);
        let loss = graph.cross_entropy_loss(logits, labels);
        graph.set_outputs(vec![loss, logits]);
    } else {
        graph.set_outputs(vec![logits]);
    }
    let config = SessionConfig {
        mode: match task.train {
            true => Mode::Training,
            false => Mode::Inference,
        },
        tune: true,
        ..SessionConfig::default()
    };
    let mut session = build(&graph, config).0;
    for (name, len) in &parameters {
        session.set_parameter(name, &read(&weights, name, *len)?);
    }
    session.set_input(
        "images",
        &read(&batch, "images", task.batch * height * width)?,
    );
    if task.train {
        let labels = read(&batch, "labels", task.batch)?;
        let mut one_hot = vec![0.0; task.batch * CLASSES];
        for (row, label) in one_hot.chunks_mut(CLASSES).zip(labels) {
            row[label as usize] = 1.0;
        }
        session.set_input("labels", &one_hot);
        session.set_adam(LEARNING_RATE as f32, 0.9, 0.999, 1e-8);
    }

    let version = locked_version(include_str!("../Cargo.lock"), "meganeura")?;
    let adapter = session.context().device_information().device_name.clone();
    let run = Run {
        session,
        logits: task.batch * CLASSES,
        trains: task.train,
    };
    take_turns("meganeura", version, &adapter, &task, run)
}
