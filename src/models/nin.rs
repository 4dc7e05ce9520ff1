//! Network in Network: mlpconv blocks, max pools, and global average pooling instead of a dense head.
//!
//! Source: Lin, Chen, Yan, arXiv:1312.4400. Layers are named as in PyTorch's
//! `self.conv = Sequential(block, pool, [dropout,] block, …)`: `conv.0.0`, `conv.0.2`, `conv.0.4`, `conv.2.0`, …

use super::{Builder, Form, Model, Recipe, Schedule, block};
use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Adam, Conv2d, Optimizer, Pool2d};

/// Output channels of a convolution.
#[derive(Clone, Copy, Debug)]
enum Width {
    Channels(usize),
    Classes,
}
use Width::{Channels, Classes};

/// An mlpconv block: a convolution and two 1x1 convolutions, each with ReLU.
#[derive(Debug)]
struct Block {
    filter: usize,
    stride: usize,
    pad: usize,
    widths: [Width; 3],
    /// Whether a max pool, and dropout if the network has it, lie before it.
    pooled: bool,
}

impl Block {
    const fn new(filter: usize, stride: usize, pad: usize, widths: [Width; 3]) -> Self {
        Self {
            filter,
            stride,
            pad,
            widths,
            pooled: true,
        }
    }

    /// At the size of the block before.
    const fn unpooled(self) -> Self {
        Self {
            pooled: false,
            ..self
        }
    }
}

/// Blocks; in front of those that are pooled, but the first, a pool, and dropout if it has a probability.
fn nin(
    net: &mut GraphBuilder,
    images: ValueId,
    classes: usize,
    blocks: &[Block],
    dropout: Option<f32>,
    form: Form,
) -> Result<ValueId, GraphError> {
    let maps = maps(net, images, classes, blocks, dropout, form)?;
    net.global_avg_pool(maps)
}

/// All of it but the head: the maps `[N,classes,h,w]` of each class.
fn maps(
    net: &mut GraphBuilder,
    images: ValueId,
    classes: usize,
    blocks: &[Block],
    dropout: Option<f32>,
    form: Form,
) -> Result<ValueId, GraphError> {
    let mut x = images;
    let mut position = 0;
    for (i, mlpconv) in blocks.iter().enumerate() {
        if i > 0 && mlpconv.pooled {
            x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
            position += 1;
            if let Some(p) = dropout {
                x = form.dropout(net, x, p)?;
                position += 1;
            }
        }
        for (j, width) in mlpconv.widths.iter().enumerate() {
            let k = match *width {
                Channels(k) => form.channels(k),
                Classes => classes,
            };
            let conv = match j {
                0 => Conv2d::new(mlpconv.filter, mlpconv.stride, mlpconv.pad)?,
                _ => Conv2d::new(1, 1, 0)?,
            };
            let first = form.layers() * j;
            let names = [first, first + 1].map(|layer| format!("conv.{position}.{layer}"));
            x = block(net, names.each_ref().map(String::as_str), x, k, conv, form)?;
        }
        position += 1;
    }
    Ok(x)
}

/// The tutorial network at 224x224: 1,992,166 parameters for one channel and ten classes.
pub(super) const NIN: Model = Model {
    name: "nin",
    summary: "11x11/4 96, 5x5 256, 3x3 384, 3x3 classes at 224x224",
    size: Some([224, 224]),
    native_size: [224, 224],
    recipe: Recipe {
        batch_size: 16,
        epochs: 3,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 3e-4,
        warmup_steps: 30,
        schedule: Schedule::Constant,
    },
    form: Form::PLAIN,
    network: Builder::Preset(|net, images, classes, form| {
        nin(
            net,
            images,
            classes,
            &[
                Block::new(11, 4, 2, [Channels(96); 3]),
                Block::new(5, 1, 2, [Channels(256); 3]),
                Block::new(3, 1, 1, [Channels(384); 3]),
                Block::new(3, 1, 1, [Classes; 3]),
            ],
            None,
            form,
        )
    }),
};

/// The blocks of the paper's CIFAR network, section 4.2.
const PAPER: [Block; 3] = [
    Block::new(5, 1, 2, [Channels(192), Channels(160), Channels(96)]),
    Block::new(5, 1, 2, [Channels(192); 3]),
    Block::new(3, 1, 1, [Channels(192), Channels(192), Classes]),
];

/// The paper's CIFAR network, section 4.2.
pub(super) const NIN_PAPER: Model = Model {
    name: "nin-paper",
    summary: "the paper's: 5x5 192-160-96, 5x5 192-192-192, 3x3 192-192-classes, dropout, at the data's size",
    size: None,
    native_size: [32, 32],
    recipe: Recipe {
        batch_size: 128,
        epochs: 30,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 1e-3,
        warmup_steps: 100,
        schedule: Schedule::Cosine,
    },
    form: Form::PLAIN,
    network: Builder::Preset(|net, images, classes, form| {
        nin(net, images, classes, &PAPER, Some(0.5), form)
    }),
};

/// Small enough for a machine without a GPU.
pub(super) const NIN_SMALL: Model = Model {
    name: "nin-small",
    summary: "5x5/2 32, 3x3 64, 3x3 classes at the data's size: a few minutes on two CPU cores",
    size: None,
    native_size: [28, 28],
    recipe: Recipe {
        batch_size: 32,
        epochs: 8,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 2e-3,
        warmup_steps: 30,
        schedule: Schedule::Cosine,
    },
    form: Form::PLAIN,
    network: Builder::Preset(|net, images, classes, form| {
        nin(
            net,
            images,
            classes,
            &[
                Block::new(5, 2, 2, [Channels(32); 3]),
                Block::new(3, 1, 1, [Channels(64); 3]),
                Block::new(3, 1, 1, [Classes; 3]),
            ],
            None,
            form,
        )
    }),
};

/// Fine maps of its classes: each pixel of the 13x13 at 28x28 sees 15x15 pixels of the image and no more, so what is hot
/// lies where the evidence is.
pub(super) const NIN_FINE: Model = Model {
    name: "nin-fine",
    summary: "5x5 32, 3x3 64, 3x3 64-64-classes, one pool, at the data's size: fine heat maps",
    size: None,
    native_size: [28, 28],
    recipe: Recipe {
        batch_size: 64,
        epochs: 8,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 2e-3,
        warmup_steps: 100,
        schedule: Schedule::Cosine,
    },
    form: Form::PLAIN,
    network: Builder::Preset(|net, images, classes, form| {
        nin(
            net,
            images,
            classes,
            &[
                Block::new(5, 1, 2, [Channels(32); 3]),
                Block::new(3, 1, 1, [Channels(64); 3]),
                Block::new(3, 1, 1, [Channels(64), Channels(64), Classes]).unpooled(),
            ],
            None,
            form,
        )
    }),
};

/// The paper's network with a dense layer in place of global average pooling: what section 4.6 compares it with.
pub(super) const NIN_DENSE: Model = Model {
    name: "nin-dense",
    summary: "nin-paper with dropout and a dense layer in place of global average pooling, to compare",
    network: Builder::Preset(|net, images, classes, form| {
        let x = maps(net, images, classes, &PAPER, Some(0.5), form)?;
        let x = net.flatten(x)?;
        let x = form.dropout(net, x, 0.5)?;
        net.linear("fc", x, classes)
    }),
    ..NIN_PAPER
};
