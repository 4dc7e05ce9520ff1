//! What a backend must do: hold a graph's values, run it, and hand results back.

use std::pin::Pin;

use crate::backend::profile::Entry;
use crate::backend::wait::block_on;
use crate::gpu::error::GpuError;
use crate::graph::shape::DType;
use crate::graph::tensor::HostSlice;
use crate::graph::{Graph, GraphError, ValueId};
use crate::ops::IGNORE;

/// Errors of running a graph.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// Host data of the wrong length or type.
    #[error("`{name}` takes {want_len} elements of {want:?}, got {got_len} of {got:?}")]
    Write {
        /// The value written to.
        name: String,
        /// Elements it holds.
        want_len: usize,
        /// Their type.
        want: DType,
        /// Elements given.
        got_len: usize,
        /// Their type.
        got: DType,
    },
    /// A label beyond the classes.
    #[error(
        "label {got} at index {index} of `{name}`, expected one below {classes}, the number of classes"
    )]
    Label {
        /// The value written to.
        name: String,
        /// Where among what was written.
        index: usize,
        /// The label.
        got: u32,
        /// Classes of the loss that reads it.
        classes: usize,
    },
    /// A value that does not outlive a run was read.
    #[error("`{0}` is not kept after a run; mark it with `Graph::keep` before planning")]
    NotKept(String),
    /// A value that no node reads or writes was read: it has no memory.
    #[error("no node of the graph uses `{0}`, so it has no memory; read a value that one does")]
    Unused(String),
    /// A value of another graph was named.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
}

/// A value on its way to the host.
pub type Reading = Pin<Box<dyn Future<Output = Result<Vec<f32>, RuntimeError>>>>;

/// A graph with memory, on some device: the GPU [`Executor`](crate::gpu::Executor) or the CPU
/// [`Reference`](crate::reference::Reference).
pub trait Runtime {
    /// The graph that is run.
    fn graph(&self) -> &Graph;

    /// Writes a value; it keeps its contents until it is written again or a run changes it.
    ///
    /// # Errors
    /// [`RuntimeError::Write`] if length or type differ from the value's, [`RuntimeError::Label`] for a label that is not below
    /// the classes of the loss that reads it.
    fn write(&mut self, id: ValueId, data: HostSlice<'_>) -> Result<(), RuntimeError>;

    /// Writes some rows of a value, along its first dimension, from row `first` on; the others keep what they hold. Rows of
    /// bytes begin at a multiple of four, and end at one or with the last.
    ///
    /// # Errors
    /// [`RuntimeError::Write`] if the type differs, the rows are not whole or not there, or begin elsewhere.
    fn write_rows(
        &mut self,
        id: ValueId,
        first: usize,
        data: HostSlice<'_>,
    ) -> Result<(), RuntimeError>;

    /// Runs the graph once. On a GPU this returns when the work is submitted, not when it is done.
    ///
    /// # Errors
    /// [`RuntimeError::Gpu`] if the device was lost or ran out of memory.
    fn run(&mut self) -> Result<(), RuntimeError>;

    /// Runs the graph `runs` times, at least once, and times each dispatch or node of it, waiting for the device.
    ///
    /// On a GPU these runs are slower than others: each dispatch is a pass of its own.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    fn profile(&mut self, runs: usize) -> Result<Vec<Entry>, RuntimeError>;

    /// Reads a value back, waiting for the device. Integers come as floats.
    ///
    /// Only inputs, parameters, gradients, moments, accumulators and outputs keep their contents after a run.
    ///
    /// # Errors
    /// [`RuntimeError::Unused`] if no node uses the value, [`RuntimeError::NotKept`] for an activation on a GPU (the CPU has them all),
    /// and [`RuntimeError::Gpu`] if the device failed.
    fn read(&mut self, id: ValueId) -> Result<Vec<f32>, RuntimeError> {
        block_on(self.queue_read(id)?)
    }

    /// [`Runtime::read`] to be awaited; it is of the runs that were queued before.
    ///
    /// # Errors
    /// As [`Runtime::read`].
    fn queue_read(&mut self, id: ValueId) -> Result<Reading, RuntimeError>;

    /// Runs the graph once, then queues a copy of some float values, one behind the other, and resets those of them to zero that
    /// are accumulators, without waiting. All snapshots that are under way are of the same values.
    ///
    /// # Errors
    /// As [`Runtime::run`]; [`RuntimeError::NotKept`] and [`RuntimeError::Unused`] as [`Runtime::read`].
    fn run_and_snapshot(&mut self, of: &[ValueId]) -> Result<(), RuntimeError>;

    /// Copies that have arrived, oldest first; with `wait`, all that were queued.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    fn take_snapshots(&mut self, wait: bool) -> Result<Vec<Vec<f32>>, RuntimeError>;

    /// Sees to what the device has to tell, without waiting; [`Runtime::completed`] is up to date then.
    ///
    /// # Errors
    /// As [`Runtime::run`].
    fn poll(&mut self) -> Result<(), RuntimeError>;

    /// Runs that the device has finished.
    fn completed(&self) -> u64;
}

/// Checks that `data` fits the value.
pub(crate) fn check_write(
    graph: &Graph,
    id: ValueId,
    data: HostSlice<'_>,
) -> Result<(), RuntimeError> {
    graph.known(id)?;
    let value = graph.value(id);
    if value.shape.len() == data.len() && value.dtype == data.dtype() {
        return check_labels(graph, id, data);
    }
    Err(write_error(graph, id, value.shape.len(), data))
}

/// Checks that labels are below the classes of the loss that reads them: kernels take a row's element by its label.
fn check_labels(graph: &Graph, id: ValueId, data: HostSlice<'_>) -> Result<(), RuntimeError> {
    let (HostSlice::U32(labels), Some(classes)) = (data, graph.classes_of(id)) else {
        return Ok(());
    };
    let beyond = |label: u32| label != IGNORE && label as usize >= classes;
    match labels.iter().position(|&label| beyond(label)) {
        None => Ok(()),
        Some(index) => Err(RuntimeError::Label {
            name: graph.value(id).name.clone(),
            index,
            got: labels[index],
            classes,
        }),
    }
}

/// Checks that a value has memory to be read from.
pub(crate) fn check_read(graph: &Graph, id: ValueId) -> Result<(), RuntimeError> {
    graph.known(id)?;
    let mut nodes = graph.nodes().iter();
    match nodes.any(|node| node.operands().any(|of| of == id)) {
        true => Ok(()),
        false => Err(RuntimeError::Unused(graph.value(id).name.clone())),
    }
}

pub(crate) fn write_error(
    graph: &Graph,
    id: ValueId,
    want_len: usize,
    data: HostSlice<'_>,
) -> RuntimeError {
    let value = graph.value(id);
    RuntimeError::Write {
        name: value.name.clone(),
        want_len,
        want: value.dtype,
        got_len: data.len(),
        got: data.dtype(),
    }
}

/// Checks that `data` is rows of the value from `first` on; says how many elements a row has.
pub(crate) fn check_write_rows(
    graph: &Graph,
    id: ValueId,
    first: usize,
    data: HostSlice<'_>,
) -> Result<usize, RuntimeError> {
    graph.known(id)?;
    let value = graph.value(id);
    let rows = value.shape.dims().first().copied().unwrap_or(1);
    let row = value.shape.len() / rows;
    let end = first.saturating_add(data.len().div_ceil(row));
    let starts = |at: usize| value.dtype != DType::U8 || at.is_multiple_of(4);
    let whole = data.len().is_multiple_of(row) && end <= rows;
    if whole && value.dtype == data.dtype() && starts(first) && (starts(end) || end == rows) {
        check_labels(graph, id, data)?;
        return Ok(row);
    }
    Err(write_error(
        graph,
        id,
        rows.saturating_sub(first) * row,
        data,
    ))
}
