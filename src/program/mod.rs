//! Programs: whole training, evaluation and inference graphs, with the values that a host reads and writes.
//!
//! The network itself is a closure from images to logits, so any network that [`GraphBuilder`] can express will do.
//!
//! ```
//! use nin_wgpu::device::{Device, DeviceChoice};
//! use nin_wgpu::init::Init;
//! use nin_wgpu::ops::{Adam, Conv2d};
//! use nin_wgpu::program::{Program, Source};
//!
//! // A data set of four 8x8 images, two classes: dark and bright.
//! let pixels: Vec<u8> = [10u8, 240, 30, 250].iter().flat_map(|&v| [v; 64]).collect();
//! let source = Source::new(4, [1, 8, 8]);
//! let program = Program::training(&source, [8, 8], 4, Adam::default(), |net, x| {
//!     let x = net.conv2d("conv1", x, 8, Conv2d::new(3, 1, 1)?)?;
//!     let x = net.relu(x)?;
//!     let x = net.conv2d("conv2", x, 2, Conv2d::new(1, 1, 0)?)?;
//!     net.global_avg_pool(x)
//! })?;
//!
//! let mut run = program.load(&Device::open(DeviceChoice::Cpu)?)?;
//! run.set_parameters(&Init::Kaiming.parameters(program.graph(), 1)?)?;
//! run.set_data(&pixels, &[0, 1, 0, 1])?;
//! let losses: Vec<f64> = (1..=20)
//!     .map(|step| run.train_step(&[0, 1, 2, 3], 0.01, step).map(|metrics| metrics.loss()))
//!     .collect::<Result<_, _>>()?;
//! assert!(losses[19] < losses[0]);
//! # Ok::<(), nin_wgpu::Error>(())
//! ```

mod metrics;
mod profile;
mod run;
mod speed;
mod training;
mod update;

pub use metrics::Metrics;
pub(crate) use run::Weights;
pub use run::{LayerMaps, Run, RunError};
pub use training::{Loss, Training};
use update::{End, update};

use std::sync::Arc;

use crate::backend::device::{Device, LoadError};
use crate::backend::wait::block_on;
use crate::graph::autodiff;
use crate::graph::fuse::fuse;
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::graph::tensor::Tensor;
use crate::graph::{Graph, GraphBuilder, GraphError, MapGrid, Node, Phase, Role, ValueId};
use crate::ops::{Augment, Conv2d, Gather, Normalize, Op, Reshape, Softmax, SoftmaxCrossEntropy};

/// Named parameters and running statistics, in the order of the network's layers.
pub type Parameters = Vec<(String, Tensor)>;

/// The data set that a program takes its batches from.
#[derive(Clone, Debug)]
pub struct Source {
    len: usize,
    image: [usize; 3],
    normalize: Normalize,
    augment: Augment,
}

impl Source {
    /// `len` images of `[C,H,W]` bytes, fed to the network as 0..1.
    pub fn new(len: usize, image: [usize; 3]) -> Self {
        Self {
            len,
            image,
            normalize: Normalize::default(),
            augment: Augment::NONE,
        }
    }

    /// The same, normalised by each channel's mean and standard deviation.
    pub fn with_normalize(self, normalize: Normalize) -> Self {
        Self { normalize, ..self }
    }

    /// The same, with random changes to each image of a training step.
    pub fn with_augment(self, augment: Augment) -> Self {
        Self { augment, ..self }
    }
}

/// A layer whose maps stay readable.
#[derive(Debug)]
struct Layer {
    name: String,
    maps: ValueId,
    grid: MapGrid,
}

/// What a program does with the logits.
#[derive(Debug)]
enum Goal {
    Train {
        training: Training,
        hyper: ValueId,
        norm: Option<ValueId>,
        averaging: Option<ValueId>,
        random: Option<ValueId>,
        boxes: Option<ValueId>,
        metrics: ValueId,
        losses: ValueId,
    },
    Evaluate {
        metrics: ValueId,
        losses: ValueId,
    },
    Infer {
        probabilities: ValueId,
        maps: Option<(ValueId, MapGrid)>,
        layers: Vec<Layer>,
    },
}

/// A whole graph and its ports.
#[derive(Clone, Debug)]
pub struct Program {
    graph: Graph,
    logits: ValueId,
    batch: usize,
    /// Images of one run of the graph: all of the batch, or a part.
    part: usize,
    goal: Arc<Goal>,
}

impl Program {
    /// One training step: gather, forward, loss, backward, update.
    ///
    /// `size` is the `[H,W]` that images are resized to; `network` builds the logits `[batch,L]` from the images
    /// `[batch,C,H,W]`.
    ///
    /// # Errors
    /// [`GraphError`] if the network does not fit its images, has no parameter to train, or not those that the training names.
    pub fn training(
        source: &Source,
        size: [usize; 2],
        batch: usize,
        training: impl Into<Training>,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>,
    ) -> Result<Self, GraphError> {
        Self::training_in_parts(source, size, [batch, batch], training, network)
    }

    /// The same for a batch that the device does not hold at once: a step runs the graph part by part, adds the gradients
    /// up, and updates once. Losses and parameters are those of the whole batch but for rounding.
    ///
    /// `batch` and `part` are the images of a step and of one run of the graph.
    ///
    /// Batch normalisation normalises each part by its own statistics, and its running ones move once a part, as with PyTorch's
    /// accumulation of gradients.
    ///
    /// # Errors
    /// As [`Program::training`]; [`GraphError::UnevenParts`] if `part` does not divide `batch` and the network has batch
    /// normalisation.
    pub fn training_in_parts(
        source: &Source,
        size: [usize; 2],
        [batch, part]: [usize; 2],
        training: impl Into<Training>,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>,
    ) -> Result<Self, GraphError> {
        let training = training.into();
        training.check()?;
        if !(1..=batch).contains(&part) {
            return Err(GraphError::Option {
                option: "images of a part of a batch",
                got: part.to_string(),
                want: "at least 1, and no more than the batch has",
            });
        }
        let (mut net, logits, labels) = forward(Phase::Train, source, size, part, network)?;
        let [sums, losses, dlogits] = loss(net.graph_mut(), logits, labels, &training.loss)?;
        let random = net.random();
        let mut graph = net.finish();
        if !batch.is_multiple_of(part) && graph.statistics().next().is_some() {
            return Err(GraphError::UnevenParts { batch, part });
        }
        let boxes = graph.find("boxes").filter(|_| source.augment.resized);
        let frozen = training.frozen(&graph)?;
        autodiff::backward_but(&mut graph, logits, dlogits, &frozen)?;
        let in_parts = part < batch;
        let len = match in_parts || training.clip_norm.is_some() || training.skip_non_finite {
            true => 6,
            false => 3,
        };
        let hyper = graph.add_value("hyper", shape(&[len])?, DType::F32, Role::Input);
        let End {
            norm,
            averaging,
            metrics,
        } = update(&mut graph, &training, [hyper, sums], in_parts)?;
        fuse(&mut graph);
        Ok(Self {
            graph,
            logits,
            batch,
            part,
            goal: Arc::new(Goal::Train {
                training,
                hyper,
                norm,
                averaging,
                random,
                boxes,
                metrics,
                losses,
            }),
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
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>,
    ) -> Result<Self, GraphError> {
        let (mut net, logits, labels) = forward(Phase::Eval, source, size, batch, network)?;
        let plain = Loss::default();
        let [metrics, losses, _] = loss(net.graph_mut(), logits, labels, &plain)?;
        let mut graph = net.finish();
        fuse(&mut graph);
        Ok(Self {
            graph,
            logits,
            batch,
            part: batch,
            goal: Arc::new(Goal::Evaluate { metrics, losses }),
        })
    }

    /// Class probabilities of a batch.
    ///
    /// If the logits come from global average pooling, or from a linear layer behind it, maps `[batch,L,h,w]` whose means are the
    /// logits stay readable too ([`Run::maps`]), as long as their pixels have a place on the images ([`GraphBuilder::grid`]).
    ///
    /// # Errors
    /// As [`Program::training`].
    pub fn inference(
        source: &Source,
        size: [usize; 2],
        batch: usize,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>,
    ) -> Result<Self, GraphError> {
        Self::inferring(source, size, batch, network, |_| Vec::new())
    }

    /// The same, and the maps behind every ReLU stay readable ([`Run::layers_async`]), as long as their pixels have a place on the
    /// images.
    ///
    /// # Errors
    /// As [`Program::training`].
    pub fn inspection(
        source: &Source,
        size: [usize; 2],
        batch: usize,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>,
    ) -> Result<Self, GraphError> {
        Self::inferring(source, size, batch, network, layers)
    }

    fn inferring(
        source: &Source,
        size: [usize; 2],
        batch: usize,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>,
        layers: impl Fn(&GraphBuilder) -> Vec<Layer>,
    ) -> Result<Self, GraphError> {
        let (mut net, logits, _) = forward(Phase::Eval, source, size, batch, network)?;
        let layers = layers(&net);
        for layer in &layers {
            net.graph_mut().keep(layer.maps);
        }
        let probabilities = net
            .graph_mut()
            .push1("softmax", Softmax::default(), &[logits])?;
        net.graph_mut().keep(probabilities);
        let maps = class_maps(&mut net, logits)?;
        if let Some((maps, _)) = maps {
            net.graph_mut().keep(maps);
        }
        let mut graph = net.finish();
        fuse(&mut graph);
        Ok(Self {
            graph,
            logits,
            batch,
            part: batch,
            goal: Arc::new(Goal::Infer {
                probabilities,
                maps,
                layers,
            }),
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

    /// Where the pixels of each class's map lie on the network's input; `None` if the program keeps no maps.
    pub fn map_grid(&self) -> Option<MapGrid> {
        match *self.goal {
            Goal::Infer { maps, .. } => maps.map(|(_, grid)| grid),
            _ => None,
        }
    }

    /// Shape `[batch,L,h,w]` of each class's maps; `None` if the program keeps none.
    pub fn map_shape(&self) -> Option<Shape> {
        match *self.goal {
            Goal::Infer { maps, .. } => maps.map(|(maps, _)| self.graph.value(maps).shape),
            _ => None,
        }
    }

    /// Images of a batch.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// How many times the graph is run for a batch.
    pub fn parts(&self) -> usize {
        self.batch.div_ceil(self.part)
    }

    /// Gives the program memory on a device.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub fn load(&self, device: &Device) -> Result<Run, LoadError> {
        block_on(self.load_async(device))
    }

    /// [`Program::load`] to be awaited.
    ///
    /// # Errors
    /// As [`Device::load`].
    pub async fn load_async(&self, device: &Device) -> Result<Run, LoadError> {
        let runtime = device.load_async(self.graph.clone()).await?;
        Ok(Run::new(self.clone(), runtime))
    }

    /// The same by the kernels usual for the device's kind, with nothing measured or noted.
    pub(crate) async fn load_usual_async(&self, device: &Device) -> Result<Run, LoadError> {
        let runtime = device.load_usual_async(self.graph.clone()).await?;
        Ok(Run::new(self.clone(), runtime))
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
    network: impl Fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>,
) -> Result<(GraphBuilder, ValueId, ValueId), GraphError> {
    let mut net = GraphBuilder::new(phase);
    let augment = match phase {
        Phase::Train => source.augment,
        // Nobody draws for it.
        Phase::Eval => Augment::NONE,
    };
    let gather = Gather::new(height, width, source.normalize).with_augment(augment);
    let (images, labels) = net.gather(source.len, source.image, batch, gather)?;
    let logits = network(&mut net, images)?;
    net.graph().known(logits)?;
    net.graph_mut().keep(logits);
    Ok((net, logits, labels))
}

/// The maps `[N,L,h,w]` whose means are the logits, and where they lie on the images, if there are any: those before global
/// average pooling, or, with a linear layer behind it, what that makes of every pixel (class activation maps, Zhou et al.,
/// arXiv:1512.04150).
fn class_maps(
    net: &mut GraphBuilder,
    logits: ValueId,
) -> Result<Option<(ValueId, MapGrid)>, GraphError> {
    let producer = |graph: &Graph, id| {
        let mut nodes = graph.nodes().iter().rev();
        nodes
            .find(|node| node.outputs.first() == Some(&id))
            .cloned()
    };
    let pooled = |graph: &Graph, id| {
        let node = producer(graph, id)?;
        matches!(node.op, Op::GlobalAvgPool(_)).then(|| node.inputs[0])
    };
    if let Some(maps) = pooled(net.graph(), logits) {
        return Ok(net.grid(maps).map(|grid| (maps, grid)));
    }
    let Some(node) = producer(net.graph(), logits) else {
        return Ok(None);
    };
    let (Op::Linear(linear), Some(x)) = (node.op, pooled(net.graph(), node.inputs[0])) else {
        return Ok(None);
    };
    let Some(grid) = net.grid(x) else {
        return Ok(None);
    };
    let graph = net.graph_mut();
    let [k, c] = [0, 1].map(|i| graph.shape(node.inputs[1]).dims()[i]);
    let filters = Reshape::new(shape(&[k, c, 1, 1])?);
    let filters = graph.push1("maps", filters, &[node.inputs[1]])?;
    let pointwise = Conv2d::new(1, 1, 0)?;
    let pointwise = match linear.has_bias() {
        true => pointwise,
        false => pointwise.without_bias(),
    };
    let mut inputs = vec![x, filters];
    inputs.extend(node.inputs.get(2));
    Ok(Some((graph.push1("maps", pointwise, &inputs)?, grid)))
}

/// What is behind every ReLU, as far as it is maps.
fn layers(net: &GraphBuilder) -> Vec<Layer> {
    let graph = net.graph();
    let behind_relu = |node: &Node| {
        let maps = *node.outputs.first()?;
        let is_maps = matches!(node.op, Op::Relu(_)) && graph.shape(maps).dims().len() == 4;
        let grid = net.grid(maps).filter(|_| is_maps)?;
        Some(Layer {
            name: node.layer.clone(),
            maps,
            grid,
        })
    };
    graph.nodes().iter().filter_map(behind_relu).collect()
}

/// Appends the loss; returns the metrics, the losses of the images and the gradient of the logits.
fn loss(
    graph: &mut Graph,
    logits: ValueId,
    labels: ValueId,
    loss: &Loss,
) -> Result<[ValueId; 3], GraphError> {
    let classes = graph
        .value(logits)
        .shape
        .dims()
        .last()
        .copied()
        .unwrap_or(1);
    let len = shape(&[SoftmaxCrossEntropy::metrics_len(classes)])?;
    let metrics = graph.add_value("metrics", len, DType::F32, Role::Accumulator);
    let [dlogits, losses] = loss.push(graph, [logits, labels, metrics])?;
    graph.keep(losses);
    Ok([metrics, losses, dlogits])
}
