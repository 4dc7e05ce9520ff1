//! The networks that the self-test takes apart: together they hold every op and every fusion, at odd sizes.

use super::Result;
use super::case::{Case, Start};
use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Activation, Adam, Augment, Conv2d, Linear, Pool2d};
use crate::program::{Loss, Program, Source, Training};

/// Images of the data set, and of a batch.
pub(super) const IMAGES: [usize; 2] = [7, 5];

/// Everything that can be fused is: ReLUs, their masks and the head. Its convolutions have more rows and columns than the
/// largest tile, and a first filter gradient in two parts.
fn fused(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("wide", x, 20, Conv2d::new(3, 2, 1)?)?;
    let x = net.relu(x)?;
    let x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
    let x = net.conv2d("deep", x, 136, Conv2d::new(3, 1, 1)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("last", x, 10, Conv2d::new(1, 1, 0)?)?;
    let x = net.relu(x)?;
    net.global_avg_pool(x)
}

/// Every activation, and nothing that can be fused: each ReLU stands behind an op that takes none.
fn apart(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("first", x, 6, Conv2d::new(5, 1, 2)?)?;
    let x = net.max_pool2d(x, Pool2d::new(3, 2)?.with_pad(1)?)?;
    let x = net.relu(x)?;
    let x = net.dropout(x, 0.3)?;
    let wide = Pool2d::rectangular([2, 3], [1, 1])?.with_dilation([1, 2])?;
    let x = net.max_pool2d(x, wide.with_padding([1, 1])?)?;
    let mut x = net.avg_pool2d(
        x,
        Pool2d::rectangular([2, 3], [1, 1])?.with_padding([1, 1])?,
    )?;
    for activation in Activation::ALL {
        x = net.activation(x, activation)?;
    }
    let x = net.conv2d("second", x, 10, Conv2d::new(1, 1, 0)?)?;
    let x = net.global_avg_pool(x)?;
    net.relu(x)
}

/// Branches and joins: sums with a ReLU, a mask or nothing behind them, and a concatenation; linear layers behind it.
fn branches(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("stem", x, 6, Conv2d::new(3, 2, 1)?)?;
    let x = net.relu(x)?;
    let y = net.conv2d("block", x, 6, Conv2d::new(3, 1, 1)?)?;
    let y = net.add(x, y)?;
    let y = net.relu(y)?;
    let z = net.conv2d("beside", x, 5, Conv2d::new(1, 1, 0)?)?;
    let y = net.concat(&[y, z])?;
    let y = net.flatten(y)?;
    let y = net.linear("dense", y, 21)?;
    let y = net.relu(y)?;
    let y = net.linear_by("logits", y, 10, Linear::default().without_bias())?;
    net.add(y, y)
}

/// Every node of these networks, and their training steps whole.
pub(super) fn cases() -> Result<Vec<Case>> {
    let [images, batch] = IMAGES;
    let source = Source::new(images, [3, 31, 29]);
    let augment = Augment {
        crop: 2,
        flip: true,
        ..Augment::NONE
    };
    let augmented = source.clone().with_augment(augment);
    let resized = source.clone().with_augment(augment.of_parts());
    let adam = Adam::default();
    let squared = Training {
        optimizer: adam,
        loss: Loss::MeanSquaredError,
    };
    let steps = [
        Program::training(&source, [31, 29], batch, adam, fused)?,
        Program::training(&augmented, [17, 14], batch, adam, apart)?,
        Program::training(&source, [17, 14], batch, squared, branches)?,
        Program::training_in_parts(&resized, [17, 14], [batch, 2], adam, apart)?,
    ];
    let inference = Program::inference(&source, [31, 29], batch, fused)?;
    let mut cases = Vec::new();
    for program in steps.iter().chain([&inference]) {
        cases.extend(Start::new(program.graph())?.nodes()?);
    }
    for step in &steps {
        cases.push(Start::new(step.graph())?.whole("training step")?);
    }
    Ok(cases)
}
