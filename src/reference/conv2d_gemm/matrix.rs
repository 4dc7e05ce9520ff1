//! The GEMM behind a checked interface, and sums over matrices.

use gemm_common::Parallelism;
use rayon::prelude::*;

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

/// `to [columns, rows]` = transposed sum, in order, of all matrices in `from [.., rows, columns]`.
pub(super) fn sum_transposed(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    // One cache line of each row of `from` at once.
    let tasks = to.par_chunks_mut(16 * rows).enumerate();
    tasks.for_each(|(i, to)| {
        for (row, from) in from.chunks(columns).enumerate() {
            let to = to[row % rows..].iter_mut().step_by(rows);
            for (to, &from) in to.zip(&from[16 * i..]) {
                *to = if row < rows { from } else { *to + from };
            }
        }
    });
}
