//! Linear layers.

use super::GraphBuilder;
use crate::graph::{GraphError, ValueId};
use crate::ops::Linear;

impl GraphBuilder {
    /// A linear layer with `k` outputs and a bias: `x [N,C]`, or `[N,C,1,1]` as [`GraphBuilder::flatten`] makes it -> `[N,K]`.
    ///
    /// Adds the parameters `{name}.weight` `[K,C]` and `{name}.bias` `[K]`. Weights may be larger than a binding of the device.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` has further dimensions, [`GraphError::DuplicateName`] if the name is taken.
    pub fn linear(&mut self, name: &str, x: ValueId, k: usize) -> Result<ValueId, GraphError> {
        self.linear_by(name, x, k, Linear::default())
    }

    /// A linear layer of any kind, without a bias for instance.
    ///
    /// # Errors
    /// As [`GraphBuilder::linear`].
    pub fn linear_by(
        &mut self,
        name: &str,
        x: ValueId,
        k: usize,
        op: Linear,
    ) -> Result<ValueId, GraphError> {
        let y = self.build(name, |net| {
            let c = net.graph.known(x)?.dims().get(1).copied().unwrap_or(1);
            let w = net.parameter(format!("{name}.weight"), &[k, c])?;
            let mut inputs = vec![x, w];
            if op.has_bias() {
                inputs.push(net.parameter(format!("{name}.bias"), &[k])?);
            }
            net.graph.push1(name, op, &inputs)
        })?;
        self.grids.insert(y, None);
        Ok(y)
    }
}
