//! LeNet-5: two convolutions with a pool each, and three dense layers (LeCun et al., Proceedings of the IEEE 86, 1998).
//!
//! With ReLU and max pools, as it is taught today; layers are named `conv1`, `conv2`, `fc1`, `fc2`, `fc3`.

use super::{Builder, Form, Model, Recipe, Schedule, block};
use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Adam, Conv2d, Optimizer, Pool2d};

fn lenet(
    net: &mut GraphBuilder,
    images: ValueId,
    classes: usize,
    form: Form,
) -> Result<ValueId, GraphError> {
    // Padded, so that 28x28 pictures leave 5x5 maps, as the paper's of 32x32 do.
    let x = block(
        net,
        ["conv1", "bn1"],
        images,
        form.channels(6),
        Conv2d::new(5, 1, 2)?,
        form,
    )?;
    let x = net.max_pool2d(x, Pool2d::new(2, 2)?)?;
    let x = block(
        net,
        ["conv2", "bn2"],
        x,
        form.channels(16),
        Conv2d::new(5, 1, 0)?,
        form,
    )?;
    let x = net.max_pool2d(x, Pool2d::new(2, 2)?)?;
    let mut x = net.flatten(x)?;
    for (name, k) in [("fc1", 120), ("fc2", 84)] {
        x = net.linear(name, x, form.channels(k))?;
        x = net.relu(x)?;
    }
    net.linear("fc3", x, classes)
}

/// 61,706 parameters at 28x28.
pub(super) const LENET: Model = Model {
    name: "lenet",
    summary: "LeNet-5: 5x5 6, 5x5 16, dense 120-84-classes, at the data's size",
    size: None,
    native_size: [32, 32],
    recipe: Recipe {
        batch_size: 64,
        epochs: 10,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 1e-3,
        warmup_steps: 30,
        schedule: Schedule::Cosine,
    },
    form: Form::PLAIN,
    network: Builder::Preset(lenet),
};
