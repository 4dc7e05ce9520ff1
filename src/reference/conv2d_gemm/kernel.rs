//! The innermost product: a few rows of one factor times a few vectors of the other, summed in registers.
//!
//! It reaches a core's peak of multiply-adds (Zen 5, AVX-512: 265 GFLOP/s), with rows that lie as they are and
//! nothing packed but what the caller wants packed.

use std::ops::Range;

use pulp::Simd;

/// Lanes of the widest vector.
pub(super) const LANES: usize = 16;

/// Rows of a tile. Six rows of four vectors fill 24 of 32 registers, six rows of two 12 of 16.
pub(super) const ROWS: usize = 6;

/// Vectors of a full tile.
#[inline(always)]
pub(super) fn vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { 4 } else { 2 }
}

/// Columns of a full tile.
#[inline(always)]
pub(super) fn columns<S: Simd>() -> usize {
    vectors::<S>() * S::F32_LANES
}

/// A tile of `V` vectors a row.
pub(super) type Sums<S, const V: usize> = [[<S as Simd>::f32s; V]; ROWS];

/// `sums` and the sum over `depth` of `a(d)` times the row of `b` that begins at `d * stride`.
#[inline(always)]
pub(super) fn tile<S: Simd, const V: usize>(
    simd: S,
    mut sums: Sums<S, V>,
    depth: usize,
    a: impl Fn(usize) -> [f32; ROWS],
    b: &[f32],
    stride: usize,
) -> Sums<S, V> {
    for d in 0..depth {
        let b = S::as_simd_f32s(&b[d * stride..][..V * S::F32_LANES]).0;
        let a = a(d);
        for i in 0..ROWS {
            let a = simd.splat_f32s(a[i]);
            for v in 0..V {
                sums[i][v] = simd.mul_add_f32s(a, b[v], sums[i][v]);
            }
        }
    }
    sums
}

/// The vector at the head of `from`.
#[inline(always)]
pub(super) fn load<S: Simd>(from: &[f32]) -> S::f32s {
    S::as_simd_f32s(&from[..S::F32_LANES]).0[0]
}

/// Stores a vector at the head of `to`.
#[inline(always)]
pub(super) fn store<S: Simd>(to: &mut [f32], value: S::f32s) {
    S::as_mut_simd_f32s(&mut to[..S::F32_LANES]).0[0] = value;
}

/// The sum of some few terms.
#[inline(always)]
pub(super) fn total<S: Simd>(simd: S, terms: &[f32]) -> f32 {
    let (vectors, rest) = S::as_simd_f32s(terms);
    let rest = simd.partial_load_f32s(rest);
    let lanes = vectors
        .iter()
        .fold(rest, |sum, &vector| simd.add_f32s(sum, vector));
    simd.reduce_sum_f32s(lanes)
}

/// Element `d` of each row.
#[inline(always)]
pub(super) fn column(rows: &[&[f32]; ROWS], d: usize) -> [f32; ROWS] {
    let mut column = [0.0; ROWS];
    for i in 0..ROWS {
        column[i] = rows[i][d];
    }
    column
}

/// Rows times a panel of columns `b [depth, width]`, whole vectors wide: `at` of each of `to` becomes the sum of its row, or the sum is
/// added to it. Sums of rows beyond the last of `to` are left.
#[inline(always)]
pub(super) fn multiply<S: Simd>(
    simd: S,
    depth: usize,
    rows: [&[f32]; ROWS],
    b: &[f32],
    to: &mut [&mut [f32]],
    at: Range<usize>,
    accumulate: bool,
) {
    match at.len().div_ceil(S::F32_LANES) {
        1 => multiply_by::<S, 1>(simd, depth, rows, b, to, at, accumulate),
        2 => multiply_by::<S, 2>(simd, depth, rows, b, to, at, accumulate),
        3 => multiply_by::<S, 3>(simd, depth, rows, b, to, at, accumulate),
        _ => multiply_by::<S, 4>(simd, depth, rows, b, to, at, accumulate),
    }
}

/// [`multiply`] by a panel of `V` vectors.
#[inline(always)]
fn multiply_by<S: Simd, const V: usize>(
    simd: S,
    depth: usize,
    rows: [&[f32]; ROWS],
    b: &[f32],
    to: &mut [&mut [f32]],
    at: Range<usize>,
    accumulate: bool,
) {
    let mut sums: Sums<S, V> = [[simd.splat_f32s(0.0); V]; ROWS];
    let lanes = S::F32_LANES;
    if accumulate {
        for (sums, to) in sums.iter_mut().zip(&*to) {
            let from = &to[at.clone()];
            for j in 0..V {
                sums[j] = simd.partial_load_f32s(&from[j * lanes..from.len().min((j + 1) * lanes)]);
            }
        }
    }
    let sums = tile::<S, V>(
        simd,
        sums,
        depth,
        #[inline(always)]
        |d| column(&rows, d),
        b,
        V * lanes,
    );
    for (sums, to) in sums.iter().zip(to) {
        let to = &mut to[at.clone()];
        if to.len() == V * lanes {
            for j in 0..V {
                store::<S>(&mut to[j * lanes..], sums[j]);
            }
        } else {
            for j in 0..V {
                let end = to.len().min((j + 1) * lanes);
                simd.partial_store_f32s(&mut to[j * lanes..end], sums[j]);
            }
        }
    }
}
