//! Winograd's minimal filtering F(m, r): `m` outputs of an `r`-tap filter by `m + r - 1` multiplications instead of `m r`.
//!
//! `y = Aᵀ ((G g) ∘ (Bᵀ d))`, along both axes of square filters: `points.rs` makes the matrices. Which size serves which
//! filter, and what that costs, is here.

pub(crate) mod points;

use std::fmt;

use super::Geometry;
use crate::plan::Direction;

/// Rows of a matrix.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// One F(m, r), by its sizes; of a square filter it is nested, once for rows and once for columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Minimal {
    /// Outputs of a tile, along each axis.
    pub m: u32,
    /// Taps of the filter, along each axis.
    pub r: u32,
}

/// The matrices of one [`Minimal`]; `alpha = m + r - 1`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Matrices {
    /// `Bᵀ [alpha, alpha]`, of the input.
    pub(crate) input: Matrix,
    /// `G [alpha, r]`, of the filter.
    pub(crate) filter: Matrix,
    /// `Aᵀ [m, alpha]`, of the products.
    pub(crate) output: Matrix,
}

impl Matrices {
    fn of<const M: usize, const R: usize, const N: usize>() -> Self {
        Self {
            input: rows(points::input::<N>()),
            filter: rows(points::filter::<R, N>()),
            output: rows(points::output::<M, N>()),
        }
    }
}

fn rows<const I: usize, const O: usize>(matrix: [[f64; I]; O]) -> Matrix {
    matrix.map(Vec::from).to_vec()
}

impl fmt::Display for Minimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { m, r } = self;
        write!(f, "F{m}-{r}")
    }
}

impl Minimal {
    /// For 3x3.
    pub(crate) const F4_3: Self = Self { m: 4, r: 3 };
    /// For 5x5, with the same points.
    pub(crate) const F2_5: Self = Self { m: 2, r: 5 };
    /// For 5x5 with fewer multiplications and twice the error.
    pub(crate) const F3_5: Self = Self { m: 3, r: 5 };

    /// The one of fewest multiplications for an `r x r` filter with outputs of these rows and columns, if there is one.
    pub(crate) fn of(r: usize, outputs: [usize; 2]) -> Option<Self> {
        let all = [Self::F4_3, Self::F2_5, Self::F3_5].into_iter();
        all.filter(|of| of.r as usize == r)
            .min_by_key(|of| of.tiles(outputs) * of.points_of_tile())
    }

    /// The one that serves a convolution, and rows, columns and terms of its products for so many images; `None` if its filters
    /// are of no such size.
    pub(crate) fn products(
        direction: Direction,
        g: &Geometry,
        images: usize,
    ) -> Option<(Self, [usize; 3])> {
        let outputs = match direction {
            Direction::Forward | Direction::Wgrad => [g.p, g.q],
            Direction::Dgrad => [g.h, g.w],
        };
        let of = Self::of(g.r, outputs)?;
        let tiles = images * of.tiles(outputs);
        Some((
            of,
            match direction {
                Direction::Forward => [g.k, tiles, g.c],
                Direction::Dgrad => [g.c, tiles, g.k],
                Direction::Wgrad => [g.k, g.c, tiles],
            },
        ))
    }

    /// Tiles that cover outputs of these rows and columns.
    pub(crate) fn tiles(self, [p, q]: [usize; 2]) -> usize {
        p.div_ceil(self.m as usize) * q.div_ceil(self.m as usize)
    }

    /// Points of a tile, and so products.
    pub(crate) const fn points_of_tile(self) -> usize {
        (self.alpha() * self.alpha()) as usize
    }

    /// Multiplications along an axis, inputs of a tile.
    pub(crate) const fn alpha(self) -> u32 {
        self.m + self.r - 1
    }

    /// The matrices.
    pub(crate) fn matrices(self) -> Matrices {
        match self {
            Self::F4_3 => Matrices::of::<4, 3, 6>(),
            Self::F2_5 => Matrices::of::<2, 5, 6>(),
            Self::F3_5 => Matrices::of::<3, 5, 7>(),
            Self { m, r } => unreachable!("invariant: no F({m},{r}) is declared"),
        }
    }
}
