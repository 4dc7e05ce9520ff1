//! What the CPU can do at most.

use std::convert::Infallible;

use gemm_common::Parallelism;
use rayon::prelude::*;

use super::conv2d_gemm::matrix::{Matrix, multiply};
use crate::backend::peak::{Peak, highest_rate};

/// Sides of the matrices that are multiplied.
const SIDE: usize = 1024;
/// Floats that are copied: 64 MiB, more than caches hold.
const COPIED: usize = 16 << 20;

/// Operations per second of a large product of matrices, and bytes per second of a copy, on all threads.
///
/// A product of matrices rather than a loop of multiply-adds: safe code compiles to the target's baseline, which on x86
/// has neither wide vectors nor fused multiply-adds, while the GEMM chooses its kernel as it runs.
pub fn peak() -> Peak {
    let [a, b] = [1.0, 0.5].map(|x| vec![x; SIDE * SIDE]);
    let [mut product, from, mut to] = [SIDE * SIDE, COPIED, COPIED].map(|len| vec![0.25_f32; len]);
    let products = rate(|| {
        let (a, b) = (Matrix(&a, SIDE, 1), Matrix(&b, SIDE, 1));
        let to = (product.as_mut_slice(), SIDE);
        multiply([SIDE; 3], a, b, to, false, Parallelism::Rayon(0));
    });
    let share = COPIED.div_ceil(rayon::current_num_threads());
    let copies = rate(|| {
        let parts = to.par_chunks_mut(share).zip(from.par_chunks(share));
        parts.for_each(|(to, from)| to.copy_from_slice(from));
    });
    Peak {
        flops: products * 2.0 * (SIDE * SIDE * SIDE) as f64,
        bytes: copies * 2.0 * 4.0 * COPIED as f64,
    }
}

fn rate(mut work: impl FnMut()) -> f64 {
    let Ok(rate) = highest_rate(|times| {
        (0..times).for_each(|_| work());
        Ok::<_, Infallible>(())
    });
    rate
}
