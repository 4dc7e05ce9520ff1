//! How convolutions are run, and what is kept of one run for the next.

use std::sync::Arc;

use super::Real;
use super::conv2d_gemm::{Need, Scratch};
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
    /// What it works in.
    pub(crate) scratch: Arc<Scratch>,
}

/// Of each node, with nothing to work in yet. Filters may be kept transformed if they are parameters that no run writes, or the prologue made them of such.
pub(super) fn kept<T>(graph: &Graph, precise: bool) -> Vec<Convolving<T>> {
    let stays = graph.stays();
    let nodes = graph.nodes().iter();
    let filters = nodes.map(|node| match node.op {
        Op::Conv2d(_) if stays[node.inputs[1].index()] => Some(Vec::new()),
        _ => None,
    });
    filters
        .map(|filters| Convolving {
            precise,
            filters,
            scratch: Arc::default(),
        })
        .collect()
}

/// The same with memory, which all share.
pub(super) fn of_nodes<T: Real>(graph: &Graph, precise: bool) -> Vec<Convolving<T>> {
    let mut all = kept(graph, precise);
    let needs = graph.nodes().iter().zip(&all);
    let needs = needs.map(|(node, how)| T::conv2d_need(graph, node, how));
    let scratch = Arc::new(Scratch::new(needs.fold(Need::default(), Need::or)));
    all.iter_mut().for_each(|how| how.scratch = scratch.clone());
    all
}
