//! The table of a network's layers: shapes, parameters and operations.

use crate::graph::shape::Shape;
use crate::graph::{Graph, Node, Role};
use crate::ops::{Conv2d, Definition, Op};

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Name of the layer, or of the op where it has no parameters.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Its output, batch included.
    pub output: Shape,
    /// Its parameters.
    pub parameters: usize,
    /// Floating-point operations of the forward pass over the batch.
    pub flops: u64,
}

/// What a convolution is: `conv 3x3`, or `conv 3x1, dilation 2x1, 4 groups`.
fn convolution(conv: &Conv2d) -> String {
    let [r, s] = conv.filter();
    let mut kind = format!("conv {r}x{s}");
    if conv.dilation() != [1; 2] {
        let [down, across] = conv.dilation();
        kind += &format!(", dilation {down}x{across}");
    }
    if conv.groups() > 1 {
        kind += &format!(", {} groups", conv.groups());
    }
    kind
}

/// The layers of the forward part of a graph, fused or not.
pub fn layers(graph: &Graph) -> Vec<Layer> {
    let shape = |id| graph.value(id).shape;
    let mut layers = Vec::new();
    // Behind the loss, additions are sums of gradients.
    let is_loss = |node: &&Node| {
        matches!(
            node.op,
            Op::SoftmaxCrossEntropy(_)
                | Op::PooledCrossEntropy(_)
                | Op::SoftTargetCrossEntropy(_)
                | Op::MeanSquaredError(_)
        )
    };
    for node in graph.nodes().iter().take_while(|node| !is_loss(node)) {
        let (name, kind) = match &node.op {
            Op::Conv2d(conv) => {
                let relu = if conv.relu() { " + ReLU" } else { "" };
                (node.layer.clone(), convolution(conv) + relu)
            }
            Op::Linear(linear) => {
                let relu = if linear.relu() { " + ReLU" } else { "" };
                (node.layer.clone(), format!("linear{relu}"))
            }
            Op::Activation(activation) => (node.layer.clone(), activation.to_string()),
            Op::Relu(_) => (node.layer.clone(), "ReLU".into()),
            Op::BatchNorm(norm) => {
                let shortcut = if norm.shortcut() { " + add" } else { "" };
                let relu = if norm.relu() { " + ReLU" } else { "" };
                (node.layer.clone(), format!("batch norm{shortcut}{relu}"))
            }
            Op::BatchNormEval(norm) => {
                let relu = if norm.relu() { " + ReLU" } else { "" };
                (node.layer.clone(), format!("batch norm{relu}"))
            }
            Op::LocalResponseNorm(_) => (String::new(), "local response norm".into()),
            Op::MaxPool2d(_) => (String::new(), "max pool".into()),
            Op::Add(add) if add.is_plain() => (String::new(), "add".into()),
            Op::Add(_) => (String::new(), "add + ReLU".into()),
            Op::Concat(_) => (String::new(), "concat".into()),
            Op::Reshape(_) => (String::new(), "flatten".into()),
            Op::AvgPool2d(_) => (String::new(), "average pool".into()),
            Op::Dropout(_) => (String::new(), "dropout".into()),
            Op::GlobalAvgPool(_) => (String::new(), "global average pool".into()),
            _ => continue,
        };
        let parameters = parameters(graph, node);
        let flops = node.op.flops(node, &shape);
        layers.push(Layer {
            name,
            kind,
            output: shape(node.outputs[0]),
            parameters,
            flops,
        });
    }
    layers
}

/// Numbers that a node learns, those of a batch normalisation that became part of it included.
fn parameters(graph: &Graph, node: &Node) -> usize {
    let is_fold = |node: &&Node| matches!(node.op, Op::FoldBatchNorm(_));
    let mut folds = graph.nodes().iter().filter(is_fold);
    let fold = folds.find(|fold| node.inputs.contains(&fold.outputs[0]));
    let inputs = fold.unwrap_or(node).inputs.iter();
    let learned = inputs.filter(|&&id| graph.value(id).role == Role::Parameter);
    learned.map(|&id| graph.value(id).shape.len()).sum()
}
