//! Building a network: what a model is written with.

use std::collections::HashMap;

use super::{Graph, GraphError, MapGrid, Phase, Role, ValueId};
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::ops::{
    Activation, Add, AvgPool2d, Concat, Conv2d, Dropout, Gather, GlobalAvgPool, MaxPool2d, Pool2d,
    Relu, Reshape,
};

/// Builds the forward part of a graph, layer by layer.
///
/// ```
/// use nin_wgpu::graph::{GraphBuilder, Phase};
/// use nin_wgpu::ops::{Conv2d, Pool2d};
///
/// let mut net = GraphBuilder::new(Phase::Eval);
/// let x = net.input("images", &[16, 1, 28, 28])?;
/// let x = net.conv2d("conv1", x, 32, Conv2d::new(5, 1, 2)?)?;
/// let x = net.relu(x)?;
/// let x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
/// let x = net.conv2d("conv2", x, 10, Conv2d::new(1, 1, 0)?)?;
/// let logits = net.global_avg_pool(x)?;
/// assert_eq!(net.graph().value(logits).shape.dims(), [16, 10]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A value may be read any number of times, so networks branch and join. A residual block, of `c` channels:
///
/// ```
/// use nin_wgpu::graph::{GraphBuilder, GraphError, Phase, ValueId};
/// use nin_wgpu::ops::Conv2d;
///
/// fn residual(net: &mut GraphBuilder, name: &str, x: ValueId, c: usize) -> Result<ValueId, Box<dyn std::error::Error>> {
///     let y = net.conv2d(&format!("{name}.1"), x, c, Conv2d::new(3, 1, 1)?)?;
///     let y = net.relu(y)?;
///     let y = net.conv2d(&format!("{name}.2"), y, c, Conv2d::new(3, 1, 1)?)?;
///     let y = net.add(y, x)?;
///     Ok(net.relu(y)?)
/// }
///
/// let mut net = GraphBuilder::new(Phase::Train);
/// let x = net.input("images", &[16, 8, 28, 28])?;
/// let x = residual(&mut net, "block1", x, 8)?;
/// let x = residual(&mut net, "block2", x, 8)?;
/// assert_eq!(net.graph().value(x).shape.dims(), [16, 8, 28, 28]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct GraphBuilder {
    graph: Graph,
    phase: Phase,
    layer: String,
    random: Option<ValueId>,
    /// Grids other than the input's; `None` where a join or a reshaping left none.
    grids: HashMap<ValueId, Option<MapGrid>>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(phase: Phase) -> Self {
        Self {
            graph: Graph::default(),
            phase,
            layer: "input".into(),
            random: None,
            grids: HashMap::new(),
        }
    }

    /// The graph so far.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// The random state (seed, step, place of the first image in its batch) that dropout and augmentation read, if any is there.
    pub(crate) fn random(&self) -> Option<ValueId> {
        self.random
    }

    /// Where the pixels of `x [N,C,H,W]` lie on the images that the network began with; `None` if they have no one place
    /// there, behind a join of maps that lie on different grids or behind [`GraphBuilder::flatten`].
    pub fn grid(&self, x: ValueId) -> Option<MapGrid> {
        self.grids.get(&x).copied().unwrap_or(Some(MapGrid::INPUT))
    }

    /// The grid that all of `values` lie on, if it is one.
    fn common_grid(&self, values: &[ValueId]) -> Option<MapGrid> {
        let mut grids = values.iter().map(|&x| self.grid(x));
        let first = grids.next().flatten()?;
        grids.all(|grid| grid == Some(first)).then_some(first)
    }

    /// Name and shape of each value, as the errors of joins tell them.
    fn named(&self, values: &[ValueId]) -> Vec<(&str, Shape)> {
        let value = |&id: &ValueId| (self.graph.value(id).name.as_str(), self.graph.shape(id));
        values.iter().map(value).collect()
    }

    /// What makes an error of the layer at hand of one of shapes.
    fn misfit(&self) -> impl Fn(ShapeError) -> GraphError + use<> {
        let layer = self.layer.clone();
        move |source| GraphError::Shape {
            layer: layer.clone(),
            source,
        }
    }

    /// What the graph is for.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    fn shape_of(&self, dims: &[usize]) -> Result<Shape, GraphError> {
        Shape::new(dims).map_err(|source| GraphError::Shape {
            layer: self.layer.clone(),
            source,
        })
    }

    /// The input `random [3]`: seed, step, and the place of the first image in its batch.
    fn random_state(&mut self) -> Result<ValueId, GraphError> {
        let shape = self.shape_of(&[3])?;
        Ok(*self.random.get_or_insert_with(|| {
            self.graph
                .add_value("random", shape, DType::U32, Role::Input)
        }))
    }

    /// A float input that the host writes, with dimensions `dims`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] for an impossible shape.
    pub fn input(&mut self, name: &str, dims: &[usize]) -> Result<ValueId, GraphError> {
        let shape = self.shape_of(dims)?;
        Ok(self.graph.add_value(name, shape, DType::F32, Role::Input))
    }

    /// Batches of `batch` images out of a data set of `len` images that lies on the device.
    ///
    /// Adds the inputs `data.images` `[len,C,h,w]` (bytes), `data.labels` `[len]` and `indices` `[batch]`, with
    /// augmentation also `random` `[3]` (seed, step, place of the first image in its batch), for random parts `boxes`
    /// `[batch,4]` (top, left, height, width, as [`resized_crop`](crate::data::resized_crop) draws them), and
    /// returns the batch's images `[batch,C,H,W]` and labels `[batch]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] for an impossible shape.
    pub fn gather(
        &mut self,
        len: usize,
        image: [usize; 3],
        batch: usize,
        gather: Gather,
    ) -> Result<(ValueId, ValueId), GraphError> {
        let [c, h, w] = image;
        let (images, labels) = (self.shape_of(&[len, c, h, w])?, self.shape_of(&[len])?);
        let indices = self.shape_of(&[batch])?;
        let images = self
            .graph
            .add_value("data.images", images, DType::U8, Role::Input);
        let labels = self
            .graph
            .add_value("data.labels", labels, DType::U32, Role::Input);
        let indices = self
            .graph
            .add_value("indices", indices, DType::U32, Role::Input);
        let mut inputs = vec![images, labels, indices];
        if gather.is_random() {
            inputs.push(self.random_state()?);
        }
        if gather.is_resized() {
            let boxes = self.shape_of(&[batch, 4])?;
            inputs.push(
                self.graph
                    .add_value("boxes", boxes, DType::U32, Role::Input),
            );
        }
        let out = self.graph.push("input", gather, &inputs, &[])?;
        Ok((out[0], out[1]))
    }

    /// A convolution with `k` output channels and a bias: `x [N,C,H,W]` -> `[N,K,P,Q]`.
    ///
    /// Adds the parameters `{name}.weight` `[K,C,R,S]` and `{name}.bias` `[K]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if the filter does not fit, [`GraphError::DuplicateName`] if the name is taken.
    pub fn conv2d(
        &mut self,
        name: &str,
        x: ValueId,
        k: usize,
        conv: Conv2d,
    ) -> Result<ValueId, GraphError> {
        self.layer = name.to_owned();
        let weight = format!("{name}.weight");
        if self.graph.find(&weight).is_some() {
            return Err(GraphError::DuplicateName(name.to_owned()));
        }
        let c = self.graph.shape(x).dims().get(1).copied().unwrap_or(1);
        let w_shape = self.shape_of(&[k, c, conv.filter(), conv.filter()])?;
        let b_shape = self.shape_of(&[k])?;
        let w = self
            .graph
            .add_value(weight, w_shape, DType::F32, Role::Parameter);
        let b = self
            .graph
            .add_value(format!("{name}.bias"), b_shape, DType::F32, Role::Parameter);
        let y = self.graph.push1(name, conv, &[x, w, b])?;
        if let Ok(g) = conv.geometry(self.graph.shape(x), k) {
            let grid = self.grid(x);
            let grid = grid.map(|grid| grid.behind_window([g.r; 2], [g.stride; 2], [g.pad; 2]));
            self.grids.insert(y, grid);
        }
        Ok(y)
    }

    /// `max(x, 0)`, any shape.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` is not of floats.
    pub fn relu(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, Relu, &[x])?;
        self.grids.insert(y, self.grid(x));
        Ok(y)
    }

    /// `a + b`, elementwise: two values of one shape, or one twice.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if their shapes differ, naming both.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, GraphError> {
        let named = self.named(&[a, b]);
        Add::check(named[0], named[1]).map_err(self.misfit())?;
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, Add::default(), &[a, b])?;
        self.grids.insert(y, self.common_grid(&[a, b]));
        Ok(y)
    }

    /// Two or more values side by side, along channels: `[N,Ci,H,W]` -> `[N,sum Ci,H,W]`, likewise `[N,Ci]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] for fewer than two values, or if two differ in anything but their channels, naming both.
    pub fn concat(&mut self, values: &[ValueId]) -> Result<ValueId, GraphError> {
        Concat::check(&self.named(values)).map_err(self.misfit())?;
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, Concat::default(), values)?;
        self.grids.insert(y, self.common_grid(values));
        Ok(y)
    }

    /// Everything of an image as channels: `x [N,C,H,W]` -> `[N,C*H*W,1,1]`, of which a 1x1 convolution makes a dense layer.
    /// Nothing is copied on a GPU.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` is not of floats.
    pub fn flatten(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        let shape = self.graph.shape(x);
        let n = shape.dims()[0];
        let flat = self.shape_of(&[n, shape.len() / n, 1, 1])?;
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, Reshape::new(flat), &[x])?;
        self.grids.insert(y, None);
        Ok(y)
    }

    /// An activation of `x`, any shape.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` is not of floats.
    pub fn activation(
        &mut self,
        x: ValueId,
        activation: Activation,
    ) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, activation, &[x])?;
        self.grids.insert(y, self.grid(x));
        Ok(y)
    }

    /// [`Activation::LeakyRelu`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn leaky_relu(&mut self, x: ValueId, negative_slope: f32) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::LeakyRelu { negative_slope })
    }

    /// [`Activation::Sigmoid`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn sigmoid(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::Sigmoid)
    }

    /// [`Activation::Tanh`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn tanh(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::Tanh)
    }

    /// [`Activation::Silu`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn silu(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::Silu)
    }

    /// [`Activation::Gelu`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn gelu(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::Gelu)
    }

    /// [`Activation::GeluTanh`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn gelu_tanh(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::GeluTanh)
    }

    /// [`Activation::HardSwish`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn hard_swish(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::HardSwish)
    }

    /// Max pooling: `x [N,C,H,W]` -> `[N,C,P,Q]`; rounding down, as PyTorch does, unless in ceil mode.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if the window does not fit.
    pub fn max_pool2d(&mut self, x: ValueId, pool: Pool2d) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        let y = self.graph.push(&layer, MaxPool2d::new(pool), &[x], &[])?[0];
        self.place_behind(pool, x, y);
        Ok(y)
    }

    /// Average pooling: `x [N,C,H,W]` -> `[N,C,P,Q]`. Padding counts as zeros; [`GraphBuilder::avg_pool2d_by`] takes other kinds.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if the window is dilated or does not fit.
    pub fn avg_pool2d(&mut self, x: ValueId, pool: Pool2d) -> Result<ValueId, GraphError> {
        let op = AvgPool2d::new(pool).map_err(self.misfit())?;
        self.avg_pool2d_by(x, op)
    }

    /// Average pooling of any kind: `x [N,C,H,W]` -> `[N,C,P,Q]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if the window does not fit.
    pub fn avg_pool2d_by(&mut self, x: ValueId, op: AvgPool2d) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, op, &[x])?;
        self.place_behind(op.pool(), x, y);
        Ok(y)
    }

    /// Average pooling to maps of `output` rows and columns, which divide those of `x`: `x [N,C,H,W]` -> `[N,C,P,Q]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if they do not.
    pub fn adaptive_avg_pool2d(
        &mut self,
        x: ValueId,
        output: [usize; 2],
    ) -> Result<ValueId, GraphError> {
        let shape = self.graph.shape(x);
        let pool = Pool2d::adaptive(shape, output).map_err(self.misfit())?;
        self.avg_pool2d(x, pool)
    }

    /// Notes where the pixels of `y`, pooled from `x`, lie.
    fn place_behind(&mut self, pool: Pool2d, x: ValueId, y: ValueId) {
        if let Ok(g) = pool.geometry(self.graph.shape(x)) {
            let grid = self.grid(x);
            let grid = grid.map(|grid| grid.behind_window(g.extent, g.stride, g.pad));
            self.grids.insert(y, grid);
        }
    }

    /// Dropout with probability `p`: the identity in [`Phase::Eval`], else zeroes elements and scales the rest by
    /// `1 / (1 - p)`. The mask depends on the run's seed and step, and on the place of this layer.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `p` is not in `[0, 1)`.
    pub fn dropout(&mut self, x: ValueId, p: f32) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        let stream = self.graph.nodes().len() as u32;
        let op = Dropout::new(p, stream).map_err(|source| GraphError::Shape {
            layer: layer.clone(),
            source,
        })?;
        if self.phase == Phase::Eval {
            return Ok(x);
        }
        let random = self.random_state()?;
        let y = self.graph.push1(&layer, op, &[x, random])?;
        self.grids.insert(y, self.grid(x));
        Ok(y)
    }

    /// Mean over each map: `x [N,C,H,W]` -> `[N,C]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` is not `[N,C,H,W]`.
    pub fn global_avg_pool(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        self.graph.push1(&layer, GlobalAvgPool::default(), &[x])
    }
}
