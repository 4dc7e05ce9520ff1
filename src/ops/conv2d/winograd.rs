//! Minimal filtering F(m, r): `m` outputs of an `r`-tap filter by `m + r - 1` multiplications instead of `m r`.
//!
//! Filter and outputs' gradient are polynomials; their product is known from its values at `m + r - 1` points, one of them
//! at infinity (Cook and Toom). Transposed, that multiplication is a correlation (Winograd; arXiv:1509.09308):
//! `y = Aᵀ ((G g) ∘ (Bᵀ d))`. The matrices follow from the points, and so does the error in `f32`: the points here are those
//! of least error of each size (arXiv:1803.10986).

use std::fmt;

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
pub(crate) struct Transforms {
    /// `Bᵀ [alpha, alpha]`, of the input.
    pub(crate) input: Matrix,
    /// `G [alpha, r]`, of the filter.
    pub(crate) filter: Matrix,
    /// `Aᵀ [m, alpha]`, of the product.
    pub(crate) output: Matrix,
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

    /// The finite points; infinity is the last one.
    fn points(self) -> &'static [f64] {
        match self.alpha() {
            6 => &[0.0, 1.0, -1.0, 0.5, -2.0],
            7 => &[0.0, 1.0, -1.0, 2.0, -2.0, 0.5],
            alpha => unreachable!("invariant: no F(m, r) of {alpha} points is declared"),
        }
    }

    /// The matrices.
    pub(crate) fn transforms(self) -> Transforms {
        cook_toom(self.points(), self.m as usize, self.r as usize)
    }
}

/// The coefficients of the product of all `x - point`, the constant first.
fn with_roots(points: impl Iterator<Item = f64>) -> Vec<f64> {
    points.fold(vec![1.0], |product, point| {
        let mut next = vec![0.0; product.len() + 1];
        for (i, coefficient) in product.iter().enumerate() {
            next[i + 1] += coefficient;
            next[i] -= point * coefficient;
        }
        next
    })
}

/// The matrices of F(m, r) from `m + r - 2` different points and infinity.
fn cook_toom(points: &[f64], m: usize, r: usize) -> Transforms {
    let alpha = points.len() + 1;
    debug_assert_eq!(alpha, m + r - 1);
    let others = |j: usize| {
        (0..points.len())
            .filter(move |&k| k != j)
            .map(|k| points[k])
    };
    let powers = |point: f64, n: usize| (0..n as i32).map(move |i| point.powi(i));
    // At infinity a polynomial is its leading coefficient.
    let leading = |n: usize| (0..n).map(move |i| f64::from(u8::from(i + 1 == n)));
    let mut input = Vec::new();
    let mut filter = Vec::new();
    let mut output: Matrix = vec![Vec::new(); m];
    for (j, &point) in points.iter().enumerate() {
        let mut row = with_roots(others(j));
        row.push(0.0);
        input.push(row);
        let scale: f64 = others(j).map(|other| point - other).product();
        filter.push(powers(point, r).map(|power| power / scale).collect());
        for (row, power) in output.iter_mut().zip(powers(point, m)) {
            row.push(power);
        }
    }
    input.push(with_roots(points.iter().copied()));
    filter.push(leading(r).collect());
    for (row, one) in output.iter_mut().zip(leading(m)) {
        row.push(one);
    }
    Transforms {
        input,
        filter,
        output,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(matrix: &Matrix, vector: &[f64]) -> Vec<f64> {
        let row = |row: &Vec<f64>| row.iter().zip(vector).map(|(a, b)| a * b).sum();
        matrix.iter().map(row).collect()
    }

    #[test]
    fn every_one_correlates_and_so_does_its_transpose() {
        for of in [Minimal::F4_3, Minimal::F2_5, Minimal::F3_5] {
            let Minimal { m, r } = of;
            let [m, r, alpha] = [m, r, of.alpha()].map(|x| x as usize);
            let Transforms {
                input,
                filter,
                output,
            } = of.transforms();
            // A bilinear map is known from its values on the units.
            for tap in 0..r {
                for at in 0..alpha {
                    let unit = |n: usize, i: usize| -> Vec<f64> {
                        (0..n).map(|k| f64::from(u8::from(k == i))).collect()
                    };
                    let (g, d) = (
                        times(&filter, &unit(r, tap)),
                        times(&input, &unit(alpha, at)),
                    );
                    let product: Vec<f64> = g.iter().zip(&d).map(|(g, d)| g * d).collect();
                    for (i, y) in times(&output, &product).into_iter().enumerate() {
                        let want = f64::from(u8::from(i + tap == at));
                        assert!((y - want).abs() < 1e-12, "F({m},{r}): {tap} {at} {i}: {y}");
                    }
                }
            }
        }
    }

    #[test]
    fn factors_of_the_points_are_no_rounding_of_the_input() {
        for of in [Minimal::F4_3, Minimal::F2_5, Minimal::F3_5] {
            let Transforms { input, output, .. } = of.transforms();
            for &x in input.iter().chain(&output).flatten() {
                assert_eq!(f64::from(x as f32), x, "{of:?}");
            }
        }
    }
}
