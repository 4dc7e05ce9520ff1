//! Transposition by squares of vectors, in registers: a store for each vector rather than for each element.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::kernel::{LANES, load, store};

/// The numbers of lanes.
const NUMBERS: [u32; LANES] = {
    let mut numbers = [0; LANES];
    let mut lane = 0;
    while lane < LANES {
        numbers[lane] = lane as u32;
        lane += 1;
    }
    numbers
};

/// The columns of a square, given its rows, of which the first `S::F32_LANES` count.
#[inline(always)]
fn square<S: Simd>(simd: S, mut rows: [S::f32s; LANES]) -> [S::f32s; LANES] {
    trade::<S, 1>(simd, &mut rows);
    trade::<S, 2>(simd, &mut rows);
    trade::<S, 4>(simd, &mut rows);
    trade::<S, 8>(simd, &mut rows);
    rows
}

/// Rows whose numbers differ by a bit trade the lanes whose numbers do. As a constant, the bit lets a compiler unroll the loop and keep
/// the square in registers.
#[inline(always)]
fn trade<S: Simd, const BIT: usize>(simd: S, rows: &mut [S::f32s; LANES]) {
    if BIT >= S::F32_LANES {
        return;
    }
    let numbers = S::as_simd_u32s(&NUMBERS).0[0];
    let is_set = simd.and_u32s(numbers, simd.splat_u32s(BIT as u32));
    let is_unset = simd.equal_u32s(is_set, simd.splat_u32s(0));
    for i in 0..S::F32_LANES {
        if i & BIT == 0 {
            let [low, high] = [rows[i], rows[i + BIT]];
            let up = simd.rotate_right_f32s(high, BIT);
            let down = simd.rotate_left_f32s(low, BIT);
            rows[i] = simd.select_f32s(is_unset, low, up);
            rows[i + BIT] = simd.select_f32s(is_unset, down, high);
        }
    }
}

/// Takes a matrix of `[rows, columns]` apart: `get(row, column)` is a vector of its row, and `put(column, row, vector)` takes one of its
/// column. Rows and columns begin at whole vectors; behind the last of either, `get` gives what it likes, and `put` gets zeros.
#[inline(always)]
pub(super) fn transpose<S: Simd>(
    simd: S,
    [rows, columns]: [usize; 2],
    get: impl Fn(usize, usize) -> S::f32s,
    mut put: impl FnMut(usize, usize, S::f32s),
) {
    for row in (0..rows).step_by(S::F32_LANES) {
        for column in (0..columns).step_by(S::F32_LANES) {
            let mut vectors = [simd.splat_f32s(0.0); LANES];
            let taken = vectors.iter_mut().take(S::F32_LANES);
            // Loops of a known length are unrolled.
            if row + S::F32_LANES <= rows {
                let each = taken.enumerate();
                each.for_each(|(i, vector)| *vector = get(row + i, column));
            } else {
                let each = taken.zip(row..rows);
                each.for_each(|(vector, row)| *vector = get(row, column));
            }
            let taken = square(simd, vectors).into_iter().take(S::F32_LANES);
            if column + S::F32_LANES <= columns {
                let each = taken.enumerate();
                each.for_each(|(i, vector)| put(column + i, row, vector));
            } else {
                let each = taken.zip(column..columns);
                each.for_each(|(vector, column)| put(column, row, vector));
            }
        }
    }
}

/// The vector at the head of `from`, with zeros where that ends.
#[inline(always)]
pub(super) fn head<S: Simd>(simd: S, from: &[f32]) -> S::f32s {
    match from.len() < S::F32_LANES {
        true => simd.partial_load_f32s(from),
        false => load::<S>(from),
    }
}

/// Stores what of a vector `to` has room for.
#[inline(always)]
pub(super) fn store_head<S: Simd>(simd: S, to: &mut [f32], value: S::f32s) {
    match to.len() < S::F32_LANES {
        true => simd.partial_store_f32s(to, value),
        false => store::<S>(to, value),
    }
}

/// `to [columns, rows]` = transposed sum, in order, of all matrices in `from [.., rows, columns]`.
pub(super) fn sum_transposed(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
    let arch = Arch::new();
    // One cache line of each row of `from` at once.
    let tasks = to.par_chunks_mut(LANES * rows).enumerate();
    tasks.for_each(|(i, to)| {
        arch.dispatch(SumTransposed {
            from: &from[LANES * i..],
            apart: columns,
            rows,
            to,
        });
    });
}

/// Some columns of the sum, `to [columns, rows]`.
struct SumTransposed<'a> {
    /// From the first of the columns on; rows `apart`.
    from: &'a [f32],
    apart: usize,
    rows: usize,
    to: &'a mut [f32],
}

impl WithSimd for SumTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let rows = self.rows;
        let columns = self.to.len() / rows;
        transpose(
            simd,
            [rows, columns],
            #[inline(always)]
            |row, column| {
                let mut rest = &self.from[row * self.apart + column..];
                let mut sum = head(simd, rest);
                while let Some(next) = rest
                    .get(rows * self.apart..)
                    .filter(|rest| !rest.is_empty())
                {
                    rest = next;
                    sum = simd.add_f32s(sum, head(simd, rest));
                }
                sum
            },
            #[inline(always)]
            |column, row, vector| {
                store_head(simd, &mut self.to[column * rows..][row..rows], vector);
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use pulp::Scalar;

    use super::*;

    struct Case([usize; 2]);

    impl WithSimd for Case {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            let Self([rows, columns]) = self;
            let from: Vec<f32> = (1..=rows * columns).map(|i| i as f32).collect();
            let width = rows.next_multiple_of(S::F32_LANES);
            let mut to = vec![-1.0; columns * width];
            transpose(
                simd,
                [rows, columns],
                |row, column| head(simd, &from[row * columns..][column..columns]),
                |column, row, vector| store::<S>(&mut to[column * width + row..], vector),
            );
            let mut part = vec![-1.0; columns * rows];
            transpose(
                simd,
                [rows, columns],
                |row, column| head(simd, &from[row * columns..][column..columns]),
                |column, row, vector| {
                    store_head(simd, &mut part[column * rows..][row..rows], vector);
                },
            );
            for (column, to) in to.chunks(width).enumerate() {
                let want = (0..width).map(|row| match row < rows {
                    true => from[row * columns + column],
                    false => 0.0,
                });
                assert_eq!(to, want.collect::<Vec<_>>(), "{rows} x {columns}");
                assert_eq!(to[..rows], part[column * rows..][..rows]);
            }
        }
    }

    #[test]
    fn rows_become_columns_and_what_is_missing_of_a_vector_zeros() {
        for size in [[1, 1], [16, 16], [5, 40], [33, 3], [17, 31], [64, 128]] {
            Arch::new().dispatch(Case(size));
            Case(size).with_simd(Scalar::new());
            #[cfg(target_arch = "x86_64")]
            if let Some(simd) = pulp::x86::V3::try_new() {
                Simd::vectorize(simd, Case(size));
            }
        }
    }

    #[test]
    fn transposed_sums_add_all_matrices_in_their_order() {
        for (rows, columns) in [(3, 37), (20, 16), (33, 5)] {
            let from: Vec<f32> = (0..4 * rows * columns)
                .map(|i| 1.0 / (i * 5 % 17 + 1) as f32)
                .collect();
            let mut to = vec![f32::NAN; columns * rows];
            sum_transposed(&from, rows, columns, &mut to);
            for (i, &got) in to.iter().enumerate() {
                let matrices = from.chunks(rows * columns);
                let terms = matrices.map(|of| of[i % rows * columns + i / rows]);
                assert_eq!(got, terms.sum::<f32>(), "{i} of {rows} x {columns}");
            }
        }
    }
}
