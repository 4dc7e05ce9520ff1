//! How the work is cut: into blocks that stay in the cache, and into tasks for the threads.

use std::ops::Range;

use crate::ops::Geometry;

/// Floats of one block of columns.
pub(super) const BLOCK: usize = 256 * 1024;
/// Rows of columns that one task of a gradient works on at once.
const TERMS: usize = 512;

/// Cuts `range` of a batch's pixels into those of single images, at most `len` at once.
pub(super) fn blocks(
    g: &Geometry,
    range: Range<usize>,
    len: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let pixels = g.pixels();
    let mut at = range.start;
    std::iter::from_fn(move || {
        let (n, from) = (at / pixels, at % pixels);
        let to = pixels.min(from + len).min(from + range.end - at);
        at += to - from;
        (from < to).then_some((n, from..to))
    })
}

/// Pixels of a block with `floats` elements in `terms` rows: whole tiles of the GEMM kernel.
pub(super) fn block_len(floats: usize, terms: usize) -> usize {
    (floats / terms / 16 * 16).max(48)
}

/// Channels of one task of a gradient, given how many tasks at least must share the channels.
pub(super) fn task_channels(g: &Geometry, tasks: usize) -> usize {
    g.c.div_ceil(tasks).min((TERMS / g.window()).max(1))
}
