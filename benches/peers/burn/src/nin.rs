//! The network, layer for layer as in `src/models/nin.rs`.

use anyhow::Result;
use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Initializer, PaddingConfig2d};
use burn::prelude::*;
use burn::tensor::activation::relu;
use safetensors::SafeTensors;

use crate::tensors::read;

/// Channels in and out, filter, stride and padding of each block's first convolution; the other two are 1x1.
const BLOCKS: [(usize, usize, usize, usize, usize); 4] = [
    (1, 96, 11, 4, 2),
    (96, 256, 5, 1, 2),
    (256, 384, 3, 1, 1),
    (384, 10, 3, 1, 1),
];

#[derive(Module, Debug)]
pub struct Nin {
    convs: Vec<Conv2d>,
    pool: MaxPool2d,
}

impl Nin {
    /// With parameters under PyTorch's names.
    pub fn new(device: &Device, parameters: &SafeTensors<'_>) -> Result<Self> {
        let mut convs = Vec::new();
        for (i, (channels, maps, filter, stride, pad)) in BLOCKS.into_iter().enumerate() {
            for j in 0..3 {
                let (channels, filter, stride, pad) = match j {
                    0 => (channels, filter, stride, pad),
                    _ => (maps, 1, 1, 0),
                };
                let mut conv = Conv2dConfig::new([channels, maps], [filter, filter])
                    .with_stride([stride, stride])
                    .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
                    .with_initializer(Initializer::Zeros)
                    .init(device);
                let name = format!("conv.{}.{}", 2 * i, 2 * j);
                let shape = [maps, channels, filter, filter];
                let filters = read(parameters, &format!("{name}.weight"), shape)?;
                let bias = read(parameters, &format!("{name}.bias"), [maps])?;
                conv.weight = Param::from_data(filters, device);
                conv.bias = Some(Param::from_data(bias, device));
                convs.push(conv);
            }
        }
        let pool = MaxPool2dConfig::new([3, 3]).with_strides([2, 2]).init();
        Ok(Self { convs, pool })
    }

    /// Images `[N,1,224,224]` -> logits `[N,10]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let mut x = images;
        for (i, conv) in self.convs.iter().enumerate() {
            if i > 0 && i % 3 == 0 {
                x = self.pool.forward(x);
            }
            x = relu(conv.forward(x));
        }
        let [n, classes, h, w] = x.dims();
        x.reshape([n, classes, h * w])
            .mean_dim(2)
            .reshape([n, classes])
    }
}
