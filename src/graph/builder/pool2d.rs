//! Pooling.

use super::GraphBuilder;
use crate::graph::{GraphError, ValueId};
use crate::ops::{AvgPool2d, GlobalAvgPool, MaxPool2d, Pool2d};

impl GraphBuilder {
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
    /// [`GraphError::Shape`] if the window does not fit.
    pub fn avg_pool2d(&mut self, x: ValueId, pool: Pool2d) -> Result<ValueId, GraphError> {
        self.avg_pool2d_by(x, AvgPool2d::new(pool))
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
        let shape = self.graph.known(x)?;
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

    /// Mean over each map: `x [N,C,H,W]` -> `[N,C]`.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` is not `[N,C,H,W]`.
    pub fn global_avg_pool(&mut self, x: ValueId) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        self.graph.push1(&layer, GlobalAvgPool::default(), &[x])
    }
}
