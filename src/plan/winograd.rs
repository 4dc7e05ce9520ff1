//! Whether Winograd's convolution takes less time than another, by what both compute and what both move.

use super::Direction;
use crate::ops::{Geometry, Minimal};

/// Operations for which a device could move a byte instead. GPUs reach 20 to 50 in products of matrices, and keep some of
/// what is moved in their caches.
const BALANCE: f64 = 20.0;
/// Operations for which a device could begin another dispatch.
const DISPATCH: f64 = 5e7;

/// Multiplications and additions of some products whose sides come in whole tiles of 64, and those that a device of `width`
/// could do meanwhile where there are not enough tiles.
fn products(count: usize, [rows, columns, terms]: [usize; 3], width: usize) -> f64 {
    let tiles = count * rows.div_ceil(64) * columns.div_ceil(64);
    2.0 * (64 * 64 * terms) as f64 * tiles.max(width) as f64
}

/// Operations, moved bytes among them, of one dispatch that multiplies columns of windows.
fn direct(direction: Direction, g: &Geometry, width: usize) -> f64 {
    let pixels = g.n * g.pixels();
    match direction {
        Direction::Forward => products(1, [g.k, pixels, g.terms()], width),
        Direction::Dgrad => products(1, [g.c, g.n * g.h * g.w, g.k * g.window()], width),
        // Its pixels are cut into as many parts as a device could want.
        Direction::Wgrad => products(1, [g.k, g.terms(), pixels], 1),
    }
}

/// The same of Winograd's: each factor and product is written once and read once.
fn winograd(direction: Direction, g: &Geometry, width: usize) -> Option<f64> {
    let (of, sizes) = Minimal::products(direction, g, g.n)?;
    let [rows, columns, terms] = sizes;
    let points = of.points_of_tile();
    let moved = 8 * points * (rows * terms + columns * terms + rows * columns);
    Some(products(points, sizes, width) + BALANCE * moved as f64 + 2.0 * DISPATCH)
}

/// Whether it pays on a device that works on `width` tiles side by side.
pub(super) fn pays(direction: Direction, g: &Geometry, width: usize) -> bool {
    winograd(direction, g, width).is_some_and(|cost| cost < direct(direction, g, width))
}
