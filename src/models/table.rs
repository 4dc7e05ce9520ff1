//! The table of a network's layers: shapes, parameters and operations.

use crate::graph::Graph;
use crate::ops::{Definition, Op};
use crate::shape::Shape;

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

/// The layers of the forward part of a graph, fused or not.
pub fn layers(graph: &Graph) -> Vec<Layer> {
    let shape = |id| graph.value(id).shape;
    let mut layers = Vec::new();
    for node in graph.nodes() {
        let (name, kind) = match &node.op {
            Op::Conv2d(conv) => {
                let relu = if conv.relu() { " + ReLU" } else { "" };
                (
                    node.layer.clone(),
                    format!("conv {0}x{0}{relu}", conv.filter()),
                )
            }
            Op::Activation(activation) => (node.layer.clone(), activation.to_string()),
            Op::Relu(_) => (node.layer.clone(), "ReLU".into()),
            Op::MaxPool2d(_) => (String::new(), "max pool".into()),
            Op::AvgPool2d(_) => (String::new(), "average pool".into()),
            Op::Dropout(_) => (String::new(), "dropout".into()),
            Op::GlobalAvgPool(_) => (String::new(), "global average pool".into()),
            _ => continue,
        };
        let parameters = node
            .inputs
            .iter()
            .filter(|&&id| graph.value(id).role == crate::graph::Role::Parameter)
            .map(|&id| shape(id).len())
            .sum();
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
