//! Columns of a block of pixels (`im2col`), and their sum back into the maps (`col2im`).

use std::ops::Range;

use crate::ops::Geometry;

/// Whether an image itself is the matrix of columns.
pub(super) fn is_pointwise(g: &Geometry) -> bool {
    g.window() == 1 && g.stride == [1; 2] && g.pad == [[0; 2]; 2]
}

/// Calls `visit(input, output, len)` for every run of `pixels` that the filter element `(r, s)`
/// takes from within the map: it begins at `input` in the map and at `output` in `pixels`.
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
            if g.stride[1] == 1 {
                to.copy_from_slice(&map[from..from + len]);
            } else {
                let from = map[from..].iter().step_by(g.stride[1]);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
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
