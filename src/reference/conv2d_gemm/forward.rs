//! Forward; bias and ReLU while the product is in the cache.

use super::depthwise;
use super::panels;
use super::scratch::Need;
use super::winograd::{self, Correlation, Filters};
use crate::ops::Geometry;
use crate::reference::Convolving;

pub(crate) fn forward(
    g: &Geometry,
    how: &mut Convolving<f32>,
    relu: bool,
    x: &[f32],
    w: &[f32],
    b: Option<&[f32]>,
    y: &mut [f32],
) {
    if g.is_depthwise() {
        return depthwise::forward(g, relu, x, w, b, y);
    }
    if let Some(method) = winograd::method(g, how) {
        let of = Correlation::forward(g);
        let (filters, kept) = (Filters::forward(g, w), how.filters.as_mut());
        return winograd::correlate(
            method,
            of,
            filters,
            (kept, &how.scratch),
            x,
            y,
            |map, _, y| {
                bias_and_relu(relu, b.map_or(0.0, |b| b[map % g.k]), y);
            },
        );
    }
    let filters = g.k;
    panels::correlate(
        &g.of_group(),
        &how.scratch,
        x,
        w,
        y,
        #[inline(always)]
        |map, _, y| bias_and_relu(relu, b.map_or(0.0, |b| b[map % filters]), y),
    );
}

/// What [`forward`] works in.
pub(super) fn need(g: &Geometry, how: &Convolving<f32>) -> Need {
    if g.is_depthwise() {
        Need::default()
    } else if let Some(method) = winograd::method(g, how) {
        winograd::need(method, Correlation::forward(g), g.n, how.filters.is_some())
    } else {
        panels::need(&g.of_group())
    }
}

#[inline(always)]
fn bias_and_relu(relu: bool, b: f32, y: &mut [f32]) {
    for y in y {
        let v = *y + b;
        // Not-a-number fails the comparison and passes through.
        *y = if relu && v < 0.0 { 0.0 } else { v };
    }
}
