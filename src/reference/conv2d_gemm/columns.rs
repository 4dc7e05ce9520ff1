//! Columns of a block of pixels (`im2col`), and their sum back into the maps (`col2im`).

use std::ops::Range;

use crate::ops::Geometry;

/// Whether an image itself is the matrix of columns.
pub(super) fn is_pointwise(g: &Geometry) -> bool {
    g.window() == 1 && g.stride == [1; 2] && g.pad == [[0; 2]; 2]
}

/// Calls `visit(input, output, len)` for every run of `pixels` that the filter element `(r, s)`
/// takes from within the map: it begins at `input` in the map and at `output` in `pixels`.
#[inline(always)]
pub(super) fn runs(
    g: &Geometry,
    (r, s): (usize, usize),
    pixels: &Range<usize>,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let [down, across] = g.stride;
    let [[above, _], [left, _]] = g.pad;
    let (r, s) = (r * g.dilation[0], s * g.dilation[1]);
    let low = left.saturating_sub(s).div_ceil(across);
    let high = (g.w + left).saturating_sub(s).div_ceil(across).min(g.q);
    for p in pixels.start / g.q..pixels.end.div_ceil(g.q) {
        let h = (p * down + r).wrapping_sub(above); // beyond the map too if above it
        let from = (p * g.q + low).max(pixels.start);
        let to = (p * g.q + high).min(pixels.end);
        if h < g.h && from < to {
            let w = (from - p * g.q) * across + s - left;
            visit(h * g.w + w, from - pixels.start, to - from);
        }
    }
}

/// Every `STRIDE`-th element of `from`: as a constant, it lets a compiler make vectors of them.
#[inline(always)]
fn step<const STRIDE: usize>(from: &[f32], to: &mut [f32]) {
    let each = from.as_chunks::<STRIDE>().0;
    // Behind the last one there may be less.
    let Some((last, to)) = to.split_last_mut() else {
        return;
    };
    *last = from[to.len() * STRIDE];
    to.iter_mut().zip(each).for_each(|(to, each)| *to = each[0]);
}

/// Columns of one channel, `to [R*S, width]`, with zeros behind the last pixel.
#[inline(always)]
pub(super) fn im2col(
    g: &Geometry,
    map: &[f32],
    pixels: &Range<usize>,
    to: &mut [f32],
    width: usize,
) {
    if is_pointwise(g) {
        let (to, rest) = to.split_at_mut(pixels.len());
        to.copy_from_slice(&map[pixels.clone()]);
        return rest.fill(0.0);
    }
    for (i, row) in to.chunks_mut(width).enumerate() {
        // Up to where it is written.
        let mut end = 0;
        runs(g, (i / g.s, i % g.s), pixels, |from, to, len| {
            row[end..to].fill(0.0);
            end = to + len;
            let to = &mut row[to..end];
            let from = &map[from..];
            match g.stride[1] {
                1 => to.copy_from_slice(&from[..len]),
                2 => step::<2>(from, to),
                3 => step::<3>(from, to),
                4 => step::<4>(from, to),
                stride => {
                    let from = from.iter().step_by(stride);
                    to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
                }
            }
        });
        row[end..].fill(0.0);
    }
}

/// Adds the columns of one channel, `from [R*S, pixels]`, to `map`.
pub(super) fn col2im(g: &Geometry, from: &[f32], pixels: &Range<usize>, map: &mut [f32]) {
    for (i, row) in from.chunks(pixels.len()).enumerate() {
        runs(g, (i / g.s, i % g.s), pixels, |to, from, len| {
            let from = &row[from..from + len];
            if g.stride[1] == 1 {
                let to = map[to..to + len].iter_mut();
                to.zip(from).for_each(|(to, &from)| *to += from);
            } else {
                let to = map[to..].iter_mut().step_by(g.stride[1]);
                to.zip(from).for_each(|(to, &from)| *to += from);
            }
        });
    }
}
