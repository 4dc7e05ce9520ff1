//! A network in burn, on its wgpu backend.

mod nin;
mod resnet;
mod tensors;
#[path = "../../turns.rs"]
mod turns;

use anyhow::{Context, Result};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer};
use burn::prelude::*;
use burn::tensor::TensorData;
use clap::Parser;
use safetensors::SafeTensors;
use turns::{LEARNING_RATE, Peer, Task, locked_version, size, take_turns};

use nin::Nin;
use resnet::ResNet;
use tensors::read;

/// One of the networks.
#[derive(Module, Debug)]
enum Network {
    Nin(Nin),
    ResNet(ResNet),
}

impl Network {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        match self {
            Self::Nin(net) => net.forward(images),
            Self::ResNet(net) => net.forward(images),
        }
    }
}

struct Forward {
    net: Network,
    images: Tensor<4>,
    device: Device,
    logits: Option<TensorData>,
}

impl Peer for Forward {
    fn run(&mut self) -> Result<()> {
        self.logits = Some(self.net.forward(self.images.clone()).into_data());
        self.device.sync().context("the device failed")
    }

    fn values(&mut self) -> Result<Vec<f32>> {
        floats(self.logits.clone().context("no run yet")?)
    }
}

struct Train {
    device: Device,
    net: Option<Network>,
    optimizer: ModuleOptimizer,
    images: Tensor<4>,
    labels: Tensor<1, Int>,
    last: Option<(Tensor<2>, TensorData)>,
}

impl Peer for Train {
    fn run(&mut self) -> Result<()> {
        let net = self.net.take().context("the step before failed")?;
        let logits = net.forward(self.images.clone());
        let loss = CrossEntropyLossConfig::new()
            .init(&self.device)
            .forward(logits.clone(), self.labels.clone());
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        self.net = Some(self.optimizer.step(LEARNING_RATE, net, gradients));
        self.last = Some((logits.detach(), loss.into_data()));
        // The loss is there before the update is done.
        self.device.sync().context("the device failed")
    }

    fn values(&mut self) -> Result<Vec<f32>> {
        let (logits, loss) = self.last.clone().context("no run yet")?;
        let mut values = floats(logits.into_data())?;
        values.extend(floats(loss)?);
        Ok(values)
    }
}

fn floats(data: TensorData) -> Result<Vec<f32>> {
    data.try_to_vec::<f32>()
        .map_err(|e| anyhow::anyhow!("no 32-bit floats: {e:?}"))
}

/// `software`, `gpu` (burn's own choice) or `gpu:N`, its N-th discrete GPU.
fn device(name: &str) -> Result<Device> {
    let kind = match name {
        "software" => DeviceKind::Cpu,
        "gpu" => DeviceKind::DefaultDevice,
        _ => {
            let index = name.strip_prefix("gpu:").and_then(|n| n.parse().ok());
            let index = index
                .with_context(|| format!("unknown device `{name}`; use software, gpu or gpu:N"))?;
            DeviceKind::DiscreteGpu(index)
        }
    };
    Ok(Device::wgpu(kind))
}

fn main() -> Result<()> {
    let task = Task::parse();
    let mut device = device(&task.device)?;
    if task.train {
        device = device.autodiff();
    }
    let weights = std::fs::read(&task.weights)?;
    let weights = SafeTensors::deserialize(&weights)?;
    let batch = std::fs::read(&task.images)?;
    let batch = SafeTensors::deserialize(&batch)?;
    let net = match task.model.as_str() {
        "nin" => Network::Nin(Nin::new(&device, &weights)?),
        "resnet18" => Network::ResNet(ResNet::new(&device, &weights)?),
        other => anyhow::bail!("no `{other}` here"),
    };
    let [height, width] = size(&task.model);
    let images = read(&batch, "images", [task.batch, 1, height, width])?;
    let images = Tensor::from_data(images, &device);
    let labels = read(&batch, "labels", [task.batch])?;
    let labels = Tensor::<1>::from_data(labels, &device).int();

    let identity = device.identity().context("burn names no adapter")?;
    let version = locked_version(include_str!("../Cargo.lock"), "burn")?;
    let shaders = if cfg!(feature = "spirv") {
        "SPIR-V"
    } else {
        "WGSL"
    };
    let name = format!("burn, {shaders}");
    if task.train {
        let train = Train {
            net: Some(net),
            optimizer: AdamConfig::new().with_epsilon(1e-8).init(),
            images,
            labels,
            last: None,
            device,
        };
        take_turns(&name, version, &identity.name, &task, train)
    } else {
        let forward = Forward {
            net,
            images,
            device,
            logits: None,
        };
        take_turns(&name, version, &identity.name, &task, forward)
    }
}
