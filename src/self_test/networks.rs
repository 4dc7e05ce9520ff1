//! The networks that the self-test takes apart: together they hold every op and every fusion, at odd sizes.

use super::Result;
use super::case::{Case, Start};
use crate::graph::autodiff::backward;
use crate::graph::shape::{DType, Shape};
use crate::graph::{Graph, GraphBuilder, GraphError, Role, ValueId};
use crate::ops::{
    Activation, Adam, Augment, BatchNorm, BatchNormEval, Commit, Conv2d, Gate, GlobalAvgPool,
    Linear, LocalResponseNorm, OneHot, Optimizer, Pool2d, Relu, SoftTargetCrossEntropy,
    SoftmaxCrossEntropy,
};
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

/// 1x1 convolutions in a row, which may hand their sums on as they are.
fn pointwise(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let mut x = net.conv2d("wide", x, 64, Conv2d::new(3, 1, 0)?)?;
    for layer in ["first", "second"] {
        x = net.relu(x)?;
        x = net.conv2d(layer, x, 64, Conv2d::new(1, 1, 0)?)?;
    }
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

/// Branches and joins: sums with a ReLU, a mask or nothing behind them, and a concatenation; linear layers behind it, and a
/// convolution without bias.
fn branches(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("stem", x, 6, Conv2d::new(3, 2, 1)?)?;
    let x = net.relu(x)?;
    let y = net.conv2d("block", x, 6, Conv2d::new(3, 1, 1)?.without_bias())?;
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

/// Parameters for an optimizer.
fn small(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("first", x, 6, Conv2d::new(3, 2, 1)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("second", x, 10, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

/// Running statistics too.
fn small_normalized(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.conv2d("first", x, 6, Conv2d::new(3, 2, 1)?.without_bias())?;
    let x = net.batch_norm("norm", x)?;
    let x = net.relu(x)?;
    let x = net.conv2d("second", x, 10, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

/// Training steps that together hold every optimizer, each with parameters of two groups, on whole batches and in parts.
fn optimizers(source: &Source) -> Result<Vec<Program>> {
    let batch = IMAGES[1];
    let clipped = |training: Training| Training {
        clip_norm: Some(0.01),
        ema: Some(0.9),
        ..training
    };
    let mut steps = Vec::new();
    let mut add = |part: usize, training: Training| -> Result<()> {
        let sizes = [batch, part];
        let step = Program::training_in_parts(source, [17, 14], sizes, training, small)?;
        steps.push(step);
        Ok(())
    };
    // Adam moves the parameters of all other steps.
    let others = Optimizer::every_rule().into_iter();
    for optimizer in others.filter(|of| *of != Optimizer::default()) {
        let training = Training::from(optimizer);
        add(batch, training.clone())?;
        add(2, training.clone())?;
        add(2, clipped(training))?;
    }
    add(batch, clipped(Adam::default().into()))?;
    // Steps that may be skipped, with running statistics.
    let skipping = Training {
        skip_non_finite: true,
        ..clipped(Adam::default().into())
    };
    for part in [batch, 1] {
        let sizes = [batch, part];
        steps.push(Program::training_in_parts(
            source,
            [17, 14],
            sizes,
            skipping.clone(),
            small_normalized,
        )?);
    }
    Ok(steps)
}

/// Local response normalisation, and batch normalisation: with a ReLU, a shortcut or both behind it, and a mask; of few large channels, which are cut into chunks,
/// and in evaluation as part of a convolution and alone. No bias stands before one: its gradient is nothing but rounding.
fn normalized(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = net.batch_norm("images", x)?;
    let x = net.local_response_norm(x, LocalResponseNorm::new(2)?)?;
    let x = net.conv2d("stem", x, 6, Conv2d::new(3, 2, 1)?.without_bias())?;
    let x = net.batch_norm("stem.norm", x)?;
    let x = net.relu(x)?;
    let y = net.conv2d("block", x, 6, Conv2d::new(3, 1, 1)?.without_bias())?;
    let y = net.batch_norm("block.norm", y)?;
    let y = net.add(y, x)?;
    let y = net.relu(y)?;
    let z = net.conv2d("again", y, 6, Conv2d::new(1, 1, 0)?)?;
    let z = net.relu(z)?;
    let z = net.batch_norm("again.norm", z)?;
    let y = net.add(y, z)?;
    let y = net.conv2d("last", y, 10, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(y)
}

/// Filters of other kinds: rectangular, dilated, in groups and depthwise, with sides padded apart, and large ones for few
/// outputs, of which both of Winograd's sizes serve some.
fn filters(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    let tall = Conv2d::rectangular([3, 2], [2, 1])?;
    let x = net.conv2d("tall", x, 8, tall.with_paddings([[1, 0], [0, 1]])?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("depthwise", x, 16, Conv2d::new(3, 1, 1)?.with_groups(8)?)?;
    let x = net.relu(x)?;
    let grouped = Conv2d::rectangular([1, 3], [1, 2])?.with_dilation([1, 2])?;
    let x = net.conv2d("grouped", x, 12, grouped.with_groups(4)?.without_bias())?;
    let x = net.relu(x)?;
    let padded = Conv2d::new(5, 1, 2)?;
    let x = net.conv2d("padded", x, 7, padded)?;
    let x = net.relu(x)?;
    let x = net.conv2d("narrow", x, 6, Conv2d::new(5, 1, 0)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("flat", x, 5, padded)?;
    let x = net.relu(x)?;
    let x = net.conv2d("last", x, 10, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

/// What no program is made of yet: the loss against a number for each class, and the gradient of batch normalisation by
/// running statistics.
fn beside() -> std::result::Result<Graph, GraphError> {
    const CLASSES: usize = 10;
    let mut graph = Graph::default();
    let mut add = |name, dims: &[usize], role| -> std::result::Result<ValueId, GraphError> {
        Ok(graph.add_value(name, Shape::new(dims)?, DType::F32, role))
    };
    let images = add("images", &[IMAGES[1], CLASSES, 7, 6], Role::Input)?;
    let [weight, bias] = [
        add("weight", &[CLASSES], Role::Parameter)?,
        add("bias", &[CLASSES], Role::Parameter)?,
    ];
    let [mean, var] = [
        add("mean", &[CLASSES], Role::Statistic)?,
        add("var", &[CLASSES], Role::Statistic)?,
    ];
    let metrics = [SoftmaxCrossEntropy::metrics_len(CLASSES)];
    let metrics = add("metrics", &metrics, Role::Accumulator)?;
    let labels = graph.add_value("labels", Shape::new(&IMAGES[1..])?, DType::U32, Role::Input);
    let norm = BatchNormEval::from(BatchNorm::default());
    let x = graph.push1("norm", norm, &[images, weight, bias, mean, var])?;
    let x = graph.push1("norm", Relu, &[x])?;
    let logits = graph.push1("pool", GlobalAvgPool::default(), &[x])?;
    let targets = graph.push("loss", OneHot::new(CLASSES), &[labels], &[])?;
    let loss = SoftmaxCrossEntropy::default().with_label_smoothing(0.1)?;
    let inputs = [logits, targets[0], targets[1]];
    let loss = graph.push(
        "loss",
        SoftTargetCrossEntropy::new(loss),
        &inputs,
        &[metrics],
    )?;
    backward(&mut graph, logits, loss[0])?;
    Ok(graph)
}

/// The end of a step that is skipped.
fn skipped() -> std::result::Result<Graph, GraphError> {
    let mut graph = Graph::default();
    let mut add = |name: &str, len, role| -> std::result::Result<ValueId, GraphError> {
        Ok(graph.add_value(name, Shape::new(&[len])?, DType::F32, role))
    };
    let inputs = [
        add("hyper", 6, Role::Input)?,
        add("overflow", 1, Role::Input)?,
    ];
    let [mean, var] = [
        add("mean", 5, Role::Statistic)?,
        add("var", 5, Role::Statistic)?,
    ];
    let updates = [
        add("sums", 7, Role::Accumulator)?,
        add("totals", 8, Role::Accumulator)?,
        mean,
        var,
        add("mean.kept", 5, Role::Kept(mean))?,
        add("var.kept", 5, Role::Kept(var))?,
    ];
    graph.push("commit", Commit, &inputs, &updates)?;
    graph.push("commit", Gate, &inputs, &[])?;
    Ok(graph)
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
        loss: Loss::MeanSquaredError,
        ..Training::from(adam)
    };
    let steps = [
        Program::training(&source, [31, 29], batch, adam, fused)?,
        Program::training(&augmented, [17, 14], batch, adam, apart)?,
        Program::training(&source, [17, 14], batch, squared, branches)?,
        Program::training(&source, [17, 14], batch, adam, filters)?,
        Program::training_in_parts(&resized, [17, 14], [batch, 2], adam, apart)?,
        Program::training(&source, [117, 113], batch, adam, normalized)?,
    ];
    let inference = [
        Program::inference(&source, [31, 29], batch, fused)?,
        Program::inference(&source, [17, 14], batch, normalized)?,
        Program::inference(&source, [17, 14], batch, pointwise)?,
    ];
    let optimizers = optimizers(&source)?;
    let mut cases = Start::new(&beside()?)?.nodes()?;
    cases.extend(Start::new(&skipped()?)?.nodes()?);
    for program in steps.iter().chain(&inference) {
        cases.extend(Start::new(program.graph())?.nodes()?);
    }
    for step in &optimizers {
        // Their layers are those above.
        let nodes = Start::new(step.graph())?.nodes()?;
        let of_layer =
            |case: &Case| ["clip", "commit", "optimizer", "average"].contains(&case.layer.as_str());
        cases.extend(nodes.into_iter().filter(of_layer));
    }
    for step in steps.iter().chain(&optimizers) {
        cases.push(Start::new(step.graph())?.whole("training step")?);
    }
    for program in &inference {
        cases.push(Start::new(program.graph())?.whole("inference")?);
    }
    Ok(cases)
}
