//! ResNet-18 (He et al., arXiv:1512.03385), layers named as in torchvision: `conv1`, `bn1`, `layer1.0.conv1`, …, `fc`.
//!
//! Small pictures, under 64 pixels, get the stem of the paper's own networks for CIFAR: a 3x3 convolution and no pool.

use super::{Builder, Form, Model, Recipe, Schedule};
use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Adam, Conv2d, Optimizer, Pool2d};

/// Side from which on pictures get the stem for large ones.
const LARGE: usize = 64;

/// A convolution without bias and batch norm behind it.
fn normed(
    net: &mut GraphBuilder,
    [conv, norm]: [&str; 2],
    x: ValueId,
    k: usize,
    [filter, stride, pad]: [usize; 3],
) -> Result<ValueId, GraphError> {
    let x = net.conv2d(conv, x, k, Conv2d::new(filter, stride, pad)?.without_bias())?;
    net.batch_norm(norm, x)
}

/// Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where the shape changes.
fn basic_block(
    net: &mut GraphBuilder,
    name: &str,
    x: ValueId,
    k: usize,
    stride: usize,
) -> Result<ValueId, GraphError> {
    let part = |part: &str| format!("{name}.{part}");
    let y = normed(net, [&part("conv1"), &part("bn1")], x, k, [3, stride, 1])?;
    let y = net.relu(y)?;
    let y = normed(net, [&part("conv2"), &part("bn2")], y, k, [3, 1, 1])?;
    let channels = net.graph().value(x).shape.dims()[1];
    let shortcut = if stride == 1 && channels == k {
        x
    } else {
        let names = [&part("downsample.0"), &part("downsample.1")];
        normed(net, names.map(String::as_str), x, k, [1, stride, 0])?
    };
    let y = net.add(y, shortcut)?;
    net.relu(y)
}

fn resnet18(
    net: &mut GraphBuilder,
    images: ValueId,
    classes: usize,
    form: Form,
) -> Result<ValueId, GraphError> {
    let sides = &net.graph().value(images).shape.dims()[2..];
    let is_large = sides.iter().all(|&side| side >= LARGE);
    let stem = if is_large { [7, 2, 3] } else { [3, 1, 1] };
    let x = normed(net, ["conv1", "bn1"], images, form.channels(64), stem)?;
    let mut x = net.relu(x)?;
    if is_large {
        x = net.max_pool2d(x, Pool2d::new(3, 2)?.with_pad(1)?)?;
    }
    for (layer, k) in (1..).zip([64, 128, 256, 512]) {
        let stride = if layer == 1 { 1 } else { 2 };
        let k = form.channels(k);
        x = basic_block(net, &format!("layer{layer}.0"), x, k, stride)?;
        x = basic_block(net, &format!("layer{layer}.1"), x, k, 1)?;
    }
    let x = net.global_avg_pool(x)?;
    net.linear("fc", x, classes)
}

/// 11,689,512 parameters for three channels and a thousand classes at 224x224.
pub(super) const RESNET18: Model = Model {
    name: "resnet18",
    summary: "ResNet-18 with batch norm: 3x3 64 to 512 in eight residual blocks; under 64x64 with the stem for CIFAR",
    size: None,
    native_size: [224, 224],
    recipe: Recipe {
        batch_size: 64,
        epochs: 5,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 1e-3,
        warmup_steps: 100,
        schedule: Schedule::Cosine,
    },
    form: Form::NORMED,
    network: Builder::Preset(resnet18),
};
