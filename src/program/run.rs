//! A program with memory on a device: the host's side of a step.

use super::{Goal, Metrics, Parameters, Program};
use crate::error::Result;
use crate::graph::{Role, ValueId};
use crate::profile::Entry;
use crate::runtime::Runtime;
use crate::tensor::{HostSlice, Tensor};
use crate::train::TrainError;

/// A program with memory on a device.
pub struct Run {
    program: Program,
    runtime: Box<dyn Runtime>,
}

impl Run {
    pub(super) fn new(program: Program, runtime: Box<dyn Runtime>) -> Self {
        Self { program, runtime }
    }

    /// The program that is run.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Uploads the data set: images `[M,C,H,W]` and labels `[M]`.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if the lengths are not those of the program's source.
    pub fn set_data(&mut self, images: &[u8], labels: &[u8]) -> Result<()> {
        let labels: Vec<u32> = labels.iter().map(|&label| label.into()).collect();
        self.write("data.images", images.into())?;
        self.write("data.labels", labels.as_slice().into())
    }

    fn write(&mut self, name: &str, data: HostSlice<'_>) -> Result<()> {
        let id = self
            .program
            .graph
            .find(name)
            .expect("invariant: every program has this input");
        Ok(self.runtime.write(id, data)?)
    }

    /// Writes every parameter that the program has and `parameters` names.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if a shape differs.
    pub fn set_parameters(&mut self, parameters: &Parameters) -> Result<()> {
        for (name, tensor) in parameters {
            if let Some(id) = self.program.graph.find(name) {
                self.runtime.write(id, tensor.data.as_slice().into())?;
            }
        }
        Ok(())
    }

    /// Reads every parameter back, waiting for the device.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if the device fails.
    pub fn parameters(&mut self) -> Result<Parameters> {
        let ids: Vec<ValueId> = self.program.graph.parameters().collect();
        ids.into_iter()
            .map(|id| Ok((self.name(id), self.tensor(id)?)))
            .collect()
    }

    /// Reads the optimizer's moments back, two for each parameter: `{name}.moment1` and `{name}.moment2`.
    /// [`Run::set_parameters`] writes them too.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if the device fails.
    pub fn moments(&mut self) -> Result<Parameters> {
        let graph = &self.program.graph;
        let is_moment = |id: &ValueId| matches!(graph.value(*id).role, Role::Moment(..));
        let ids: Vec<ValueId> = graph.ids().filter(is_moment).collect();
        ids.into_iter()
            .map(|id| Ok((self.name(id), self.tensor(id)?)))
            .collect()
    }

    /// Reads the gradient of every parameter back, under the parameter's name.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if the device fails.
    pub fn gradients(&mut self) -> Result<Parameters> {
        let ids: Vec<_> = self.program.graph.gradients().collect();
        let mut gradients = ids
            .into_iter()
            .map(|(parameter, id)| Ok((parameter, self.name(parameter), self.tensor(id)?)))
            .collect::<Result<Vec<_>>>()?;
        gradients.sort_by_key(|(parameter, ..)| *parameter);
        Ok(gradients
            .into_iter()
            .map(|(_, name, tensor)| (name, tensor))
            .collect())
    }

    /// The logits `[batch,L]` of the last run.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if the device fails.
    pub fn logits(&mut self) -> Result<Tensor> {
        self.tensor(self.program.logits)
    }

    fn name(&self, id: ValueId) -> String {
        self.program.graph.value(id).name.clone()
    }

    fn tensor(&mut self, id: ValueId) -> Result<Tensor> {
        let shape = self.program.graph.value(id).shape;
        Ok(Tensor {
            shape,
            data: self.runtime.read(id)?,
        })
    }

    /// Queues one run on the images at `indices`; with `snapshot`, also a copy of the metrics since the last one.
    fn queue(&mut self, indices: &[u32], snapshot: Option<ValueId>) -> Result<()> {
        self.write("indices", indices.into())?;
        match snapshot {
            Some(metrics) => self.runtime.run_and_snapshot(metrics)?,
            None => self.runtime.run()?,
        }
        Ok(())
    }

    /// Queues one training step (`step` counts from 1) without waiting; with `snapshot`, the metrics since the last
    /// snapshot will come from [`Run::take_metrics`].
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if `indices` is not one batch or the device fails.
    pub fn queue_train_step(
        &mut self,
        indices: &[u32],
        learning_rate: f64,
        step: u64,
        seed: u32,
        snapshot: bool,
    ) -> Result<()> {
        let Goal::Train {
            adam,
            hyper,
            random,
            metrics,
        } = self.program.goal.clone()
        else {
            return Err(wrong_goal("training"));
        };
        self.runtime
            .write(hyper, adam.hyper(learning_rate, step).as_slice().into())?;
        if let Some(random) = random {
            self.runtime
                .write(random, [seed, step as u32].as_slice().into())?;
        }
        self.queue(indices, snapshot.then_some(metrics))
    }

    /// Queues the evaluation of the images at `indices`; an index past the data set counts for nothing.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn queue_evaluation(&mut self, indices: &[u32], snapshot: bool) -> Result<()> {
        let Goal::Evaluate { metrics } = self.program.goal else {
            return Err(wrong_goal("evaluation"));
        };
        self.queue(indices, snapshot.then_some(metrics))
    }

    /// The snapshots that have arrived, oldest first; with `wait`, all that were queued.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if the device fails.
    pub fn take_metrics(&mut self, wait: bool) -> Result<Vec<Metrics>> {
        let snapshots = self.runtime.take_snapshots(wait)?;
        Ok(snapshots.iter().map(|sums| Metrics::new(sums)).collect())
    }

    /// One training step, waited for. `step` counts from 1.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn train_step(
        &mut self,
        indices: &[u32],
        learning_rate: f64,
        step: u64,
    ) -> Result<Metrics> {
        self.queue_train_step(indices, learning_rate, step, 0, true)?;
        Ok(self
            .take_metrics(true)?
            .pop()
            .unwrap_or_else(Metrics::empty))
    }

    /// Class probabilities `[batch,L]` of the images at `indices`.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn probabilities(&mut self, indices: &[u32]) -> Result<Tensor> {
        let Goal::Infer { probabilities, .. } = self.program.goal else {
            return Err(wrong_goal("inference"));
        };
        self.queue(indices, None)?;
        self.tensor(probabilities)
    }

    /// Each class's map `[batch,L,h,w]` of the last run: what global average pooling made the logits of. Where a map
    /// is high, the network sees its class (arXiv:1312.4400, section 4.6).
    ///
    /// # Errors
    /// [`TrainError::NoMaps`] if the logits come from something else, [`TrainError::WrongProgram`] if this is no
    /// program for inference, and [`crate::runtime::RuntimeError`] if the device fails.
    pub fn maps(&mut self) -> Result<Tensor> {
        let Goal::Infer { maps, .. } = self.program.goal else {
            return Err(wrong_goal("inference"));
        };
        let (maps, _) = maps.ok_or(TrainError::NoMaps)?;
        self.tensor(maps)
    }

    /// Times each dispatch over `runs` runs with the inputs of the last one; see [`Profile`](crate::profile::Profile).
    /// Each run is a real one: a training step updates its parameters `runs` times.
    ///
    /// # Errors
    /// [`crate::runtime::RuntimeError`] if the device fails.
    pub fn profile(&mut self, runs: usize) -> Result<Vec<Entry>> {
        Ok(self.runtime.profile(runs)?)
    }

    /// Runs that the device has finished.
    pub fn completed(&self) -> u64 {
        self.runtime.completed()
    }
}

fn wrong_goal(want: &'static str) -> crate::Error {
    TrainError::WrongProgram(want).into()
}
