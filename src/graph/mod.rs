//! The graph: values in SSA order and the ops between them, as plain data.
//!
//! [`GraphBuilder`] is what a model is written with; every shape is inferred when an op is inserted, so a finished
//! [`Graph`] holds no cycle and no value of unknown shape. Backward nodes are appended by [`crate::graph::autodiff`].

pub mod autodiff;
mod builder;
mod fold;
pub mod fuse;
mod grid;
pub mod rng;
pub mod shape;
pub mod tensor;

pub use builder::GraphBuilder;
pub use grid::MapGrid;

use crate::graph::shape::{DType, Shape, ShapeError};
use crate::ops::{Definition, Op};

/// Errors of building or differentiating a graph.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// An op does not fit its operands.
    #[error("layer `{layer}` does not fit its input")]
    Shape {
        /// Name of the layer being added.
        layer: String,
        /// What does not fit.
        source: Box<ShapeError>,
    },
    /// An op that no operands would suit.
    #[error(transparent)]
    Op(#[from] ShapeError),
    /// Two parameters with one name.
    #[error("two layers are named `{0}`; give each layer a name of its own")]
    DuplicateName(String),
    /// A layer that is to share the parameters of one that is not there.
    #[error(
        "no layer before has a parameter `{0}` to share; build the layer first, outside of `sharing`"
    )]
    NotShared(String),
    /// A batch that is run in parts of different sizes, with batch normalisation in the network.
    #[error(
        "parts of {part} images do not divide a batch of {batch}, and what fills the last part up would count in the statistics of batch normalisation; use a batch of a multiple of {part} images"
    )]
    UnevenParts {
        /// Images of a batch.
        batch: usize,
        /// Images of a part.
        part: usize,
    },
    /// An op has no gradient.
    #[error("op `{0}` cannot be differentiated")]
    NotDifferentiable(&'static str),
    /// A number of a training outside its range.
    #[error("{option} is {got}, expected {want}")]
    Option {
        /// What the number is.
        option: &'static str,
        /// Its value.
        got: String,
        /// Its range.
        want: &'static str,
    },
    /// A prefix that is meant to name parameters and names none.
    #[error("{option}: no parameter's name begins with `{prefix}`; the layers are {layers}")]
    NoParameter {
        /// What the prefix is for.
        option: &'static str,
        /// The prefix.
        prefix: String,
        /// The layers that have parameters.
        layers: String,
    },
    /// A value of another graph was named.
    #[error(
        "there is no value {id} in this graph, which has {values}; name values that this graph returned"
    )]
    Unknown {
        /// Its number.
        id: usize,
        /// Values of the graph.
        values: usize,
    },
    /// A training without anything that it would move.
    #[error("the network has no parameter to train; freeze fewer, or add a layer that has some")]
    NothingToTrain,
}

/// Index of a value in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a value is for; it decides how long the value lives and where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Written by the host before a run.
    Input,
    /// Learned, written once by the host and then by the optimizer.
    Parameter,
    /// Gradient of a parameter.
    Gradient(ValueId),
    /// Running mean or variance of batch normalisation: moved by each training step, but along no gradient.
    Statistic,
    /// First (0) or second (1) moment of a parameter's gradient, or its sum over the parts of a batch (2).
    Moment(ValueId, u8),
    /// Exponential moving average of a parameter.
    Average(ValueId),
    /// What a running statistic was after the last step that counted, where steps are skipped
    /// ([`Commit`](crate::ops::Commit)).
    Kept(ValueId),
    /// Accumulates over runs until the host takes it.
    Accumulator,
    /// Computed by a run and readable after it.
    Output,
    /// Lives only within a run.
    Activation,
}

impl Role {
    /// Whether a training leaves it behind, so that checkpoints hold it.
    pub(crate) fn is_state(self) -> bool {
        matches!(self, Self::Parameter | Self::Statistic)
    }
}

/// One value of a graph.
#[derive(Clone, Debug)]
pub struct Value {
    /// Name for people, checkpoints and profilers.
    pub name: String,
    /// Dimensions.
    pub shape: Shape,
    /// Element type.
    pub dtype: DType,
    /// Purpose.
    pub role: Role,
}

/// Shape and element type of an operand, as shape inference sees it.
pub(crate) type Signature = (Shape, DType);

/// One op of a graph, with its operands.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// Values read.
    pub inputs: Vec<ValueId>,
    /// Values written whole.
    pub outputs: Vec<ValueId>,
    /// Values read and written in place: optimizer state, accumulators.
    pub updates: Vec<ValueId>,
    /// Layer the node belongs to.
    pub layer: String,
}

impl Node {
    /// Every value that the node touches: inputs, outputs, updates.
    pub fn operands(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.inputs
            .iter()
            .chain(&self.outputs)
            .chain(&self.updates)
            .copied()
    }
}

/// Whether a graph trains or only evaluates. The two are different graphs, so there is no dropout switch to forget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Forward, backward and update.
    Train,
    /// Forward only; dropout is the identity.
    Eval,
}

/// Values and nodes in execution order.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    values: Vec<Value>,
    nodes: Vec<Node>,
}

impl Graph {
    /// All values, in order of definition.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// All nodes, in execution order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn nodes_mut(&mut self) -> &mut Vec<Node> {
        &mut self.nodes
    }

    /// One value.
    ///
    /// # Panics
    /// If the value is another graph's, as indexing does; [`get`](Self::get) does not.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// One value; `None` if it is another graph's.
    pub fn get(&self, id: ValueId) -> Option<&Value> {
        self.values.get(id.index())
    }

    /// The shape of a value that a caller names.
    ///
    /// # Errors
    /// [`GraphError::Unknown`] if the value is another graph's.
    pub(crate) fn known(&self, id: ValueId) -> Result<Shape, GraphError> {
        let value = self.get(id);
        let unknown = GraphError::Unknown {
            id: id.index(),
            values: self.values.len(),
        };
        Ok(value.ok_or(unknown)?.shape)
    }

    pub(crate) fn shape(&self, id: ValueId) -> Shape {
        self.value(id).shape
    }

    /// All value ids, in order of definition.
    pub fn ids(&self) -> impl Iterator<Item = ValueId> + use<> {
        (0..self.values.len() as u32).map(ValueId)
    }

    /// The parameters, in order of definition.
    pub fn parameters(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.ids()
            .filter(|&id| self.value(id).role == Role::Parameter)
    }

    /// The running statistics of batch normalisation, in order of definition.
    pub fn statistics(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.ids()
            .filter(|&id| self.value(id).role == Role::Statistic)
    }

    /// All that a training leaves behind, in order of definition: parameters and running statistics.
    pub fn state(&self) -> impl Iterator<Item = ValueId> + '_ {
        self.ids().filter(|&id| self.value(id).role.is_state())
    }

    /// The gradient of each parameter that has one, with its parameter.
    pub fn gradients(&self) -> impl Iterator<Item = (ValueId, ValueId)> + '_ {
        self.ids().filter_map(|id| match self.value(id).role {
            Role::Gradient(parameter) => Some((parameter, id)),
            _ => None,
        })
    }

    /// How many nodes, the first ones, need not run again as long as no parameter or statistic is written: they read nothing
    /// else but one another, and what they write stays.
    pub(crate) fn prologue(&self) -> usize {
        let written = |id: &ValueId| {
            let mut nodes = self.nodes.iter();
            nodes.any(|node| node.updates.contains(id))
        };
        let mut made: Vec<ValueId> = Vec::new();
        for (i, node) in self.nodes.iter().enumerate() {
            let is_given = |id: &ValueId| {
                made.contains(id) || (self.value(*id).role.is_state() && !written(id))
            };
            let stays = |id: &ValueId| self.value(*id).role == Role::Output;
            let is_first = node.updates.is_empty()
                && node.inputs.iter().all(is_given)
                && node.outputs.iter().all(stays);
            if !is_first {
                return i;
            }
            made.extend(&node.outputs);
        }
        self.nodes.len()
    }

    /// For each value, whether it is a parameter or statistic that no run writes, or follows from such: then what a kernel makes of it
    /// may be kept from run to run.
    pub(crate) fn stays(&self) -> Vec<bool> {
        let mut stays: Vec<bool> = self
            .values
            .iter()
            .map(|value| value.role.is_state())
            .collect();
        let prologue = self.prologue();
        for (i, node) in self.nodes.iter().enumerate() {
            let is_first = i < prologue;
            for id in node.outputs.iter().chain(&node.updates) {
                stays[id.index()] = is_first;
            }
        }
        stays
    }

    /// For each value, whether a node reads or writes it.
    pub(crate) fn used(&self) -> Vec<bool> {
        let mut used = vec![false; self.values.len()];
        for node in &self.nodes {
            for id in node.operands() {
                used[id.index()] = true;
            }
        }
        used
    }

    /// For each value, whether nobody asks for it: no node reads it, and no run keeps it.
    pub(crate) fn unread(&self) -> Vec<bool> {
        let is_activation = |value: &Value| value.role == Role::Activation;
        let mut unread: Vec<bool> = self.values.iter().map(is_activation).collect();
        for id in self.nodes.iter().flat_map(|node| &node.inputs) {
            unread[id.index()] = false;
        }
        unread
    }

    /// Shapes of a node's inputs and outputs, to be read by people.
    pub(crate) fn shapes(&self, node: &Node) -> String {
        let list = |ids: &[ValueId]| {
            let shapes: Vec<_> = ids.iter().map(|&id| self.shape(id).to_string()).collect();
            shapes.join(", ")
        };
        match node.updates.len() {
            0 => format!("{} -> {}", list(&node.inputs), list(&node.outputs)),
            n => format!("{n} tensors"),
        }
    }

    /// Bytes of an operand that a node touches: all, but a gather takes only its batch out of the data set, and a part of a
    /// concatenation only itself.
    pub(crate) fn touched(&self, node: &Node, id: ValueId) -> u64 {
        let value = self.value(id);
        match (&node.op, node.inputs.as_slice()) {
            (Op::Gather(_), &[images, labels, indices, ..]) if [images, labels].contains(&id) => {
                let each = value.shape.len() / value.shape.dims()[0];
                value.dtype.bytes(each * self.shape(indices).len())
            }
            (Op::ConcatBackward(_), _) => value.dtype.bytes(self.shape(node.outputs[0]).len()),
            _ => value.dtype.bytes(value.shape.len()),
        }
    }

    /// Bytes that a node moves at least: each operand once, those updated in place twice.
    pub(crate) fn moved(&self, node: &Node) -> u64 {
        let operands = node.operands().chain(node.updates.iter().copied());
        operands.map(|id| self.touched(node, id)).sum()
    }

    /// If `labels` are the labels of a loss, or of the data set whose batches are, the number of its classes.
    pub(crate) fn classes_of(&self, labels: ValueId) -> Option<usize> {
        let features = |id: ValueId| self.shape(id).dims().get(1).copied();
        let of_node = |node: &Node| match (&node.op, node.inputs.as_slice()) {
            (Op::SoftmaxCrossEntropy(_) | Op::PooledCrossEntropy(_), &[x, of, ..])
                if of == labels =>
            {
                features(x)
            }
            (Op::OneHot(_), &[of, ..]) if of == labels => features(node.outputs[0]),
            (Op::Gather(_), &[_, of, ..]) if of == labels => self.classes_of(node.outputs[1]),
            _ => None,
        };
        self.nodes.iter().filter_map(of_node).min()
    }

    /// The value with this name.
    pub fn find(&self, name: &str) -> Option<ValueId> {
        self.ids().find(|&id| self.value(id).name == name)
    }

    /// Adds a value that no node produces.
    pub fn add_value(
        &mut self,
        name: impl Into<String>,
        shape: Shape,
        dtype: DType,
        role: Role,
    ) -> ValueId {
        let id = ValueId(self.values.len() as u32);
        self.values.push(Value {
            name: name.into(),
            shape,
            dtype,
            role,
        });
        id
    }

    /// Takes back all values but so many, the first ones; no node may have them.
    pub(crate) fn forget(&mut self, but: usize) {
        self.values.truncate(but);
    }

    /// Keeps `id` readable after a run.
    pub fn keep(&mut self, id: ValueId) {
        let value = self.values.get_mut(id.index());
        if let Some(value) = value.filter(|value| value.role == Role::Activation) {
            value.role = Role::Output;
        }
    }

    /// Makes `id` the gradient of `parameter`.
    pub(crate) fn set_gradient(&mut self, id: ValueId, parameter: ValueId) {
        self.values[id.index()].role = Role::Gradient(parameter);
        self.values[id.index()].name = format!("{}.grad", self.value(parameter).name);
    }

    /// Appends an op; its outputs are new activations named after `layer`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if the op does not fit its inputs.
    pub fn push(
        &mut self,
        layer: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
        updates: &[ValueId],
    ) -> Result<Vec<ValueId>, GraphError> {
        let op = op.into();
        let misfit = |source: ShapeError| GraphError::Shape {
            layer: layer.to_owned(),
            source: source.into(),
        };
        for &id in inputs.iter().chain(updates) {
            self.known(id)?;
        }
        op.check_counts(inputs.len(), updates.len())
            .map_err(misfit)?;
        let signatures: Vec<Signature> = inputs
            .iter()
            .chain(updates)
            .map(|&id| (self.shape(id), self.value(id).dtype))
            .collect();
        let inferred = op.infer(&signatures).map_err(misfit)?;
        let outputs: Vec<ValueId> = inferred
            .into_iter()
            .enumerate()
            .map(|(i, (shape, dtype))| {
                let suffix = if i == 0 {
                    String::new()
                } else {
                    format!(".{i}")
                };
                self.add_value(
                    format!("{layer}:{}{suffix}", op.name()),
                    shape,
                    dtype,
                    Role::Activation,
                )
            })
            .collect();
        self.nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            outputs: outputs.clone(),
            updates: updates.to_vec(),
            layer: layer.to_owned(),
        });
        Ok(outputs)
    }

    /// [`Graph::push`] for the ops with one output.
    pub(crate) fn push1(
        &mut self,
        layer: &str,
        op: impl Into<Op>,
        inputs: &[ValueId],
    ) -> Result<ValueId, GraphError> {
        Ok(self.push(layer, op, inputs, &[])?[0])
    }
}
