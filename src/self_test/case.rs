//! Cases of the self-test: a graph, what it starts from, and what the reference makes of that.

use std::collections::HashMap;

use super::Result;
use crate::backend::runtime::{Runtime, RuntimeError};
use crate::graph::rng::floats;
use crate::graph::shape::DType;
use crate::graph::{Graph, Node, Role, Value, ValueId};
use crate::ops::{Conv2d, Geometry, Op, Optimizer, Tolerance};
use crate::reference::Reference;

/// Agreement demanded of a whole step: its errors add up from layer to layer.
const STEP: Tolerance = Tolerance {
    relative: 2e-3,
    absolute: 1e-6,
};

/// Parts of images of 31x29, which are scaled to 17x14: one of more pixels and one of fewer.
const BOXES: [[u32; 4]; 2] = [[0, 0, 31, 28], [3, 20, 9, 5]];

/// A value to compare, and the reference's.
pub(super) struct Expected {
    pub(super) id: ValueId,
    pub(super) tolerance: Tolerance,
    pub(super) want: Vec<f32>,
}

/// A graph with its data.
pub(super) struct Case {
    pub(super) op: &'static str,
    /// Layer of its node; empty for a whole graph.
    pub(super) layer: String,
    pub(super) shapes: String,
    /// Of a convolution.
    pub(super) geometry: Option<Geometry>,
    pub(super) graph: Graph,
    /// Values that the host writes; whole numbers too are floats here, as [`Runtime::read`] gives them.
    data: Vec<(ValueId, Vec<f32>)>,
    pub(super) results: Vec<Expected>,
}

impl Case {
    /// Writes what the graph starts from.
    pub(super) fn write(&self, runtime: &mut dyn Runtime) -> Result<(), RuntimeError> {
        for (id, data) in &self.data {
            match self.graph.value(*id).dtype {
                DType::F32 => runtime.write(*id, data.as_slice().into())?,
                DType::U32 => {
                    let words: Vec<u32> = data.iter().map(|&x| x as u32).collect();
                    runtime.write(*id, words.as_slice().into())?;
                }
                DType::U8 => {
                    let bytes: Vec<u8> = data.iter().map(|&x| x as u8).collect();
                    runtime.write(*id, bytes.as_slice().into())?;
                }
            }
        }
        Ok(())
    }

    /// Runs the reference for the `results`.
    fn expect(mut self, results: Vec<(ValueId, Tolerance)>) -> Result<Self> {
        let mut reference = Reference::<f64>::new(self.graph.clone());
        self.write(&mut reference)?;
        reference.run()?;
        for (id, tolerance) in results {
            let want = reference.read(id)?;
            self.results.push(Expected {
                id,
                tolerance,
                want,
            });
        }
        Ok(self)
    }
}

/// A graph before and after a run of the reference.
pub(super) struct Start<'g> {
    graph: &'g Graph,
    before: HashMap<ValueId, Vec<f32>>,
    after: Reference<f64>,
}

impl<'g> Start<'g> {
    /// Fills all that the host writes with numbers that stay the same, and runs the graph.
    pub(super) fn new(graph: &'g Graph) -> Result<Self> {
        let is_made = |id: &ValueId| graph.nodes().iter().any(|node| node.outputs.contains(id));
        let given = graph.ids().filter(|id| !is_made(id));
        let mut this = Self {
            graph,
            before: given.map(|id| (id, start(id, graph.value(id)))).collect(),
            after: Reference::new(graph.clone()),
        };
        let whole = this.case("", String::new(), graph.clone(), |id| id);
        whole.write(&mut this.after)?;
        this.after.run()?;
        Ok(this)
    }

    /// A case without results, of `graph`, in which `of` names the values of the whole graph.
    fn case(
        &self,
        op: &'static str,
        shapes: String,
        graph: Graph,
        of: impl Fn(ValueId) -> ValueId,
    ) -> Case {
        let data = self.before.iter();
        Case {
            op,
            layer: String::new(),
            shapes,
            geometry: None,
            graph,
            data: data.map(|(&id, data)| (of(id), data.clone())).collect(),
            results: Vec::new(),
        }
    }

    /// The whole graph, with all that can be read after a run.
    pub(super) fn whole(self, op: &'static str) -> Result<Case> {
        let sums = |id: ValueId| matches!(self.graph.value(id).role, Role::Moment(_, 2));
        // What is left of a gradient that is summed over parts lies in those, on a GPU.
        let in_parts = self.graph.ids().any(sums);
        let ids = self.graph.ids().filter(|&id| {
            let role = self.graph.value(id).role;
            let part = in_parts && matches!(role, Role::Gradient(_));
            !part && !matches!(role, Role::Input | Role::Activation)
        });
        let results = ids.map(|id| (id, STEP)).collect();
        let shapes = format!("{} ops", self.graph.nodes().len());
        self.case(op, shapes, self.graph.clone(), |id| id)
            .expect(results)
    }

    /// Each node as a graph of its own, and both gradients of a convolution as one, for some kernels are both.
    pub(super) fn nodes(&mut self) -> Result<Vec<Case>> {
        let nodes = self.graph.nodes();
        let mut cases = Vec::new();
        for node in nodes {
            cases.push(self.case_of(&[node])?);
            let is_other = |other: &&Node| {
                matches!(
                    (&node.op, &other.op),
                    (Op::Conv2dWgrad(_), Op::Conv2dDgrad(_))
                ) && node.layer == other.layer
            };
            if let Some(other) = nodes.iter().find(is_other) {
                cases.push(self.case_of(&[node, other])?);
            }
        }
        Ok(cases)
    }

    /// What a value holds when `node` runs: what it held before the run, if only the host writes it or `node` updates it.
    fn value(&mut self, id: ValueId) -> Result<Vec<f32>, RuntimeError> {
        match self.before.get(&id) {
            Some(data) => Ok(data.clone()),
            None => self.after.read(id),
        }
    }

    /// Nodes that do not read one another, as a graph of their own.
    fn case_of(&mut self, nodes: &[&Node]) -> Result<Case> {
        let mut graph = Graph::default();
        let mut copies: HashMap<ValueId, ValueId> = HashMap::new();
        let mut data = Vec::new();
        // What an optimizer works on lies beside the parameters that it belongs to; so these come first, wanted or not.
        let parameter_of = |id: &ValueId| match self.graph.value(*id).role {
            Role::Gradient(of) | Role::Moment(of, _) | Role::Average(of) => Some(of),
            Role::Kept(of) => Some(of),
            _ => None,
        };
        let updates: Vec<ValueId> = nodes
            .iter()
            .flat_map(|node| &node.updates)
            .copied()
            .collect();
        let inputs = nodes.iter().flat_map(|node| &node.inputs).copied();
        let operands: Vec<ValueId> = updates.iter().copied().chain(inputs).collect();
        let beside: Vec<ValueId> = operands.iter().filter_map(parameter_of).collect();
        for &id in beside.iter().chain(&operands) {
            if copies.contains_key(&id) {
                continue;
            }
            let value = self.graph.value(id);
            let role = match value.role {
                role @ Role::Accumulator if updates.contains(&id) => role,
                role @ Role::Statistic if updates.contains(&id) => role,
                Role::Gradient(of) => Role::Gradient(copies[&of]),
                Role::Moment(of, n) => Role::Moment(copies[&of], n),
                Role::Average(of) => Role::Average(copies[&of]),
                Role::Kept(of) => Role::Kept(copies[&of]),
                Role::Parameter if beside.contains(&id) => Role::Parameter,
                _ => Role::Input,
            };
            let copy = graph.add_value(value.name.clone(), value.shape, value.dtype, role);
            copies.insert(id, copy);
            data.push((copy, self.value(id)?));
        }
        let copied = |ids: &[ValueId]| -> Vec<_> { ids.iter().map(|id| copies[id]).collect() };
        let unread = self.graph.unread();
        let mut written = Vec::new();
        for node in nodes {
            let (inputs, updates) = (copied(&node.inputs), copied(&node.updates));
            let outputs = graph.push(&node.layer, node.op.clone(), &inputs, &updates)?;
            // What nobody asks for in the whole graph is not asked for here, so that the same kernels run.
            let is_wanted = |i: usize| i == 0 || !unread[node.outputs[i].index()];
            let wanted = outputs
                .into_iter()
                .enumerate()
                .filter(|(i, _)| is_wanted(*i));
            let all = wanted.map(|(_, copy)| copy).chain(updates);
            written.extend(all.map(|copy| (copy, node.op.tolerance())));
        }
        for &(id, _) in &written {
            graph.keep(id);
        }
        let shapes: Vec<_> = nodes.iter().map(|node| self.graph.shapes(node)).collect();
        let first = nodes[0];
        let case = Case {
            op: first.op.name(),
            layer: first.layer.clone(),
            shapes: shapes.join("; "),
            geometry: Conv2d::of_node(self.graph, first).map(|(_, geometry)| geometry),
            graph,
            data,
            results: Vec::new(),
        };
        case.expect(written)
    }
}

/// What a value starts from.
fn start(id: ValueId, value: &Value) -> Vec<f32> {
    let len = value.shape.len();
    let whole = |below: usize| {
        (0..len)
            .map(move |i| ((5 * i + 2) % below) as f32)
            .collect()
    };
    let scaled = |by: f32| -> Vec<f32> {
        let numbers = floats(id.index() as u32, len).into_iter();
        numbers.map(|x| by * x).collect()
    };
    match (value.name.as_str(), value.dtype, value.role) {
        ("hyper", ..) => {
            let hyper = Optimizer::default().hyper_of_part(1e-3, 10, false, 0.4, true);
            hyper[..len].to_vec()
        }
        ("averaging", ..) => vec![0.25],
        ("overflow", ..) => vec![f32::INFINITY],
        ("indices", ..) => whole(super::networks::IMAGES[0]),
        ("boxes", ..) => {
            let words = BOXES.iter().flatten().cycle();
            words.take(len).map(|&word| word as f32).collect()
        }
        (_, DType::U32, _) => whole(10),
        (_, DType::U8, _) => scaled(255.0).iter().map(|x| (x + 127.5).round()).collect(),
        // Signals keep their size from layer to layer.
        (_, _, Role::Parameter) => {
            let terms = len / value.shape.dims()[0];
            scaled(5.0 / (terms as f32).sqrt())
        }
        (name, _, Role::Statistic) if name.ends_with("var") => {
            scaled(0.5).iter().map(|x| x + 1.0).collect()
        }
        (_, _, Role::Moment(_, 1)) => scaled(1e-3).iter().map(|x| x.abs()).collect(),
        (_, _, Role::Moment(..)) => scaled(1e-2),
        _ => scaled(1.0),
    }
}
