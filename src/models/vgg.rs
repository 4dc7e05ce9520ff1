//! VGG-11, configuration A (Simonyan and Zisserman, arXiv:1409.1556), layers named as in torchvision: `features.0`, …,
//! `classifier.6`; with batch norm they are those of torchvision's `vgg11_bn`.

use super::{Builder, Form, Model, Recipe, Schedule, block, dense_head};
use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Adam, Conv2d, Optimizer, Pool2d};

/// Output channels of each 3x3 convolution, and whether a pool follows.
const LAYERS: [(usize, bool); 8] = [
    (64, true),
    (128, true),
    (256, false),
    (256, true),
    (512, false),
    (512, true),
    (512, false),
    (512, true),
];

fn vgg11(
    net: &mut GraphBuilder,
    images: ValueId,
    classes: usize,
    form: Form,
) -> Result<ValueId, GraphError> {
    let mut x = images;
    let mut position = 0;
    for (k, pooled) in LAYERS {
        let names = [0, 1].map(|i| format!("features.{}", position + i));
        let conv = Conv2d::new(3, 1, 1)?;
        x = block(
            net,
            names.each_ref().map(String::as_str),
            x,
            form.channels(k),
            conv,
            form,
        )?;
        position += form.layers();
        if pooled {
            x = net.max_pool2d(x, Pool2d::new(2, 2)?)?;
            position += 1;
        }
    }
    dense_head(
        net,
        x,
        7,
        classes,
        ["classifier.0", "classifier.3", "classifier.6"],
        false,
        form,
    )
}

/// 132,863,336 parameters for three channels and a thousand classes at 224x224.
pub(super) const VGG11: Model = Model {
    name: "vgg11",
    summary: "VGG-11: eight 3x3 layers 64 to 512, dense 4096-4096-classes with dropout, from 32x32 on",
    size: None,
    native_size: [224, 224],
    recipe: Recipe {
        batch_size: 64,
        epochs: 10,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 1e-4,
        warmup_steps: 100,
        schedule: Schedule::Cosine,
    },
    form: Form::PLAIN,
    network: Builder::Preset(vgg11),
};
