//! Whether Winograd's convolution takes less time than another, by what both compute and what both move.

use super::Direction;
use crate::ops::{Geometry, Minimal};

/// Operations for which a device could move a byte instead. GPUs reach 20 to 50 in products of matrices, and keep some of
/// what is moved in their caches.
const BALANCE: f64 = 20.0;
/// Operations for which a device could begin another dispatch.
const DISPATCH: f64 = 5e7;

/// Multiplications and additions of a product whose sides come in whole tiles of 64.
fn product([rows, columns, terms]: [usize; 3]) -> f64 {
    let whole = |side: usize| side.next_multiple_of(64) as f64;
    2.0 * whole(rows) * whole(columns) * terms as f64
}

/// Operations, moved bytes among them, of one dispatch that multiplies columns of windows.
fn direct(direction: Direction, g: &Geometry) -> f64 {
    let pixels = g.n * g.pixels();
    product(match direction {
        Direction::Forward => [g.k, pixels, g.terms()],
        Direction::Dgrad => [g.c, g.n * g.h * g.w, g.k * g.window()],
        Direction::Wgrad => [g.k, g.terms(), pixels],
    })
}

/// The same of Winograd's: each factor and product is written once and read once.
fn winograd(direction: Direction, g: &Geometry) -> Option<f64> {
    let (of, sizes) = Minimal::products(direction, g, g.n)?;
    let [rows, columns, terms] = sizes;
    let moved = 8 * (rows * terms + columns * terms + rows * columns);
    let at_a_point = product(sizes) + BALANCE * moved as f64;
    Some(of.points_of_tile() as f64 * at_a_point + 2.0 * DISPATCH)
}

/// Whether it pays.
pub(super) fn pays(direction: Direction, g: &Geometry) -> bool {
    winograd(direction, g).is_some_and(|cost| cost < direct(direction, g))
}
