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
mod wgrad;
mod winograd;

pub(crate) use dgrad::dgrad;
pub(crate) use forward::forward;
pub(crate) use wgrad::wgrad;

use gemm_common::Parallelism;
use matrix::Matrix;

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
