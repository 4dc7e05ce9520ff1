//! Building a network: what a model is written with.
//!
//! Each kind of layer has a file of its own; what they have in common is here.

mod activation;
mod conv2d;
mod join;
mod linear;
mod norm;
mod pool2d;

use std::collections::HashMap;

use super::{Graph, GraphError, MapGrid, Phase, Role, ValueId};
use crate::graph::shape::{DType, Shape, ShapeError};
use crate::ops::Gather;

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
    /// Whether layers take parameters that are there already.
    shares: bool,
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
            shares: false,
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

    /// What makes an error of the layer at hand of one of shapes.
    fn misfit(&self) -> impl Fn(ShapeError) -> GraphError + use<> {
        let layer = self.layer.clone();
        move |source| GraphError::Shape {
            layer: layer.clone(),
            source: Box::new(source),
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

    /// Builds a layer of this name. One that does not fit leaves nothing behind: a network may go on without it.
    fn build(
        &mut self,
        name: &str,
        layer: impl FnOnce(&mut Self) -> Result<ValueId, GraphError>,
    ) -> Result<ValueId, GraphError> {
        let before = std::mem::replace(&mut self.layer, name.to_owned());
        let values = self.graph.ids().count();
        let built = layer(self);
        if built.is_err() {
            self.graph.forget(values);
            self.layer = before;
        }
        built
    }

    fn shape_of(&self, dims: &[usize]) -> Result<Shape, GraphError> {
        Shape::new(dims).map_err(|source| GraphError::Shape {
            layer: self.layer.clone(),
            source: Box::new(source),
        })
    }

    /// A parameter of the layer at hand, under the name that PyTorch gives it.
    fn parameter(&mut self, name: String, dims: &[usize]) -> Result<ValueId, GraphError> {
        self.state(name, dims, Role::Parameter)
    }

    /// A parameter or statistic, likewise.
    fn state(&mut self, name: String, dims: &[usize], role: Role) -> Result<ValueId, GraphError> {
        let shape = self.shape_of(dims)?;
        match self.graph.find(&name) {
            None if self.shares => Err(GraphError::NotShared(name)),
            None => Ok(self.graph.add_value(name, shape, DType::F32, role)),
            Some(_) if !self.shares => Err(GraphError::DuplicateName(self.layer.clone())),
            Some(id) if self.graph.shape(id) == shape => Ok(id),
            Some(id) => {
                let have = self.graph.shape(id);
                let what = format!("`{name}` is shared and {have}, but here it would be {shape}");
                Err(self.misfit()(ShapeError::Parameter { op: "layer", what }))
            }
        }
    }

    /// Builds layers whose parameters are those of layers of the same names, built before: tied weights, or one network over
    /// several inputs. Gradients of all uses are summed.
    ///
    /// ```
    /// use nin_wgpu::graph::{GraphBuilder, GraphError, Phase, ValueId};
    /// use nin_wgpu::ops::Conv2d;
    ///
    /// fn branch(net: &mut GraphBuilder, x: ValueId) -> Result<ValueId, GraphError> {
    ///     let x = net.conv2d("conv", x, 8, Conv2d::new(3, 2, 1)?)?;
    ///     let x = net.relu(x)?;
    ///     net.global_avg_pool(x)
    /// }
    ///
    /// // Two views of a picture, one network, and what it makes of both.
    /// let mut net = GraphBuilder::new(Phase::Train);
    /// let [left, right] = [net.input("left", &[4, 3, 32, 32])?, net.input("right", &[4, 3, 32, 32])?];
    /// let left = branch(&mut net, left)?;
    /// let right = net.sharing(|net| branch(net, right))?;
    /// let both = net.concat(&[left, right])?;
    /// let logits = net.linear("logits", both, 10)?;
    /// assert_eq!(net.graph().parameters().count(), 4); // conv's and those of the logits
    /// # assert_eq!(net.graph().value(logits).shape.dims(), [4, 10]);
    /// # Ok::<(), GraphError>(())
    /// ```
    ///
    /// # Errors
    /// Those of `build`, [`GraphError::NotShared`] for a layer that was not built before, and [`GraphError::Shape`] for one of
    /// another shape.
    pub fn sharing<T, E>(&mut self, build: impl FnOnce(&mut Self) -> Result<T, E>) -> Result<T, E> {
        let before = std::mem::replace(&mut self.shares, true);
        let built = build(self);
        self.shares = before;
        built
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
}
