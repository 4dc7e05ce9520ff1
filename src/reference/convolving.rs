//! How convolutions are run, and what is kept of one run for the next.

use crate::graph::{Graph, Node, ValueId};
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
    let (prologue, each_run) = graph.nodes().split_at(graph.prologue());
    let written = |nodes: &[Node], id: ValueId| {
        let mut all = nodes
            .iter()
            .flat_map(|node| node.outputs.iter().chain(&node.updates));
        all.any(|&written| written == id)
    };
    let is_kept = |w: ValueId| {
        let is_state = graph.value(w).role.is_state();
        (is_state || written(prologue, w)) && !written(each_run, w)
    };
    let nodes = graph.nodes().iter();
    let filters = nodes.map(|node| match node.op {
        Op::Conv2d(_) if is_kept(node.inputs[1]) => Some(Vec::new()),
        _ => None,
    });
    filters
        .map(|filters| Convolving {
            precise: false,
            filters,
        })
        .collect()
}
