//! Reverse-mode differentiation: appends the backward nodes to a forward graph.
//!
//! Readers of a value are visited last to first; each adds its part to the value's gradient, in that order, so sums have the
//! same bits every time.

use crate::graph::shape::Shape;
use crate::graph::{Graph, GraphError, Node, Role, ValueId};
use crate::ops::{Add, Definition, Op, Reshape};

/// Collects the gradient of each value while backward nodes are appended.
pub(crate) struct Tape<'a> {
    graph: &'a mut Graph,
    gradients: Vec<Option<ValueId>>,
    /// Values that no parameter lies behind: their gradients are never needed.
    constant: Vec<bool>,
    /// Layer of the op that is being differentiated.
    layer: String,
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

    /// Shape of a value.
    pub(crate) fn shape(&self, value: ValueId) -> Shape {
        self.graph.shape(value)
    }

    /// Dimensions of a value that is known to have four.
    pub(crate) fn dims4(&self, value: ValueId) -> [usize; 4] {
        self.graph
            .shape(value)
            .nchw("backward", "x")
            .expect("invariant: forward inference checked the rank")
    }

    /// Records what one reader adds to the gradient of a forward value: the first gives it, each further one appends a sum.
    /// Gradients that nothing needs are dropped.
    pub(crate) fn set_gradient(
        &mut self,
        value: ValueId,
        gradient: ValueId,
    ) -> Result<(), GraphError> {
        if !self.wants(value) {
            return Ok(());
        }
        let sum = match self.gradient(value) {
            Some(before) => {
                let layer = self.layer.clone();
                self.push1(&layer, Add::default(), &[before, gradient])?
            }
            None => gradient,
        };
        self.gradients[value.index()] = Some(sum);
        Ok(())
    }

    /// Makes what has come together for `parameter` its gradient.
    fn finish(&mut self, parameter: ValueId) -> Result<(), GraphError> {
        let Some(gradient) = self.gradient(parameter) else {
            return Ok(());
        };
        // It lies among the gradients of all parameters, so what is another value's gradient too, or is read, is copied there.
        let of = self.gradients.iter().filter(|&&of| of == Some(gradient));
        let mut nodes = self.graph.nodes().iter();
        let is_shared = of.count() > 1 || nodes.any(|node| node.inputs.contains(&gradient));
        let own = if is_shared || self.graph.value(gradient).role != Role::Activation {
            let layer = self.layer.clone();
            self.push1(&layer, Reshape::new(self.shape(parameter)), &[gradient])?
        } else {
            gradient
        };
        self.graph.set_gradient(own, parameter);
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
/// [`GraphError::NotDifferentiable`] for an op without a gradient.
pub fn backward(graph: &mut Graph, output: ValueId, gradient: ValueId) -> Result<(), GraphError> {
    backward_but(graph, output, gradient, &[])
}

/// The same without the gradients of `frozen` parameters, nor any that only they would need.
///
/// # Errors
/// As [`backward`].
pub fn backward_but(
    graph: &mut Graph,
    output: ValueId,
    gradient: ValueId,
    frozen: &[ValueId],
) -> Result<(), GraphError> {
    let nodes: Vec<Node> = graph.nodes().to_vec();
    let mut constant: Vec<bool> = graph
        .values()
        .iter()
        .map(|value| value.role != Role::Parameter)
        .collect();
    for id in frozen {
        constant[id.index()] = true;
    }
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
        layer: String::new(),
    };
    for node in nodes.iter().rev() {
        if node.outputs.iter().any(|&id| tape.gradient(id).is_some()) {
            tape.layer.clone_from(&node.layer);
            node.op.backward(node, &mut tape)?;
        }
    }
    let parameters: Vec<ValueId> = tape.graph.parameters().collect();
    parameters.into_iter().try_for_each(|id| tape.finish(id))
}
