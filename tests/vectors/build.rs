//! How each kind of case is said to this library.

use nin_wgpu::graph::{Role, ValueId};
use nin_wgpu::ops::{
    Activation, Add, AvgPool2d, BatchNorm, BatchNormEval, Concat, Conv2d, GlobalAvgPool, Linear,
    LocalResponseNorm, MaxPool2d, Pool2d, Relu, Reshape, SoftTargetCrossEntropy, Softmax,
    SoftmaxCrossEntropy,
};
use nin_wgpu::shape::Shape;

use crate::Failure;
use crate::net::{Net, Reading};
use crate::suite::{Build, Filter, Reduction, Window};

/// Builds the case, and says what of it is compared.
pub(crate) fn build(net: &mut Net<'_>, build: &Build) -> Result<(), Failure> {
    match build {
        Build::Activation {
            kind,
            negative_slope,
        } => {
            let x = net.value("x")?;
            let y = match activation(kind, *negative_slope)? {
                Some(activation) => net.push(activation, &[x])?[0],
                None => net.push(Relu, &[x])?[0],
            };
            net.finish(y)
        }
        Build::Add {} => {
            let [a, b] = [net.value("a")?, net.value("b")?];
            let y = net.push(Add::default(), &[a, b])?[0];
            net.finish(y)
        }
        Build::AvgPool2d(window) => {
            let x = net.value("x")?;
            let mut op = AvgPool2d::new(window.pool()?);
            if window.count_include_pad == Some(false) {
                op = op.without_padding_in_count();
            }
            if let Some(divisor) = window.divisor {
                op = op.with_divisor(divisor)?;
            }
            let y = net.push(op, &[x])?[0];
            net.finish(y)
        }
        Build::BatchNorm {
            training,
            momentum,
            eps,
        } => {
            let op = BatchNorm::new(*eps, *momentum)?;
            if *training {
                batch_norm(net, op)
            } else {
                let names = ["x", "weight", "bias", "running_mean", "running_var"];
                let inputs = net.values(&names)?;
                let y = net.push(BatchNormEval::from(op), &inputs)?[0];
                net.finish(y)
            }
        }
        Build::Concat { axis } => concat(net, *axis),
        Build::Conv2d(filter) => {
            let inputs = net.values(&["x", "w", "b"])?;
            let [.., r, s] = *net.graph.value(inputs[1]).shape.dims() else {
                return Err("filters are [K,C,R,S]".into());
            };
            let mut op = filter.conv([r, s])?;
            if inputs.len() == 2 {
                op = op.without_bias();
            }
            let y = net.push(op, &inputs)?[0];
            net.finish(y)
        }
        Build::CrossEntropy {
            reduction,
            ignore_index,
            label_smoothing,
        } => cross_entropy(
            net,
            *reduction,
            *ignore_index,
            label_smoothing.unwrap_or(0.0),
        ),
        Build::GlobalAvgPool {} => {
            let x = net.value("x")?;
            let means = net.push(GlobalAvgPool::default(), &[x])?[0];
            let y = as_wanted(net, means)?;
            net.finish(y)
        }
        Build::GlobalMaxPool {} => {
            let x = net.value("x")?;
            let &[_, _, h, w] = net.graph.value(x).shape.dims() else {
                return Err("the exporter passes images".into());
            };
            let pool = Pool2d::rectangular([h, w], [1, 1])?;
            let y = net.push(MaxPool2d::new(pool), &[x])?[0];
            net.finish(y)
        }
        Build::Linear {} => {
            let inputs = net.values(&["x", "w", "b"])?;
            let op = match inputs.len() {
                2 => Linear::default().without_bias(),
                _ => Linear::default(),
            };
            let mut y = net.push(op, &inputs)?[0];
            if net.tensor("addend").is_some() {
                let addend = net.value("addend")?;
                y = net.push(Add::default(), &[y, addend])?[0];
            }
            net.finish(y)
        }
        Build::LocalResponseNorm {
            size,
            alpha,
            beta,
            k,
        } => {
            let op = LocalResponseNorm::new(*size)?.with_constants(*alpha, *beta, *k)?;
            let x = net.value("x")?;
            let y = net.push(op, &[x])?[0];
            net.finish(y)
        }
        Build::MaxPool2d(window) => {
            let x = net.value("x")?;
            let &[y, argmax] = net.push(MaxPool2d::new(window.pool()?), &[x])?.as_slice() else {
                return Err("max pooling yields two values".into());
            };
            if net.wants("argmax") {
                net.result("argmax", argmax);
            }
            net.finish(y)
        }
        Build::Reshape {} => {
            let x = net.value("x")?;
            let y = as_wanted(net, x)?;
            net.finish(y)
        }
        Build::Softmax { axis, log } => {
            let op = Softmax::default();
            let op = if *log { op.log() } else { op };
            let x = net.value("x")?;
            let dims = net.graph.value(x).shape.dims().to_vec();
            let rows = rows(&dims, *axis)?;
            let x = net.push(Reshape::new(rows), &[x])?[0];
            let y = net.push(op, &[x])?[0];
            let y = as_wanted(net, y)?;
            net.finish(y)
        }
    }
}

fn activation(kind: &str, negative_slope: Option<f32>) -> Result<Option<Activation>, Failure> {
    Ok(Some(match (kind, negative_slope) {
        ("relu", None) => return Ok(None),
        ("leaky_relu", Some(negative_slope)) => Activation::LeakyRelu { negative_slope },
        ("sigmoid", None) => Activation::Sigmoid,
        ("tanh", None) => Activation::Tanh,
        ("gelu", None) => Activation::Gelu,
        ("gelu_tanh", None) => Activation::GeluTanh,
        ("hard_swish", None) => Activation::HardSwish,
        ("mish", None) => Activation::Mish,
        _ => return Err(format!("no activation {kind}").into()),
    }))
}

impl Window {
    fn pool(&self) -> Result<Pool2d, Failure> {
        let [top, left, bottom, right] = self.padding;
        let pool = Pool2d::rectangular(self.window, self.stride)?
            .with_dilation(self.dilation)?
            .with_paddings([[top, bottom], [left, right]])?;
        Ok(if self.ceil_mode {
            pool.with_ceil_mode()
        } else {
            pool
        })
    }
}

impl Filter {
    fn conv(&self, filter: [usize; 2]) -> Result<Conv2d, Failure> {
        let [top, left, bottom, right] = self.padding;
        Ok(Conv2d::rectangular(filter, self.stride)?
            .with_dilation(self.dilation)?
            .with_paddings([[top, bottom], [left, right]])?
            .with_groups(self.groups)?)
    }
}

/// By the statistics of the batch, which also move the running ones.
fn batch_norm(net: &mut Net<'_>, op: BatchNorm) -> Result<(), Failure> {
    let inputs = net.values(&["x", "weight", "bias"])?;
    let mean = net.value_as("running_mean", Role::Statistic)?;
    let var = net.value_as("running_var", Role::Statistic)?;
    let y = net.graph.push("case", op, &inputs, &[mean, var])?[0];
    net.result("moved_mean", mean);
    net.result("moved_var", var);
    net.finish(y)
}

/// The loss as its metrics tell it, or of each row; the gradient comes with it.
fn cross_entropy(
    net: &mut Net<'_>,
    reduction: Reduction,
    ignore_index: Option<i64>,
    label_smoothing: f32,
) -> Result<(), Failure> {
    let x = net.value("x")?;
    let &[n, classes] = net.graph.value(x).shape.dims() else {
        return Err("logits are [N,L]".into());
    };
    let mut op = SoftmaxCrossEntropy::default().with_label_smoothing(label_smoothing)?;
    if let Some(weight) = net.tensor("weight") {
        let weights = weight.values.iter().map(|&x| x as f32).collect();
        op = op.with_class_weights(weights)?;
    }
    let metrics = net.zeros("metrics", SoftmaxCrossEntropy::metrics_len(classes))?;
    let of_labels = net.tensor("labels").ok_or("the exporter wrote no labels")?;
    let outputs = if of_labels.dims.len() == 2 {
        let targets = net.value("labels")?;
        let op = SoftTargetCrossEntropy::new(op);
        let ones = net.constant("ones", vec![1.0; n])?;
        net.graph
            .push("case", op, &[x, targets, ones], &[metrics])?
    } else {
        let labels = net.labels("labels", ignore_index)?;
        net.graph.push("case", op, &[x, labels], &[metrics])?
    };
    let &[dx, losses] = outputs.as_slice() else {
        return Err("the loss yields two values".into());
    };
    match reduction {
        Reduction::None => net.result("y", losses),
        Reduction::Sum => net.read("y", metrics, Reading::LossSum),
        Reduction::Mean => net.read("y", metrics, Reading::LossMean),
    }
    if net.wants("dx") {
        net.result("dx", dx);
    }
    if net.wants("log_prob") {
        let log_prob = net.push(Softmax::default().log(), &[x])?[0];
        net.result("log_prob", log_prob);
    }
    Ok(())
}

/// `dims` as a matrix: all before `axis`, and the rest.
fn rows(dims: &[usize], axis: usize) -> Result<Shape, Failure> {
    let (before, rest) = dims.split_at(axis);
    Ok(Shape::new(&[
        before.iter().product(),
        rest.iter().product(),
    ])?)
}

/// Joins along any axis: as matrices, whose columns are what channels are.
fn concat(net: &mut Net<'_>, axis: usize) -> Result<(), Failure> {
    let names: Vec<String> = (0..)
        .map(|i| format!("x{i}"))
        .take_while(|name| net.tensor(name).is_some())
        .collect();
    let mut parts = Vec::new();
    for name in &names {
        let x = net.value(name)?;
        let rows = rows(net.graph.value(x).shape.dims(), axis)?;
        parts.push(net.push(Reshape::new(rows), &[x])?[0]);
    }
    let joined = net.push(Concat::default(), &parts)?[0];
    let y = as_wanted(net, joined)?;
    net.finish(y)
}

/// `x` in the shape that is wanted of `y`, which is a view.
fn as_wanted(net: &mut Net<'_>, x: ValueId) -> Result<ValueId, Failure> {
    let want = net.tensor("y").ok_or("the exporter wrote no y")?;
    let shape = Shape::new(&want.dims)?;
    Ok(net.push(Reshape::new(shape), &[x])?[0])
}
