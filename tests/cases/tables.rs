//! All tables of cases, and by which algorithms each case is run.

use super::Case;
use nin_wgpu::ops::Conv2d;
use nin_wgpu::plan::{Conv2dAlgorithm, PlanLimits};

/// Every case of the tables whose kernels are trusted.
pub fn trusted() -> Vec<Case> {
    [
        super::conv2d::cases(),
        super::linear::cases(),
        super::max_pool2d::cases(),
        super::avg_pool2d::cases(),
        super::batch_norm::cases(),
        super::local_response_norm::cases(),
        super::global_avg_pool::cases(),
        super::relu::cases(),
        super::add::cases(),
        super::concat::cases(),
        super::reshape::cases(),
        super::activation::cases(),
        super::dropout::cases(),
        super::softmax::cases(),
        super::mean_squared_error::cases(),
        super::gradient_norm::cases(),
        super::commit::cases(),
        super::ema::cases(),
    ]
    .concat()
}

/// Every case of every table.
pub fn all() -> Vec<Case> {
    [
        trusted(),
        super::softmax_cross_entropy::cases(),
        super::soft_target_cross_entropy::cases(),
        super::one_hot::cases(),
        super::gather::cases(),
        super::optimizer::cases(),
        super::optimizer::of_parts(),
    ]
    .concat()
}

/// The algorithms that a case is run by: all that serve it, if it is a convolution.
pub fn algorithms(case: &Case, limits: PlanLimits) -> Vec<Conv2dAlgorithm> {
    let mut nodes = case.graph.nodes().iter();
    match nodes.find_map(|node| Conv2d::of_node(&case.graph, node)) {
        None => vec![Conv2dAlgorithm::HARDWARE],
        Some((_, geometry)) => {
            let mut all = Conv2dAlgorithm::available(limits);
            all.retain(|algorithm| algorithm.serves(&geometry));
            all
        }
    }
}
