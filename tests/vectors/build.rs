//! How each kind of case is said to this library.

use nin_wgpu::graph::ValueId;
use nin_wgpu::ops::{
    Activation, Add, AvgPool2d, Concat, GlobalAvgPool, MaxPool2d, Pool2d, Relu, Reshape, Softmax,
};
use nin_wgpu::shape::Shape;

use crate::Failure;
use crate::net::Net;
use crate::suite::{Build, Window};

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
        Build::Concat { axis } => concat(net, *axis),
        Build::BatchNorm { .. }
        | Build::Conv2d(_)
        | Build::CrossEntropy { .. }
        | Build::Linear {}
        | Build::LocalResponseNorm { .. } => Err("not yet".into()),
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
        let rows = rows(&net.graph.value(x).shape.dims().to_vec(), axis)?;
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
