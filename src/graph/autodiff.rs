//! Reverse-mode differentiation: appends the backward nodes to a forward graph.

use crate::graph::{Graph, GraphError, Node, Role, ValueId};
use crate::ops::{Definition, Op};

/// Collects the gradient of each value while backward nodes are appended.
pub(crate) struct Tape<'a> {
    graph: &'a mut Graph,
    gradients: Vec<Option<ValueId>>,
    /// Values that no parameter lies behind: their gradients are never needed.
    constant: Vec<bool>,
}

impl Tape<'_> {
    /// The gradient of a forward value, if anything used it.
    pub(crate) fn gradient(&self, value: ValueId) -> Option<ValueId> {
        self.gradients.get(value.index()).copied().flatten()
    }

    /// Whether the gradient with respect to `value` is needed.
    pub(crate) fn wants(&self, value: ValueId) -> bool {
        !self.constant[value.index()]
    }

    /// Dimensions of a value that is known to have four.
    pub(crate) fn dims4(&self, value: ValueId) -> [usize; 4] {
        self.graph
            .shape(value)
            .nchw("backward", "x")
            .expect("invariant: forward inference checked the rank")
    }

    /// Records the gradient of a forward value.
    pub(crate) fn set_gradient(
        &mut self,
        value: ValueId,
        gradient: ValueId,
    ) -> Result<(), GraphError> {
        if self.gradients[value.index()].replace(gradient).is_some() {
            return Err(GraphError::Fanout(self.graph.value(value).name.clone()));
        }
        if self.graph.value(value).role == Role::Parameter {
            self.graph.set_gradient(gradient, value);
        }
        Ok(())
    }

    pub(crate) fn push(
        &mut self,
        layer: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<Vec<ValueId>, GraphError> {
        self.graph.push(layer, op, inputs, &[])
    }

    pub(crate) fn push1(
        &mut self,
        layer: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<ValueId, GraphError> {
        self.graph.push1(layer, op, inputs)
    }
}

/// Appends to `graph` the nodes that compute the gradient of every parameter, given that of `output`.
///
/// # Errors
/// [`GraphError::Fanout`] if a value feeds two differentiable ops, [`GraphError::NotDifferentiable`] for an op
/// without a gradient.
pub fn backward(graph: &mut Graph, output: ValueId, gradient: ValueId) -> Result<(), GraphError> {
    let nodes: Vec<Node> = graph.nodes().to_vec();
    let mut constant: Vec<bool> = graph
        .values()
        .iter()
        .map(|value| value.role != Role::Parameter)
        .collect();
    for node in &nodes {
        let depends = node.inputs.iter().any(|id| !constant[id.index()]);
        for id in &node.outputs {
            constant[id.index()] = !depends;
        }
    }
    let mut gradients = vec![None; graph.values().len()];
    gradients[output.index()] = Some(gradient);
    let mut tape = Tape {
        graph,
        gradients,
        constant,
    };
    for node in nodes.iter().rev() {
        if node.outputs.iter().any(|&id| tape.gradient(id).is_some()) {
            node.op.backward(node, &mut tape)?;
        }
    }
    Ok(())
}
