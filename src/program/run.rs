//! A program with memory on a device: the host's side of a step.

use std::sync::Arc;

use super::{Goal, Metrics, Parameters, Program};
use crate::backend::profile::Entry;
use crate::backend::runtime::{Runtime, RuntimeError, write_error};
use crate::backend::wait::block_on;
use crate::data::{DataError, Draw, check_labels, resized_crop};
use crate::gpu::GpuError;
use crate::graph::tensor::{HostSlice, Tensor};
use crate::graph::{MapGrid, Role, ValueId};
use crate::ops::{Ema, IGNORE};

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

/// The maps of one layer, and where they lie on the images.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerMaps {
    /// The layer.
    pub name: String,
    /// Its maps `[batch,K,h,w]`.
    pub maps: Tensor,
    /// Where their pixels lie.
    pub grid: MapGrid,
}

/// Bytes of values that are on their way to the host at once.
const TOGETHER: usize = 16 << 20;

/// What a training leaves behind.
pub(crate) struct Weights {
    /// The parameters and running statistics for use: averages, if there are any.
    pub(crate) used: Parameters,
    /// Those that training goes on with, if they are others.
    pub(crate) trained: Option<Parameters>,
    /// As [`Run::moments`].
    pub(crate) moments: Parameters,
}

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

    /// What part of a batch's gradient comes from the images of `chunk`: that of the weights which the mean is over.
    fn share(&self, weights: Option<&[f32]>, chunk: &[u32], batch: &[u32]) -> f32 {
        let Some(weights) = weights else {
            return chunk.len() as f32 / self.program.batch as f32;
        };
        let weight = |&index: &u32| {
            let label = self.labels.get(index as usize);
            let weight = label.and_then(|&label| weights.get(label as usize));
            weight.map_or(0.0, |&w| f64::from(w))
        };
        // What the loss divides by: 1 for images without any weight, which smoothing lets count.
        let divisor = |images: &[u32]| match images.iter().map(weight).sum() {
            0.0 => 1.0,
            sum => sum,
        };
        (divisor(chunk) / divisor(batch)) as f32
    }

    fn input(&self, name: &str) -> ValueId {
        let id = self.program.graph.find(name);
        id.expect("invariant: every program has this input")
    }

    fn write(&mut self, name: &str, data: HostSlice<'_>) -> Result<()> {
        let id = self.input(name);
        Ok(self.runtime.write(id, data)?)
    }

    /// Writes every parameter and running statistic that the program has and `parameters` names; an average of it begins there, and a
    /// step that is skipped goes back to it.
    ///
    /// # Errors
    /// [`RuntimeError`] if a shape differs.
    pub fn set_parameters(&mut self, parameters: &Parameters) -> Result<()> {
        for (name, tensor) in parameters {
            if let Some(id) = self.program.graph.find(name) {
                for id in [Some(id), self.average_of(id), self.kept_of(id)]
                    .into_iter()
                    .flatten()
                {
                    self.runtime.write(id, tensor.data.as_slice().into())?;
                }
            }
        }
        Ok(())
    }

    fn average_of(&self, parameter: ValueId) -> Option<ValueId> {
        self.of_role(Role::Average(parameter))
    }

    fn kept_of(&self, statistic: ValueId) -> Option<ValueId> {
        self.of_role(Role::Kept(statistic))
    }

    fn of_role(&self, role: Role) -> Option<ValueId> {
        let graph = &self.program.graph;
        let mut ids = graph.ids();
        ids.find(|&id| graph.value(id).role == role)
    }

    /// Reads every parameter and running statistic back, waiting for the device.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn parameters(&mut self) -> Result<Parameters> {
        block_on(self.parameters_async())
    }

    /// [`Run::parameters`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::parameters`].
    pub async fn parameters_async(&mut self) -> Result<Parameters> {
        let ids: Vec<ValueId> = self.program.graph.state().collect();
        self.tensors(ids.into_iter().map(|id| (self.name(id), id)).collect())
            .await
    }

    /// As [`Run::parameters`], with the moving averages of those that have one.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn averaged(&mut self) -> Result<Parameters> {
        let ids = self.program.graph.state();
        let read = |id| (self.name(id), self.average_of(id).unwrap_or(id));
        let named = ids.map(read).collect();
        block_on(self.tensors(named))
    }

    /// Reads all that a checkpoint holds back, each tensor once.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub(crate) async fn weights(&mut self) -> Result<Weights> {
        let trained = self.parameters_async().await?;
        let moments = self.moments_async().await?;
        if !self.averages() {
            return Ok(Weights {
                used: trained,
                trained: None,
                moments,
            });
        }
        let average_of = |name: &str| {
            let of = |other: &str| other.strip_suffix(".ema") == Some(name);
            moments.iter().find(|(other, _)| of(other))
        };
        let used = trained.iter().map(|(name, tensor)| {
            let average = average_of(name).map(|(_, average)| average);
            (name.clone(), average.unwrap_or(tensor).clone())
        });
        Ok(Weights {
            used: used.collect(),
            trained: Some(trained),
            moments,
        })
    }

    /// Whether steps whose gradients are not finite are skipped.
    fn skips(&self) -> bool {
        matches!(&*self.program.goal, Goal::Train { training, .. } if training.skip_non_finite)
    }

    /// Whether the program keeps a moving average of its parameters.
    pub fn averages(&self) -> bool {
        let averaging =
            |goal: &Goal| matches!(goal, Goal::Train { averaging, .. } if averaging.is_some());
        averaging(&self.program.goal)
    }

    /// Reads back what the optimizer keeps of each parameter that it moves: its moments, `{name}.moment1` and
    /// `{name}.moment2`, as many as there are, and `{name}.ema` if it is averaged. [`Run::set_parameters`] writes them too.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn moments(&mut self) -> Result<Parameters> {
        block_on(self.moments_async())
    }

    async fn moments_async(&mut self) -> Result<Parameters> {
        let graph = &self.program.graph;
        let is_kept = |id: &ValueId| {
            matches!(
                graph.value(*id).role,
                Role::Moment(_, 0 | 1) | Role::Average(_)
            )
        };
        let ids = graph.ids().filter(is_kept);
        let named = ids.map(|id| (self.name(id), id)).collect();
        self.tensors(named).await
    }

    /// Norm of all gradients of the last step before they were clipped; `None` unless they are
    /// ([`Training::clip_norm`](super::Training::clip_norm)) or steps may be skipped
    /// ([`Training::skip_non_finite`](super::Training::skip_non_finite)).
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn gradient_norm(&mut self) -> Result<Option<f32>> {
        let Goal::Train {
            norm: Some(norm), ..
        } = *self.program.goal
        else {
            return Ok(None);
        };
        Ok(self.runtime.read(norm)?.first().copied())
    }

    /// Reads the gradient of every parameter that is trained back, under the parameter's name: as it is before clipping.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn gradients(&mut self) -> Result<Parameters> {
        block_on(self.gradients_async())
    }

    /// [`Run::gradients`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::gradients`].
    pub async fn gradients_async(&mut self) -> Result<Parameters> {
        let graph = &self.program.graph;
        let mut ids: Vec<_> = match self.program.parts() {
            1 => graph.gradients().collect(),
            // What is left of each part is only its own.
            _ => graph
                .ids()
                .filter_map(|id| match graph.value(id).role {
                    Role::Moment(parameter, 2) => Some((parameter, id)),
                    _ => None,
                })
                .collect(),
        };
        ids.sort_by_key(|(parameter, _)| *parameter);
        let named = ids.into_iter().map(|(of, id)| (self.name(of), id));
        self.tensors(named.collect()).await
    }

    /// The logits `[batch,L]` of the last run; of a batch that is run in parts, those of the last part.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn logits(&mut self) -> Result<Tensor> {
        block_on(self.logits_async())
    }

    /// [`Run::logits`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::logits`].
    pub async fn logits_async(&mut self) -> Result<Tensor> {
        self.tensor(self.program.logits).await
    }

    /// The loss of each image `[batch]` of the last run, 0 for what counted for nothing; of a batch that is run in parts,
    /// those of the last part. A training's are with its smoothing and weights, before the mean is taken.
    ///
    /// # Errors
    /// [`RunError::WrongProgram`] if the program is for inference, [`RuntimeError`] if the device fails.
    pub fn losses(&mut self) -> Result<Tensor> {
        match *self.program.goal {
            Goal::Train { losses, .. } | Goal::Evaluate { losses, .. } => {
                block_on(self.tensor(losses))
            }
            Goal::Infer { .. } => Err(wrong_goal("training or evaluation")),
        }
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

    /// Queues one training step (`step` counts from 1) without waiting; with `snapshot`, the metrics since the last
    /// snapshot will come from [`Run::take_metrics`].
    ///
    /// # Errors
    /// [`RuntimeError`] if `indices` is not one batch or the device fails, [`RunError::Step`] for step 0, or for a learning rate that
    /// is no number or infinite.
    pub fn queue_train_step(
        &mut self,
        indices: &[u32],
        learning_rate: f64,
        step: u64,
        seed: u32,
        snapshot: bool,
    ) -> Result<()> {
        let goal = Arc::clone(&self.program.goal);
        let &Goal::Train {
            ref training,
            hyper,
            norm,
            averaging,
            random,
            boxes,
            metrics,
            ..
        } = &*goal
        else {
            return Err(wrong_goal("training"));
        };
        check_step(learning_rate, step)?;
        let snapped: Vec<ValueId> = [metrics].into_iter().chain(norm).collect();
        let (part, parts) = (self.program.part, self.program.parts());
        if parts > 1 && indices.len() != self.program.batch {
            let id = self.input("indices");
            let want = self.program.batch;
            return Err(write_error(&self.program.graph, id, want, indices.into()).into());
        }
        for (i, chunk) in indices.chunks(part).enumerate() {
            let (first, last) = (i == 0, i + 1 == parts);
            let weight = self.share(training.loss.class_weights(), chunk, indices);
            let optimizer = &training.optimizer;
            let numbers = optimizer.hyper_of_part(learning_rate, step, first, weight, last);
            // Those of the part are left out where the program has no use for them.
            let numbers = &numbers[..self.program.graph.value(hyper).shape.len()];
            self.runtime.write(hyper, numbers.into())?;
            if let (Some(averaging), Some(decay)) = (averaging, training.ema) {
                let weight = if last { Ema::weight(decay, step) } else { 0.0 };
                self.runtime.write(averaging, [weight].as_slice().into())?;
            }
            if let Some(random) = random {
                let words = [seed, step as u32, (i * part) as u32];
                self.runtime.write(random, words.as_slice().into())?;
            }
            if let Some(boxes) = boxes {
                let words = self.boxes(seed, step as u32, i * part);
                self.runtime.write(boxes, words.as_slice().into())?;
            }
            let mut chunk = chunk.to_vec();
            // A last part may be smaller; what fills it up counts for nothing.
            if parts > 1 {
                chunk.resize(part, IGNORE);
            }
            let snapshot = if snapshot && last { &snapped[..] } else { &[] };
            self.queue(&chunk, snapshot)?;
        }
        Ok(())
    }

    /// The part of each image of a run, `[part,4]`: what a streamed picture in the same place of the batch is cropped to.
    /// `first` is the place of the first image.
    fn boxes(&self, seed: u32, step: u32, first: usize) -> Vec<u32> {
        let images = self.program.graph.value(self.input("data.images")).shape;
        let [_, _, height, width] = [0, 1, 2, 3].map(|i| images.dims()[i]);
        let of = |n: usize| {
            let draw = Draw {
                n: n as u32,
                step,
                seed,
                ..Draw::default()
            };
            let part = resized_crop(height, width, draw);
            [part.top, part.left, part.height, part.width].map(|side| side as u32)
        };
        (first..first + self.program.part).flat_map(of).collect()
    }

    /// Queues the evaluation of the images at `indices`; an index past the data set counts for nothing.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn queue_evaluation(&mut self, indices: &[u32], snapshot: bool) -> Result<()> {
        let Goal::Evaluate { metrics, .. } = *self.program.goal else {
            return Err(wrong_goal("evaluation"));
        };
        let snapped = [metrics];
        self.queue(indices, if snapshot { &snapped } else { &[] })
    }

    /// The snapshots that have arrived, oldest first; with `wait`, all that were queued.
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub fn take_metrics(&mut self, wait: bool) -> Result<Vec<Metrics>> {
        let snapshots = self.runtime.take_snapshots(wait)?;
        let takes_norm = |goal: &Goal| matches!(goal, Goal::Train { norm: Some(_), .. });
        let (with_norm, skips) = (takes_norm(&self.program.goal), self.skips());
        let of = |sums: &Vec<f32>| match sums.split_last() {
            Some((&norm, sums)) if with_norm => Metrics::new(sums, skips).with_gradient_norm(norm),
            _ => Metrics::new(sums, skips),
        };
        Ok(snapshots.iter().map(of).collect())
    }

    /// What a training accumulated since the last snapshot; it goes on from there.
    pub(crate) async fn unfinished_metrics(&mut self) -> Result<Metrics> {
        let Goal::Train { metrics, .. } = *self.program.goal else {
            return Err(wrong_goal("training"));
        };
        Ok(Metrics::new(
            &self.tensor(metrics).await?.data,
            self.skips(),
        ))
    }

    /// Has a training accumulate on from `metrics`, which no more steps were added to than a device can: those of one snapshot.
    pub(crate) fn resume_metrics(&mut self, so_far: &Metrics) -> Result<()> {
        let Goal::Train { metrics, .. } = *self.program.goal else {
            return Err(wrong_goal("training"));
        };
        let sums = so_far.sums(self.skips());
        Ok(self.runtime.write(metrics, sums.as_slice().into())?)
    }

    /// The first value of the last run, in the order of computation, that is not finite; `None` if all are, or on a device that does
    /// not keep them: only the CPU does.
    pub(crate) fn first_non_finite(&mut self) -> Option<String> {
        let graph = &self.program.graph;
        let computed = |id: &ValueId| {
            let role = graph.value(*id).role;
            matches!(role, Role::Activation | Role::Output | Role::Gradient(_))
        };
        let ids: Vec<ValueId> = graph.ids().filter(computed).collect();
        let id = ids.into_iter().find(|&id| {
            let values = self.runtime.read(id);
            values.is_ok_and(|values| values.iter().any(|x| !x.is_finite()))
        })?;
        Some(self.name(id))
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

    /// [`Run::train_step`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::train_step`].
    pub async fn train_step_async(
        &mut self,
        indices: &[u32],
        learning_rate: f64,
        step: u64,
    ) -> Result<Metrics> {
        self.queue_train_step(indices, learning_rate, step, 0, true)?;
        // Copies arrive in their order: with this one the snapshot is there.
        self.logits_async().await?;
        let metrics = self.take_metrics(false)?.pop();
        Ok(metrics.unwrap_or_else(Metrics::empty))
    }

    /// Class probabilities `[batch,L]` of the images at `indices`.
    ///
    /// # Errors
    /// As [`Run::queue_train_step`].
    pub fn probabilities(&mut self, indices: &[u32]) -> Result<Tensor> {
        block_on(self.probabilities_async(indices))
    }

    /// [`Run::probabilities`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::probabilities`].
    pub async fn probabilities_async(&mut self, indices: &[u32]) -> Result<Tensor> {
        let Goal::Infer { probabilities, .. } = *self.program.goal else {
            return Err(wrong_goal("inference"));
        };
        self.queue(indices, &[])?;
        self.tensor(probabilities).await
    }

    /// Each class's map `[batch,L,h,w]` of the last run: what global average pooling made the logits of. Where a map
    /// is high, the network sees its class (arXiv:1312.4400, section 4.6).
    ///
    /// # Errors
    /// [`RunError::NoMaps`] if the logits come from something else, [`RunError::WrongProgram`] if this is no
    /// program for inference, and [`RuntimeError`] if the device fails.
    pub fn maps(&mut self) -> Result<Tensor> {
        block_on(self.maps_async())
    }

    /// [`Run::maps`] to be awaited.
    ///
    /// # Errors
    /// As [`Run::maps`].
    pub async fn maps_async(&mut self) -> Result<Tensor> {
        let Goal::Infer { maps, .. } = *self.program.goal else {
            return Err(wrong_goal("inference"));
        };
        let (maps, _) = maps.ok_or(RunError::NoMaps)?;
        self.tensor(maps).await
    }

    /// The maps behind every ReLU of the last run, from the first layer on; empty unless the program is one of
    /// [`Program::inspection`].
    ///
    /// # Errors
    /// [`RuntimeError`] if the device fails.
    pub async fn layers_async(&mut self) -> Result<Vec<LayerMaps>> {
        let goal = Arc::clone(&self.program.goal);
        let Goal::Infer { layers, .. } = &*goal else {
            return Err(wrong_goal("inference"));
        };
        let mut read = Vec::with_capacity(layers.len());
        for layer in layers {
            read.push(LayerMaps {
                name: layer.name.clone(),
                maps: self.tensor(layer.maps).await?,
                grid: layer.grid,
            });
        }
        Ok(read)
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

/// Refuses what would make every parameter no number.
fn check_step(learning_rate: f64, step: u64) -> Result<()> {
    let refuse = |what, got, want| Err(RunError::Step { what, got, want });
    if step == 0 {
        return refuse(
            "the step",
            "0".into(),
            "1 or more, since steps count from 1",
        );
    }
    if !learning_rate.is_finite() {
        let got = learning_rate.to_string();
        return refuse("the learning rate", got, "a finite number");
    }
    Ok(())
}

fn wrong_goal(want: &'static str) -> RunError {
    RunError::WrongProgram(want)
}
