//! Values joined, and brought to another shape.

use super::GraphBuilder;
use crate::graph::shape::Shape;
use crate::graph::{GraphError, MapGrid, ValueId};
use crate::ops::{Add, Concat, Reshape};

impl GraphBuilder {
    /// `a + b`, elementwise: two values of one shape, or one twice.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if their shapes differ, naming both.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Result<ValueId, GraphError> {
        let named = self.named(&[a, b])?;
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
        Concat::check(&self.named(values)?).map_err(self.misfit())?;
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, Concat::default(), values)?;
        self.grids.insert(y, self.common_grid(values));
        Ok(y)
    }

    /// Everything of an image as channels: `x [N,C,H,W]` -> `[N,C*H*W,1,1]`, for [`GraphBuilder::linear`] to take.
    /// Nothing is copied on a GPU.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` is not of floats.
    pub fn flatten(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        let shape = self.graph.known(x)?;
        let n = shape.dims()[0];
        let flat = self.shape_of(&[n, shape.len() / n, 1, 1])?;
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, Reshape::new(flat), &[x])?;
        self.grids.insert(y, None);
        Ok(y)
    }

    /// The grid that all of `values` lie on, if it is one.
    fn common_grid(&self, values: &[ValueId]) -> Option<MapGrid> {
        let mut grids = values.iter().map(|&x| self.grid(x));
        let first = grids.next().flatten()?;
        grids.all(|grid| grid == Some(first)).then_some(first)
    }

    /// Name and shape of each value, as the errors of joins tell them.
    fn named(&self, values: &[ValueId]) -> Result<Vec<(&str, Shape)>, GraphError> {
        let value = |&id: &ValueId| Ok((self.graph.known(id)?, id));
        let named = |(shape, id)| (self.graph.value(id).name.as_str(), shape);
        values.iter().map(|id| value(id).map(named)).collect()
    }
}
