//! Convolutions in `f32` on all cores: by panels or blocks of columns, each multiplied while it is in the cache.
//!
//! Columns (`im2col`) never exist as a whole: a block of them is written, multiplied while it is in
//! the cache, and overwritten by the next. Blocks of 128, 256, 512, 1024 and 2048 KiB make a step
//! of `nin` at batch 16 take 517, 510, 504, 490 and 485 ms (CPU time of two threads over two,
//! medians of five runs; two cores of a Zen 3 EPYC with 512 KiB of L2 each); the smaller of the two
//! best serves smaller caches. That is 160 GFLOP/s, where one large GEMM reaches 169 to 187.
//!
//! The kernel wants rows of the product contiguous and packs that factor which runs along them; the
//! other stays cheap if it is contiguous along the sum. So `dgrad` transposes the filters once
//! rather than in every GEMM, and `wgrad` accumulates a transposed gradient: what it packs is the
//! small `dy`, not the columns.
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
