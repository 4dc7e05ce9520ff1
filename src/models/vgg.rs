//! VGG-11, configuration A (Simonyan and Zisserman, arXiv:1409.1556), layers named as in torchvision: `features.0`, …,
//! `classifier.6`; with batch norm they are those of torchvision's `vgg11_bn`.

use super::{Builder, Form, Model, Recipe, Schedule, dense_head, features};
use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Adam, Optimizer, Pool2d};

/// Output channels; filter, stride and padding of each convolution; whether a pool follows.
const LAYERS: [(usize, [usize; 3], bool); 8] = [
    (64, [3, 1, 1], true),
    (128, [3, 1, 1], true),
    (256, [3, 1, 1], false),
    (256, [3, 1, 1], true),
    (512, [3, 1, 1], false),
    (512, [3, 1, 1], true),
    (512, [3, 1, 1], false),
    (512, [3, 1, 1], true),
];

fn vgg11(
    net: &mut GraphBuilder,
    images: ValueId,
    classes: usize,
    form: Form,
) -> Result<ValueId, GraphError> {
    let x = features(net, images, &LAYERS, Pool2d::new(2, 2)?, form)?;
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
