//! The transforms, made from points of interpolation.
//!
//! Cook and Toom multiply polynomials by their values at points; transposed, that is correlation: with `N = M + R - 1`
//! points, `N` products make `M` outputs of a filter of `R` elements from `N` inputs, `y = OUTPUT ((FILTER g) * (INPUT d))`.
//! The last point is infinity, where a polynomial's value is its leading coefficient.
//!
//! Source: Lavin and Gray, arXiv:1509.09308; that fractions and unequal signs round less: Barabasz et al., arXiv:1803.10986.

/// Finite points, the first `N - 1` of which are used, chosen for small errors in `f32`.
const fn points<const N: usize>() -> [f64; N] {
    let chosen: [f64; 6] = if N == 7 {
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.5]
    } else {
        [0.0, 1.0, -1.0, 0.5, -2.0, 2.0]
    };
    let mut points = [0.0; N];
    let mut i = 0;
    while i + 1 < N {
        points[i] = chosen[i];
        i += 1;
    }
    points
}

/// `M` outputs at once of filters of `R` elements, by `N = M + R - 1` products.
pub(crate) struct Transforms<const M: usize, const R: usize, const N: usize>;

impl<const M: usize, const R: usize, const N: usize> Transforms<M, R, N> {
    /// Of the input.
    pub(crate) const INPUT: [[f32; N]; N] = single(input());
    /// Of the filter.
    pub(crate) const FILTER: [[f32; R]; N] = single(filter());
    /// Of the products, to the output.
    pub(crate) const OUTPUT: [[f32; N]; M] = {
        assert!(N == M + R - 1 && N <= 7);
        single(output())
    };
}

/// Rounds.
const fn single<const I: usize, const O: usize>(of: [[f64; I]; O]) -> [[f32; I]; O] {
    let mut to = [[0.0; I]; O];
    let mut o = 0;
    while o < O {
        let mut i = 0;
        while i < I {
            to[o][i] = of[o][i] as f32;
            i += 1;
        }
        o += 1;
    }
    to
}

/// `output[i][j] = p_j^i`; at infinity, the last row alone.
pub(crate) const fn output<const M: usize, const N: usize>() -> [[f64; N]; M] {
    let points = points::<N>();
    let mut to = [[0.0; N]; M];
    let mut j = 0;
    while j + 1 < N {
        let mut power = 1.0;
        let mut i = 0;
        while i < M {
            to[i][j] = power;
            power *= points[j];
            i += 1;
        }
        j += 1;
    }
    to[M - 1][N - 1] = 1.0;
    to
}

/// `filter[j][i] = p_j^i / prod (p_j - p_l)` over the other points `l`; at infinity, the last element alone.
pub(crate) const fn filter<const R: usize, const N: usize>() -> [[f64; R]; N] {
    let points = points::<N>();
    let mut to = [[0.0; R]; N];
    let mut j = 0;
    while j + 1 < N {
        let mut apart = 1.0;
        let mut l = 0;
        while l + 1 < N {
            if l != j {
                apart *= points[j] - points[l];
            }
            l += 1;
        }
        let mut power = 1.0 / apart;
        let mut i = 0;
        while i < R {
            to[j][i] = power;
            power *= points[j];
            i += 1;
        }
        j += 1;
    }
    to[N - 1][R - 1] = 1.0;
    to
}

/// Row `j` holds the coefficients of `prod (x - p_l)` over the other points `l`; at infinity, over all.
pub(crate) const fn input<const N: usize>() -> [[f64; N]; N] {
    let points = points::<N>();
    let mut to = [[0.0; N]; N];
    let mut j = 0;
    while j < N {
        to[j][0] = 1.0;
        let mut l = 0;
        while l + 1 < N {
            if l != j {
                // Times x - p, from the highest coefficient down.
                let mut i = N - 1;
                while i > 0 {
                    to[j][i] = to[j][i - 1] - points[l] * to[j][i];
                    i -= 1;
                }
                to[j][0] *= -points[l];
            }
            l += 1;
        }
        j += 1;
    }
    to
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest difference from a correlation term by term.
    fn error<const M: usize, const R: usize, const N: usize>() -> f64 {
        let d: [f64; N] = std::array::from_fn(|i| (7.0 * i as f64 + 1.0).sin());
        let g: [f64; R] = std::array::from_fn(|i| (3.0 * i as f64 + 2.0).cos());
        let dot = |row: &[f64], x: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let (input, filter) = (input::<N>(), filter::<R, N>());
        let products: [f64; N] = std::array::from_fn(|j| dot(&input[j], &d) * dot(&filter[j], &g));
        let outputs = output::<M, N>();
        let errors = outputs.iter().enumerate().map(|(i, row)| {
            let direct = dot(&g, &d[i..]);
            (dot(row, &products) - direct).abs()
        });
        errors.fold(0.0, f64::max)
    }

    #[test]
    fn transforms_correlate() {
        let errors = [
            error::<4, 3, 6>(),
            error::<3, 4, 6>(),
            error::<2, 5, 6>(),
            error::<5, 2, 6>(),
            error::<3, 5, 7>(),
            error::<5, 3, 7>(),
            error::<2, 3, 4>(),
        ];
        assert!(errors.iter().all(|&error| error < 1e-13), "{errors:?}");
    }
}
