//! AlexNet in one tower (Krizhevsky, arXiv:1404.5997), layers named as in torchvision: `features.0`, …, `classifier.6`.

use super::{Builder, Form, Model, Recipe, Schedule, dense_head, features};
use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Adam, Optimizer, Pool2d};

/// Output channels; filter, stride and padding of each convolution; whether a pool follows.
const LAYERS: [(usize, [usize; 3], bool); 5] = [
    (64, [11, 4, 2], true),
    (192, [5, 1, 2], true),
    (384, [3, 1, 1], false),
    (256, [3, 1, 1], false),
    (256, [3, 1, 1], true),
];

fn alexnet(
    net: &mut GraphBuilder,
    images: ValueId,
    classes: usize,
    form: Form,
) -> Result<ValueId, GraphError> {
    let x = features(net, images, &LAYERS, Pool2d::new(3, 2)?, form)?;
    dense_head(
        net,
        x,
        6,
        classes,
        ["classifier.1", "classifier.4", "classifier.6"],
        true,
        form,
    )
}

/// 61,100,840 parameters for three channels and a thousand classes at 224x224.
pub(super) const ALEXNET: Model = Model {
    name: "alexnet",
    summary: "AlexNet: 11x11/4 64, 5x5 192, 3x3 384-256-256, dense 4096-4096-classes with dropout, from 63x63 on",
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
    network: Builder::Preset(alexnet),
};
