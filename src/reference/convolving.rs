//! How convolutions are run, and what is kept of one run for the next.

use crate::graph::Graph;
use crate::ops::Op;

/// How a convolution is run, and what of it is kept.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Convolving<T> {
    /// Whether all terms of a sum are added as they are.
    pub(crate) precise: bool,
    /// Transformed filters, empty until they are; none where filters change from run to run.
    pub(crate) filters: Option<Vec<T>>,
}

/// Of each node. Filters may be kept transformed if they are parameters that no run writes, or the prologue made them of such.
pub(super) fn of_nodes<T>(graph: &Graph) -> Vec<Convolving<T>> {
    let stays = graph.stays();
    let nodes = graph.nodes().iter();
    let filters = nodes.map(|node| match node.op {
        Op::Conv2d(_) if stays[node.inputs[1].index()] => Some(Vec::new()),
        _ => None,
    });
    filters
        .map(|filters| Convolving {
            precise: false,
            filters,
        })
        .collect()
}
