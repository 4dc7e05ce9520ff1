//! Running a graph on the CPU, node by node.

use web_time::Instant;

use super::io::{Data, Io};
use super::plan::unread_places;
use super::{Convolving, Real, convolving, pooled};
use crate::backend::profile::{Entry, medians};
use crate::backend::runtime::{
    Reading, Runtime, RuntimeError, check_read, check_write, check_write_rows,
};
use crate::graph::shape::DType;
use crate::graph::tensor::HostSlice;
use crate::graph::{Graph, Node, Role, ValueId};
use crate::ops::Definition;

/// Runs a graph on the CPU.
#[derive(Debug)]
pub struct Reference<T = f32> {
    graph: Graph,
    data: Vec<Data<T>>,
    /// How many nodes, the first ones, run only after a parameter or statistic was written, and whether one was.
    prologue: usize,
    is_stale: bool,
    /// Of each node.
    convolving: Vec<Convolving<T>>,
    snapshots: Vec<Vec<f32>>,
    steps: u64,
}

impl<T: Real> Reference<T> {
    /// Memory for every value of `graph`, zeroed.
    pub fn new(graph: Graph) -> Self {
        let used = graph.used();
        let places = unread_places(&graph);
        let data = graph
            .ids()
            .map(|id| match graph.value(id) {
                _ if places.contains(&id) => Data::U32(Vec::new()),
                value if used[id.index()] => Data::zeros(value.shape, value.dtype),
                _ => Data::Real(Vec::new()),
            })
            .collect();
        Self {
            prologue: graph.prologue(),
            is_stale: true,
            convolving: convolving::of_nodes(&graph, false),
            graph,
            data,
            snapshots: Vec::new(),
            steps: 0,
        }
    }

    /// The same, with convolutions by sums of all terms as they are: Winograd's method, which rounds more, is left out.
    #[must_use]
    pub fn precise(mut self) -> Self {
        self.convolving = convolving::of_nodes(&self.graph, true);
        self
    }

    /// A float value in the reference's own precision; empty if `id` holds integers, is used by no node, or is another graph's.
    pub fn real(&self, id: ValueId) -> &[T] {
        match self.data.get(id.index()) {
            Some(Data::Real(data)) => data,
            _ => &[],
        }
    }

    /// Overwrites a float value in the reference's own precision.
    ///
    /// # Errors
    /// [`RuntimeError::Write`] if `id` holds integers or `data` has another length, [`RuntimeError::Unused`] if no node uses it, and
    /// [`RuntimeError::Graph`] if it is another graph's.
    pub fn set_real(&mut self, id: ValueId, data: &[T]) -> Result<(), RuntimeError> {
        check_read(&self.graph, id)?;
        let value = self.graph.value(id);
        match &mut self.data[id.index()] {
            Data::Real(to) if to.len() == data.len() => to.copy_from_slice(data),
            _ => {
                return Err(RuntimeError::Write {
                    name: value.name.clone(),
                    want_len: value.shape.len(),
                    want: value.dtype,
                    got_len: data.len(),
                    got: DType::F32,
                });
            }
        }
        self.note_write(id);
        Ok(())
    }

    /// Has the prologue run again if it reads `id`.
    fn note_write(&mut self, id: ValueId) {
        self.is_stale |= self.graph.value(id).role.is_state();
    }

    /// Runs the prologue if what it reads was written.
    fn run_prologue(&mut self) {
        if std::mem::take(&mut self.is_stale) {
            let kept = self.convolving.iter_mut();
            kept.flat_map(|how| &mut how.filters).for_each(Vec::clear);
            let nodes = self.graph.nodes()[..self.prologue].to_vec();
            let each = nodes.iter().enumerate();
            each.for_each(|(i, node)| self.run_node(i, node));
        }
    }

    /// Runs node number `i`.
    fn run_node(&mut self, i: usize, node: &Node) {
        let empty = || Data::Real(Vec::new());
        let written: Vec<ValueId> = node.outputs.iter().chain(&node.updates).copied().collect();
        let taken = written
            .iter()
            .map(|id| std::mem::replace(&mut self.data[id.index()], empty()))
            .collect();
        let mut io = Io {
            shapes: node
                .inputs
                .iter()
                .map(|&id| self.graph.value(id).shape)
                .collect(),
            inputs: node
                .inputs
                .iter()
                .map(|id| &self.data[id.index()])
                .collect(),
            written: taken,
            convolving: std::mem::take(&mut self.convolving[i]),
        };
        node.op.reference(&mut io);
        let results = io.written;
        self.convolving[i] = io.convolving;
        for (id, data) in written.into_iter().zip(results) {
            self.data[id.index()] = data;
        }
    }
}

impl<T: Real> Runtime for Reference<T> {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn write(&mut self, id: ValueId, data: HostSlice<'_>) -> Result<(), RuntimeError> {
        check_write(&self.graph, id, data)?;
        self.note_write(id);
        match (&mut self.data[id.index()], data) {
            (Data::Real(to), HostSlice::F32(from)) => {
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = T::from_f64(f64::from(from));
                }
            }
            (Data::U32(to), HostSlice::U32(from)) => to.copy_from_slice(from),
            (Data::U8(to), HostSlice::U8(from)) => to.copy_from_slice(from),
            _ => {} // a value that no node uses has no memory
        }
        Ok(())
    }

    fn write_rows(
        &mut self,
        id: ValueId,
        first: usize,
        data: HostSlice<'_>,
    ) -> Result<(), RuntimeError> {
        let row = check_write_rows(&self.graph, id, first, data)?;
        self.note_write(id);
        let span = first * row..first * row + data.len();
        match (&mut self.data[id.index()], data) {
            (Data::Real(to), HostSlice::F32(from)) => {
                for (to, &from) in to.iter_mut().skip(span.start).zip(from) {
                    *to = T::from_f64(f64::from(from));
                }
            }
            (Data::U32(to), HostSlice::U32(from)) => to[span].copy_from_slice(from),
            (Data::U8(to), HostSlice::U8(from)) => to[span].copy_from_slice(from),
            _ => {} // a value that no node uses has no memory
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), RuntimeError> {
        pooled(|| {
            self.run_prologue();
            let nodes = std::mem::take(self.graph.nodes_mut());
            for (i, node) in nodes.iter().enumerate().skip(self.prologue) {
                self.run_node(i, node);
            }
            *self.graph.nodes_mut() = nodes;
        });
        self.steps += 1;
        Ok(())
    }

    fn profile(&mut self, runs: usize) -> Result<Vec<Entry>, RuntimeError> {
        pooled(|| self.run_prologue());
        let nodes = std::mem::take(self.graph.nodes_mut());
        let each_run = &nodes[self.prologue..];
        let seconds = pooled(|| {
            let run = |_| {
                let time = |(i, node)| {
                    let start = Instant::now();
                    self.run_node(self.prologue + i, node);
                    start.elapsed().as_secs_f64()
                };
                each_run.iter().enumerate().map(time).collect()
            };
            medians(&(0..runs.max(1)).map(run).collect::<Vec<_>>())
        });
        let entries = each_run.iter().zip(seconds).map(|(node, seconds)| Entry {
            layer: node.layer.clone(),
            op: node.op.name(),
            kernel: "cpu".to_owned(),
            shapes: self.graph.shapes(node),
            seconds,
            flops: node.op.flops(node, &|id| self.graph.shape(id)),
            bytes: self.graph.moved(node),
        });
        let entries = entries.collect();
        *self.graph.nodes_mut() = nodes;
        Ok(entries)
    }

    fn queue_read(&mut self, id: ValueId) -> Result<Reading, RuntimeError> {
        check_read(&self.graph, id)?;
        let data = match &self.data[id.index()] {
            Data::Real(data) => data.iter().map(|x| x.to_f64() as f32).collect(),
            Data::U32(data) => data.iter().map(|&x| x as f32).collect(),
            Data::U8(data) => data.iter().map(|&x| f32::from(x)).collect(),
        };
        Ok(Box::pin(std::future::ready(Ok(data))))
    }

    fn run_and_snapshot(&mut self, of: &[ValueId]) -> Result<(), RuntimeError> {
        of.iter().try_for_each(|&id| check_read(&self.graph, id))?;
        self.run()?;
        let mut snapshot = Vec::new();
        for &id in of {
            snapshot.extend(self.read(id)?);
            if let (Role::Accumulator, Data::Real(data)) =
                (self.graph.value(id).role, &mut self.data[id.index()])
            {
                data.fill(T::default());
            }
        }
        self.snapshots.push(snapshot);
        Ok(())
    }

    fn take_snapshots(&mut self, _wait: bool) -> Result<Vec<Vec<f32>>, RuntimeError> {
        Ok(std::mem::take(&mut self.snapshots))
    }

    fn poll(&mut self) -> Result<(), RuntimeError> {
        Ok(())
    }

    fn completed(&self) -> u64 {
        self.steps
    }
}
