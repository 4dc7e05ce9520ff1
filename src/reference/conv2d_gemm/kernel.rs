//! The innermost product: a few rows of one factor times a few vectors of the other, summed in registers.
//!
//! It reaches a core's peak of multiply-adds (Zen 5, AVX-512: 265 GFLOP/s), with rows that lie as they are and
//! nothing packed but what the caller wants packed.

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
