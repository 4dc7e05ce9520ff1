//! ResNet-18 with the stem for small pictures, layer for layer as in `src/models/resnet.rs`.

use anyhow::Result;
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, Linear, LinearConfig, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::activation::relu;
use safetensors::SafeTensors;

use crate::tensors::read;

/// A convolution without bias and batch norm behind it.
#[derive(Module, Debug)]
struct Normed {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Normed {
    fn new(
        device: &Device,
        parameters: &SafeTensors<'_>,
        [conv, norm]: [&str; 2],
        [channels, maps]: [usize; 2],
        [filter, stride, pad]: [usize; 3],
    ) -> Result<Self> {
        let mut layer = Conv2dConfig::new([channels, maps], [filter, filter])
            .with_stride([stride, stride])
            .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
            .with_bias(false)
            .with_initializer(Initializer::Zeros)
            .init(device);
        let filters = read(
            parameters,
            &format!("{conv}.weight"),
            [maps, channels, filter, filter],
        )?;
        layer.weight = Param::from_data(filters, device);
        // Its defaults are PyTorch's: epsilon 1e-5, momentum 0.1, means 0 and variances 1.
        let mut normal = BatchNormConfig::new(maps).init(device);
        normal.gamma =
            Param::from_data(read(parameters, &format!("{norm}.weight"), [maps])?, device);
        normal.beta = Param::from_data(read(parameters, &format!("{norm}.bias"), [maps])?, device);
        Ok(Self {
            conv: layer,
            norm: normal,
        })
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.norm.forward(self.conv.forward(x))
    }
}

#[derive(Module, Debug)]
struct Block {
    first: Normed,
    second: Normed,
    shortcut: Option<Normed>,
}

impl Block {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = relu(self.first.forward(x.clone()));
        let y = self.second.forward(y);
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        relu(y + x)
    }
}

#[derive(Module, Debug)]
pub struct ResNet {
    stem: Normed,
    blocks: Vec<Block>,
    fc: Linear,
}

impl ResNet {
    /// With parameters under PyTorch's names.
    pub fn new(device: &Device, parameters: &SafeTensors<'_>) -> Result<Self> {
        let normed =
            |names: [&str; 2], maps, window| Normed::new(device, parameters, names, maps, window);
        let stem = normed(["conv1", "bn1"], [1, 64], [3, 1, 1])?;
        let mut blocks = Vec::new();
        let mut channels = 64;
        for (layer, maps) in (1..).zip([64, 128, 256, 512]) {
            for i in 0..2 {
                let stride = if i == 0 && layer > 1 { 2 } else { 1 };
                let name = |part: &str| format!("layer{layer}.{i}.{part}");
                let [conv1, bn1, conv2, bn2, down0, down1] = [
                    "conv1",
                    "bn1",
                    "conv2",
                    "bn2",
                    "downsample.0",
                    "downsample.1",
                ]
                .map(name);
                let first = normed([&conv1, &bn1], [channels, maps], [3, stride, 1])?;
                let second = normed([&conv2, &bn2], [maps, maps], [3, 1, 1])?;
                let shortcut = match stride {
                    1 => None,
                    _ => Some(normed([&down0, &down1], [channels, maps], [1, stride, 0])?),
                };
                blocks.push(Block {
                    first,
                    second,
                    shortcut,
                });
                channels = maps;
            }
        }
        let mut fc = LinearConfig::new(512, 10).init(device);
        // burn keeps a dense layer's weights as [in, out].
        let weight = Tensor::<2>::from_data(read(parameters, "fc.weight", [10, 512])?, device);
        fc.weight = Param::from_tensor(weight.transpose());
        fc.bias = Some(Param::from_data(read(parameters, "fc.bias", [10])?, device));
        Ok(Self { stem, blocks, fc })
    }

    /// Images `[N,1,32,32]` -> logits `[N,10]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = relu(self.stem.forward(images));
        for block in &self.blocks {
            x = block.forward(x);
        }
        let [n, channels, h, w] = x.dims();
        let x = x.reshape([n, channels, h * w]).mean_dim(2);
        self.fc.forward(x.reshape([n, channels]))
    }
}
