//! Convolutions in `f32` on all cores: by panels or blocks of columns, each multiplied while it is in the cache.
//!
//! Columns (`im2col`) never exist as a whole: some of them are written, multiplied while they are in the cache, and overwritten by
//! the next. Forward passes, the gradients of 1x1 convolutions and those of all filters go by panels through the kernel of this
//! folder (`kernel.rs`): `panels.rs` has filters meet panels of columns, `wgrad.rs` columns meet panels of transposed `dy`, which is
//! the smaller factor. The input gradients of other convolutions go by blocks through `gemm`, which packs what runs along the rows of
//! a product: so `dgrad` transposes the filters once rather than in every product.
//!
//! The channels of a group are convolved like an image of so many channels.

mod blocks;
mod columns;
mod depthwise;
mod dgrad;
mod forward;
mod kernel;
pub(super) mod matrix;
mod panels;
mod scratch;
#[cfg(test)]
mod tests;
mod transpose;
mod wgrad;
mod winograd;

pub(crate) use dgrad::dgrad;
pub(crate) use forward::forward;
pub use scratch::Need;
pub(crate) use scratch::Scratch;
pub(crate) use wgrad::wgrad;

use gemm_common::Parallelism;
use matrix::Matrix;

use super::Convolving;
use crate::graph::{Graph, Node};
use crate::ops::{Conv2d, Geometry, Op};
use crate::plan::Direction;

/// What a node works in, if it is a convolution.
pub(crate) fn need(graph: &Graph, node: &Node, how: &Convolving<f32>) -> Need {
    let need: fn(&Geometry, &Convolving<f32>) -> Need = match node.op {
        Op::Conv2d(_) => forward::need,
        Op::Conv2dDgrad(_) => dgrad::need,
        Op::Conv2dWgrad(_) => wgrad::need,
        _ => return Need::default(),
    };
    let computation = Conv2d::of_node(graph, node);
    computation.map_or(Need::default(), |(_, g)| need(&g, how))
}

/// Floats of transformed filters that a node keeps from run to run.
pub(super) fn kept(graph: &Graph, node: &Node, how: &Convolving<f32>) -> usize {
    let computation = how.filters.as_ref();
    let computation = computation.and_then(|_| Conv2d::of_node(graph, node));
    let floats = computation.and_then(|(_, g)| {
        let method = winograd::method(&g, how)?;
        Some(winograd::filters(
            method,
            winograd::Correlation::forward(&g),
        ))
    });
    floats.unwrap_or(0)
}

/// How a node is computed, if it is a convolution; else nothing.
pub(super) fn method(graph: &Graph, node: &Node, how: &Convolving<f32>) -> String {
    let is_one = matches!(
        node.op,
        Op::Conv2d(_) | Op::Conv2dDgrad(_) | Op::Conv2dWgrad(_)
    );
    let computation = Conv2d::of_node(graph, node).filter(|_| is_one);
    let Some((direction, g)) = computation else {
        return String::new();
    };
    match winograd::method(&g, how) {
        _ if g.is_depthwise() => "rows".to_owned(),
        Some(method) => format!("winograd {method}"),
        None if direction == Direction::Forward || columns::is_pointwise(&g) => "panels".to_owned(),
        None => "columns".to_owned(),
    }
}

/// `to [m, n] = a [m, k] * b [k, n]` on all cores.
pub(super) fn multiply(
    [m, n, k]: [usize; 3],
    a: (&[f32], [usize; 2]),
    b: (&[f32], [usize; 2]),
    to: &mut [f32],
) {
    let [a, b] = [a, b].map(|(of, [row, column])| Matrix(of, row, column));
    matrix::multiply([m, n, k], a, b, (to, n), false, Parallelism::Rayon(0));
}
