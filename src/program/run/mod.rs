//! A program with memory on a device: the host's side of a step.

mod metrics;
mod outputs;
mod state;
mod step;

pub use outputs::LayerMaps;
pub(crate) use state::Weights;

use super::{Parameters, Program};
use crate::backend::profile::Entry;
use crate::backend::runtime::{Runtime, RuntimeError};
use crate::data::{DataError, check_labels};
use crate::gpu::GpuError;
use crate::graph::ValueId;
use crate::graph::tensor::{HostSlice, Tensor};

/// Errors of running a program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// Running its graph failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A label is not below the number of classes.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A run was asked for what its program does not do.
    #[error("this program is not for {0}; build it with the matching constructor of `Program`")]
    WrongProgram(&'static str),
    /// A number of a step outside its range.
    #[error("{what} is {got}, expected {want}")]
    Step {
        /// Which number.
        what: &'static str,
        /// What it is.
        got: String,
        /// What it may be, in words.
        want: &'static str,
    },
    /// Class maps were asked of a network that has none.
    #[error(
        "this network has no class maps; only one whose logits come from global average pooling of maps that lie on one grid has"
    )]
    NoMaps,
}

impl From<GpuError> for RunError {
    fn from(error: GpuError) -> Self {
        Self::Runtime(error.into())
    }
}

type Result<T, E = RunError> = std::result::Result<T, E>;

/// Bytes of values that are on their way to the host at once.
const TOGETHER: usize = 16 << 20;

/// A program with memory on a device.
pub struct Run {
    program: Program,
    runtime: Box<dyn Runtime>,
    /// Labels of the data set, where the parts of a batch weigh as these do.
    labels: Vec<u32>,
}

impl Run {
    pub(super) fn new(program: Program, runtime: Box<dyn Runtime>) -> Self {
        Self {
            program,
            runtime,
            labels: Vec::new(),
        }
    }

    /// The program that is run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Uploads the data set: images `[M,C,H,W]` and labels `[M]`.
    ///
    /// # Errors
    /// [`RuntimeError`] if the lengths are not those of the program's source,
    /// [`DataError::Label`] if a label is not below the number of classes.
    pub fn set_data(&mut self, images: &[u8], labels: &[u16]) -> Result<()> {
        let shape = self.program.graph.value(self.program.logits).shape;
        let classes = shape.dims().last().copied().unwrap_or(0);
        check_labels("the data", labels.iter().copied(), classes)?;
        let labels: Vec<u32> = labels.iter().map(|&label| label.into()).collect();
        self.write("data.images", images.into())?;
        self.set_labels(&labels)
    }

    /// Uploads some of the data set's pictures `[..,C,H,W]`, from the one at `first` on; rows in fours, as
    /// [`Runtime::write_rows`] has it.
    pub(crate) fn set_pictures(&mut self, first: usize, images: &[u8]) -> Result<()> {
        let id = self.input("data.images");
        Ok(self.runtime.write_rows(id, first, images.into())?)
    }

    /// Uploads the data set's labels `[M]`, [`IGNORE`](crate::ops::IGNORE) for what counts for nothing.
    pub(crate) fn set_labels(&mut self, labels: &[u32]) -> Result<()> {
        if self.program.parts() > 1 {
            self.labels = labels.to_vec();
        }
        self.write("data.labels", labels.into())
    }

    fn input(&self, name: &str) -> ValueId {
        let id = self.program.graph.find(name);
        id.expect("invariant: every program has this input")
    }

    fn write(&mut self, name: &str, data: HostSlice<'_>) -> Result<()> {
        let id = self.input(name);
        Ok(self.runtime.write(id, data)?)
    }

    fn name(&self, id: ValueId) -> String {
        self.program.graph.value(id).name.clone()
    }

    async fn tensor(&mut self, id: ValueId) -> Result<Tensor> {
        let shape = self.program.graph.value(id).shape;
        let data = self.runtime.queue_read(id)?.await?;
        Ok(Tensor { shape, data })
    }

    /// Values under names, as many under way at once as take [`TOGETHER`] bytes: a browser answers each some milliseconds late,
    /// and all of them may take more than what is left of memory.
    async fn tensors(&mut self, named: Vec<(String, ValueId)>) -> Result<Parameters> {
        let mut tensors = Vec::with_capacity(named.len());
        let mut named = named.into_iter().peekable();
        while named.peek().is_some() {
            let (mut readings, mut bytes) = (Vec::new(), 0);
            while bytes < TOGETHER
                && let Some((name, id)) = named.next()
            {
                let shape = self.program.graph.value(id).shape;
                bytes += 4 * shape.len();
                readings.push((name, shape, self.runtime.queue_read(id)?));
            }
            for (name, shape, reading) in readings {
                let data = reading.await?;
                tensors.push((name, Tensor { shape, data }));
            }
        }
        Ok(tensors)
    }

    /// Queues one run on the images at `indices`, and behind it a copy of what `snapshot` names, if anything.
    fn queue(&mut self, indices: &[u32], snapshot: &[ValueId]) -> Result<()> {
        self.write("indices", indices.into())?;
        match snapshot {
            [] => self.runtime.run()?,
            of => self.runtime.run_and_snapshot(of)?,
        }
        Ok(())
    }

    /// Times each dispatch over `runs` runs with the inputs of the last one; see [`Profile`](crate::backend::profile::Profile).
    /// Each run is a real one: a training step updates its parameters `runs` times.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn profile(&mut self, runs: usize) -> Result<Vec<Entry>> {
        Ok(self.runtime.profile(runs)?)
    }

    /// Hands the device's news on.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device failed.
    pub(crate) fn poll(&mut self) -> Result<()> {
        Ok(self.runtime.poll()?)
    }

    /// Batches that the device has finished.
    pub fn completed(&self) -> u64 {
        self.runtime.completed() / self.program.parts() as u64
    }
}

fn wrong_goal(want: &'static str) -> RunError {
    RunError::WrongProgram(want)
}
