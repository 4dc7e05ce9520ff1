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
        let y = self.build(name, |net| {
            let dims = net.graph.known(x)?.nchw("conv2d", "x");
            let [_, c, ..] = dims.map_err(net.misfit())?;
            let filters = conv.filters(c, k).map_err(net.misfit())?;
            let w = net.parameter(format!("{name}.weight"), filters.dims())?;
            let mut inputs = vec![x, w];
            if conv.is_biased() {
                inputs.push(net.parameter(format!("{name}.bias"), &[k])?);
            }
            net.graph.push1(name, conv, &inputs)
        })?;
        if let Ok(g) = conv.geometry(self.graph.shape(x), k) {
            let grid = self.grid(x);
            let before = g.pad.map(|[before, _]| before);
            let grid = grid.map(|grid| grid.behind_window(conv.extent(), g.stride, before));
            self.grids.insert(y, grid);
        }
        Ok(y)
    }
}
