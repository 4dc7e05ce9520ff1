//! Normalisations.

use super::GraphBuilder;
use crate::graph::{GraphError, Phase, Role, ValueId};
use crate::ops::{BatchNorm, BatchNormEval, LocalResponseNorm};

impl GraphBuilder {
    /// Batch normalisation, `x [N,C,H,W]` or `[N,C]`, of the same shape, with PyTorch's eps 1e-5 and momentum 0.1;
    /// [`GraphBuilder::batch_norm_by`] takes others.
    ///
    /// Adds the parameters `{name}.weight` and `{name}.bias` and the statistics `{name}.running_mean` and
    /// `{name}.running_var`, all `[C]`. In [`Phase::Train`] each channel is normalised by mean and variance of the batch, and
    /// the statistics move; in [`Phase::Eval`] by the statistics, which costs nothing behind a convolution: it takes them into
    /// its filters whenever they are written.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` has no channels, or in training one value each; [`GraphError::DuplicateName`] if the name
    /// is taken.
    pub fn batch_norm(&mut self, name: &str, x: ValueId) -> Result<ValueId, GraphError> {
        self.batch_norm_by(name, x, BatchNorm::default())
    }

    /// Batch normalisation with another eps or momentum.
    ///
    /// # Errors
    /// As [`GraphBuilder::batch_norm`].
    pub fn batch_norm_by(
        &mut self,
        name: &str,
        x: ValueId,
        op: BatchNorm,
    ) -> Result<ValueId, GraphError> {
        let y = self.build(name, |net| {
            let c = net.graph.known(x)?.dims().get(1).copied().unwrap_or(1);
            let weight = net.parameter(format!("{name}.weight"), &[c])?;
            let bias = net.parameter(format!("{name}.bias"), &[c])?;
            let mean = net.state(format!("{name}.running_mean"), &[c], Role::Statistic)?;
            let var = net.state(format!("{name}.running_var"), &[c], Role::Statistic)?;
            let (graph, inputs) = (&mut net.graph, [x, weight, bias, mean, var]);
            match net.phase {
                Phase::Train => Ok(graph.push(name, op, &inputs[..3], &inputs[3..])?[0]),
                Phase::Eval => graph.push1(name, BatchNormEval::from(op), &inputs),
            }
        })?;
        self.grids.insert(y, self.grid(x));
        Ok(y)
    }

    /// Local response normalisation across channels, as in AlexNet: `x [N,C,H,W]`, of the same shape.
    ///
    /// # Errors
    /// [`GraphError::Shape`] if `x` is not `[N,C,H,W]`.
    pub fn local_response_norm(
        &mut self,
        x: ValueId,
        op: LocalResponseNorm,
    ) -> Result<ValueId, GraphError> {
        let layer = self.layer.clone();
        let y = self.graph.push1(&layer, op, &[x])?;
        self.grids.insert(y, self.grid(x));
        Ok(y)
    }
}
