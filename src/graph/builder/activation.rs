//! Activations, and dropout, which is elementwise too.

use super::GraphBuilder;
use crate::graph::{GraphError, Phase, ValueId};
use crate::ops::{Activation, Dropout, Relu};

impl GraphBuilder {
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

    /// [`Activation::Mish`] of `x`, any shape.
    ///
    /// # Errors
    /// As [`GraphBuilder::activation`].
    pub fn mish(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        self.activation(x, Activation::Mish)
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
            source: Box::new(source),
        })?;
        if self.phase == Phase::Eval {
            return Ok(x);
        }
        let random = self.random_state()?;
        let y = self.graph.push1(&layer, op, &[x, random])?;
        self.grids.insert(y, self.grid(x));
        Ok(y)
    }
}
