//! The GEMM behind a checked interface.

use gemm_common::Parallelism;

/// A matrix: its elements, the distance between its rows and that between its columns.
#[derive(Clone, Copy)]
pub(in crate::reference) struct Matrix<'a>(
    pub(in crate::reference) &'a [f32],
    pub(in crate::reference) usize,
    pub(in crate::reference) usize,
);

/// `to [m, n] = a [m, k] * b [k, n]`, or `+=`; rows of `to` are `stride` apart.
#[rustfmt::skip] // else nineteen lines for the call
pub(in crate::reference) fn multiply(
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    (to, stride): (&mut [f32], usize),
    accumulate: bool,
    threads: Parallelism,
) {
    assert!(m > 0 && n > 0 && k > 0, "invariant: no dimension is empty");
    assert!(stride >= n, "invariant: rows of the product are apart");
    for (of, rows, columns) in [(a, m, k), (b, k, n), (Matrix(to, stride, 1), m, n)] {
        let (row, column) = ((rows - 1).saturating_mul(of.1), (columns - 1).saturating_mul(of.2));
        assert!(row.saturating_add(column) < of.0.len(), "invariant: the matrix is in its slice");
    }
    let [a_row, a_column, b_row, b_column, stride] =
        [a.1, a.2, b.1, b.2, stride].map(|distance| distance as isize);
    let (a, b, to) = (a.0.as_ptr(), b.0.as_ptr(), to.as_mut_ptr());
    #[expect(unsafe_code, reason = "the kernel takes raw pointers")]
    // SAFETY: all three matrices lie within their slices and rows of `to` do not overlap, as just
    // checked; being borrowed mutably, `to` overlaps neither factor.
    unsafe {
        // It wants the first of two strides to be the longer one: so it is given the transposes, `to' = b' * a'`.
        gemm_f32::gemm::f32::get_gemm_fn()(
            n, m, k, to, stride, 1, accumulate, b, b_row, b_column, a, a_row, a_column,
            1.0, 1.0, false, false, false, threads,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers, whose products and sums are exact in any order.
    fn whole(len: usize, step: usize) -> Vec<f32> {
        (0..len).map(|i| (i * step % 17) as f32 - 8.0).collect()
    }

    /// Slices that end with the last element of their matrices, for `scripts/sanitize` to see what goes beyond: sizes around those of
    /// the kernel's tiles, deep and flat, both factors as they lie and transposed, and rows of the product apart.
    #[test]
    fn products_touch_their_elements_alone() {
        let sides = [
            [1, 1, 1],
            [2, 3, 5],
            [5, 1, 17],
            [1, 33, 2],
            [9, 15, 4],
            [5, 50, 3],
        ];
        for ([m, n, k], apart) in sides.into_iter().flat_map(|side| [(side, 0), (side, 3)]) {
            for (a_transposed, b_transposed) in
                [(false, false), (true, false), (false, true), (true, true)]
            {
                let lie = |rows, columns, transposed| match transposed {
                    false => [columns + apart, 1],
                    true => [1, rows + apart],
                };
                let [a_lies, b_lies] = [lie(m, k, a_transposed), lie(k, n, b_transposed)];
                let reach = |rows: usize, columns: usize, [row, column]: [usize; 2]| {
                    (rows - 1) * row + (columns - 1) * column + 1
                };
                let a = whole(reach(m, k, a_lies), 5);
                let b = whole(reach(k, n, b_lies), 7);
                let before = whole(reach(m, n, [n + apart, 1]), 3);
                for (accumulate, threads) in
                    [(false, Parallelism::None), (true, Parallelism::Rayon(2))]
                {
                    let mut want = before.clone();
                    for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
                        let terms = (0..k).map(|l| {
                            a[i * a_lies[0] + l * a_lies[1]] * b[l * b_lies[0] + j * b_lies[1]]
                        });
                        let to = &mut want[i * (n + apart) + j];
                        *to = terms.sum::<f32>() + if accumulate { *to } else { 0.0 };
                    }
                    let mut got = before.clone();
                    let [a, b] = [(&a, a_lies), (&b, b_lies)]
                        .map(|(of, [row, column])| Matrix(of, row, column));
                    multiply([m, n, k], a, b, (&mut got, n + apart), accumulate, threads);
                    assert_eq!(
                        got, want,
                        "{m}x{n}x{k}, {apart} apart, transposed {a_transposed} {b_transposed}, {accumulate}"
                    );
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "the matrix is in its slice")]
    fn a_factor_that_ends_too_early_is_not_read() {
        let (a, b) = ([1.0; 6], [1.0; 6]);
        let (a, b) = (Matrix(&a, 3, 1), Matrix(&b[..5], 2, 1));
        multiply(
            [2, 2, 3],
            a,
            b,
            (&mut [0.0; 4], 2),
            false,
            Parallelism::None,
        );
    }

    #[test]
    #[should_panic(expected = "the matrix is in its slice")]
    fn a_product_that_ends_too_early_is_not_written() {
        let (a, b) = ([1.0; 6], [1.0; 6]);
        let (a, b) = (Matrix(&a, 3, 1), Matrix(&b, 2, 1));
        multiply(
            [2, 2, 3],
            a,
            b,
            (&mut [0.0; 5], 4),
            false,
            Parallelism::None,
        );
    }
}
