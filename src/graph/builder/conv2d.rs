//! Convolutions.

use super::GraphBuilder;
use crate::graph::{GraphError, ValueId};
use crate::ops::Conv2d;

impl GraphBuilder {
    /// A convolution with `k` output channels: `x [N,C,H,W]` -> `[N,K,P,Q]`.
    ///
    /// Adds the parameters `{name}.weight` `[K,C/G,R,S]` and, unless it is [without bias](Conv2d::without_bias), `{name}.bias` `[K]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if the filter does not fit or the groups do not divide `C` and `K`, [`GraphError::DuplicateName`] if the name is taken.
    pub fn conv2d(
        &mut self,
        name: &str,
        x: ValueId,
        k: usize,
        conv: Conv2d,
    ) -> Result<ValueId, GraphError> {
        self.layer = name.to_owned();
        let dims = self.graph.known(x)?.nchw("conv2d", "x");
        let [_, c, ..] = dims.map_err(self.misfit())?;
        let filters = conv.filters(c, k).map_err(self.misfit())?;
        let w = self.parameter(format!("{name}.weight"), filters.dims())?;
        let mut inputs = vec![x, w];
        if conv.is_biased() {
            inputs.push(self.parameter(format!("{name}.bias"), &[k])?);
        }
        let y = self.graph.push1(name, conv, &inputs)?;
        if let Ok(g) = conv.geometry(self.graph.shape(x), k) {
            let grid = self.grid(x);
            let before = g.pad.map(|[before, _]| before);
            let grid = grid.map(|grid| grid.behind_window(conv.extent(), g.stride, before));
            self.grids.insert(y, grid);
        }
        Ok(y)
    }
}
