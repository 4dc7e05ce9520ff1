//! Programs: whole training, evaluation and inference graphs, with the values that a host reads and writes.
//!
//! The network itself is a closure from images to logits, so any network that [`GraphBuilder`] can express will do.

use crate::autodiff;
use crate::device::Device;
use crate::error::Result;
use crate::fuse::fuse;
use crate::graph::{Graph, GraphBuilder, GraphError, Phase, Role, ValueId};
use crate::ops::{Adam, Gather, Normalize, Softmax, SoftmaxCrossEntropy};
use crate::runtime::Runtime;
use crate::shape::{DType, Shape, ShapeError};
use crate::tensor::Tensor;

/// Named parameters, in the order of the network's layers.
pub type Parameters = Vec<(String, Tensor)>;

/// The data set that a program takes its batches from.
#[derive(Clone, Debug)]
pub struct Source {
    len: usize,
    image: [usize; 3],
    normalize: Normalize,
}

impl Source {
    /// `len` images of `[C,H,W]` bytes, fed to the network as 0..1.
    pub fn new(len: usize, image: [usize; 3]) -> Self {
        Self {
            len,
            image,
            normalize: Normalize::default(),
        }
    }

    /// The same, normalised by each channel's mean and standard deviation.
    pub fn with_normalize(self, normalize: Normalize) -> Self {
        Self { normalize, ..self }
    }
}

/// What a program does with the logits.
#[derive(Clone, Debug)]
enum Goal {
    Train {
        adam: Adam,
        hyper: ValueId,
        random: Option<ValueId>,
        metrics: ValueId,
    },
    Evaluate {
        metrics: ValueId,
    },
    Infer {
        probabilities: ValueId,
    },
}

/// A whole graph and its ports.
#[derive(Clone, Debug)]
pub struct Program {
    graph: Graph,
    logits: ValueId,
    batch: usize,
    goal: Goal,
}

impl Program {
    /// One training step: gather, forward, loss, backward, update.
    ///
    /// `size` is the `[H,W]` that images are resized to; `network` builds the logits `[batch,L]` from the images
    /// `[batch,C,H,W]`.
    ///
    /// # Errors
    /// [`GraphError`] if the network does not fit its images, is no chain, or has no parameter.
    pub fn training(
        source: &Source,
        size: [usize; 2],
        batch: usize,
        adam: Adam,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId>,
    ) -> Result<Self> {
        let (mut net, logits, labels) = forward(Phase::Train, source, size, batch, network)?;
        let (metrics, dlogits) = loss(net.graph_mut(), logits, labels)?;
        let random = net.random();
        let mut graph = net.finish();
        autodiff::backward(&mut graph, logits, dlogits)?;
        let hyper = graph.add_value("hyper", shape(&[2])?, DType::F32, Role::Input);
        update(&mut graph, adam, hyper)?;
        fuse(&mut graph);
        Ok(Self {
            graph,
            logits,
            batch,
            goal: Goal::Train {
                adam,
                hyper,
                random,
                metrics,
            },
        })
    }

    /// Loss and accuracy of a batch, without dropout and without an update.
    ///
    /// # Errors
    /// As [`Program::training`].
    pub fn evaluation(
        source: &Source,
        size: [usize; 2],
        batch: usize,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId>,
    ) -> Result<Self> {
        let (mut net, logits, labels) = forward(Phase::Eval, source, size, batch, network)?;
        let (metrics, _) = loss(net.graph_mut(), logits, labels)?;
        let mut graph = net.finish();
        fuse(&mut graph);
        Ok(Self {
            graph,
            logits,
            batch,
            goal: Goal::Evaluate { metrics },
        })
    }

    /// Class probabilities of a batch.
    ///
    /// # Errors
    /// As [`Program::training`].
    pub fn inference(
        source: &Source,
        size: [usize; 2],
        batch: usize,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId>,
    ) -> Result<Self> {
        let (mut net, logits, _) = forward(Phase::Eval, source, size, batch, network)?;
        let probabilities = net.graph_mut().push1("softmax", Softmax, &[logits])?;
        net.graph_mut().keep(probabilities);
        let mut graph = net.finish();
        fuse(&mut graph);
        Ok(Self {
            graph,
            logits,
            batch,
            goal: Goal::Infer { probabilities },
        })
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The logits `[batch,L]`, readable after a run.
    pub fn logits(&self) -> ValueId {
        self.logits
    }

    /// Images of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Gives the program memory on a device.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub fn load(&self, device: &Device) -> Result<Run> {
        let runtime = device.load(self.graph.clone())?;
        Ok(Run {
            program: self.clone(),
            runtime,
        })
    }
}

fn shape(dims: &[usize]) -> Result<Shape, ShapeError> {
    Shape::new(dims)
}

/// Images, network, logits; returns the builder, the logits and the batch's labels.
fn forward(
    phase: Phase,
    source: &Source,
    [height, width]: [usize; 2],
    batch: usize,
    network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId>,
) -> Result<(GraphBuilder, ValueId, ValueId)> {
    let mut net = GraphBuilder::new(phase);
    let gather = Gather::new(height, width, source.normalize);
    let (images, labels) = net.gather(source.len, source.image, batch, gather)?;
    let logits = network(&mut net, images)?;
    net.graph_mut().keep(logits);
    Ok((net, logits, labels))
}

/// Appends the loss; returns the metrics and the gradient of the logits.
fn loss(graph: &mut Graph, logits: ValueId, labels: ValueId) -> Result<(ValueId, ValueId)> {
    let classes = graph
        .value(logits)
        .shape
        .dims()
        .last()
        .copied()
        .unwrap_or(1);
    let len = shape(&[SoftmaxCrossEntropy::metrics_len(classes)])?;
    let metrics = graph.add_value("metrics", len, DType::F32, Role::Accumulator);
    let out = graph.push("loss", SoftmaxCrossEntropy, &[logits, labels], &[metrics])?;
    Ok((metrics, out[0]))
}

/// Appends the optimizer over every parameter that has a gradient.
fn update(graph: &mut Graph, adam: Adam, hyper: ValueId) -> Result<(), GraphError> {
    let all: Vec<ValueId> = graph.parameters().collect();
    let gradients: Vec<(ValueId, ValueId)> = graph.gradients().collect();
    let mut inputs = vec![hyper];
    let mut updates = Vec::new();
    for &parameter in &all {
        if let Some(&(_, gradient)) = gradients.iter().find(|(of, _)| *of == parameter) {
            inputs.push(gradient);
            updates.push(parameter);
        }
    }
    let parameters = updates.clone();
    for n in 0..2 {
        for &parameter in &parameters {
            let value = graph.value(parameter);
            let (name, shape) = (format!("{}.moment{}", value.name, n + 1), value.shape);
            let role = Role::Moment(parameter, n);
            updates.push(graph.add_value(name, shape, DType::F32, role));
        }
    }
    graph.push("optimizer", adam, &inputs, &updates)?;
    Ok(())
}

/// Loss and accuracy over the images of one or more runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    loss: f64,
    correct: f64,
    rows: f64,
    active: Vec<f64>,
}

impl Metrics {
    /// From the accumulator of [`SoftmaxCrossEntropy`].
    fn new(sums: &[f32]) -> Self {
        let at = |i: usize| sums.get(i).map_or(0.0, |&x| f64::from(x));
        let active = sums.iter().skip(3).map(|&x| f64::from(x)).collect();
        Self {
            loss: at(0),
            correct: at(1),
            rows: at(2),
            active,
        }
    }

    /// Mean loss over the images.
    pub fn loss(&self) -> f64 {
        self.loss / self.rows
    }

    /// Part of the images whose most probable class was right.
    pub fn accuracy(&self) -> f64 {
        self.correct / self.rows
    }

    /// Images counted.
    pub fn images(&self) -> u64 {
        self.rows as u64
    }

    /// Classes whose logit was zero for every image: behind a last ReLU they no longer learn.
    pub fn dead_classes(&self) -> Vec<usize> {
        (0..self.active.len())
            .filter(|&class| self.active[class] == 0.0)
            .collect()
    }

    /// Adds the images of another interval.
    pub fn add(&mut self, other: &Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.rows += other.rows;
        self.active.resize(other.active.len(), 0.0);
        for (to, from) in self.active.iter_mut().zip(&other.active) {
            *to += from;
        }
    }

    /// No images yet.
    pub fn empty() -> Self {
        Self {
            loss: 0.0,
            correct: 0.0,
            rows: 0.0,
            active: Vec::new(),
        }
    }
}

/// A program with memory on a device.
pub struct Run {
    program: Program,
    runtime: Box<dyn Runtime>,
}

impl Run {
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

    fn write(&mut self, name: &str, data: crate::tensor::HostSlice<'_>) -> Result<()> {
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
        let Goal::Infer { probabilities } = self.program.goal else {
            return Err(wrong_goal("inference"));
        };
        self.queue(indices, None)?;
        self.tensor(probabilities)
    }

    /// Runs that the device has finished.
    pub fn completed(&self) -> u64 {
        self.runtime.completed()
    }
}

fn wrong_goal(want: &'static str) -> crate::Error {
    crate::train::TrainError::WrongProgram(want).into()
}
