//! Convolutions in `f32` on all cores: blocks of columns, each straight into one GEMM.
//!
//! Columns (`im2col`) never exist as a whole: a block of them is written, multiplied while it is in
//! the cache, and overwritten by the next. Blocks of 128, 256, 512, 1024 and 2048 KiB make a step
//! of `nin` at batch 16 take 517, 510, 504, 490 and 485 ms (CPU time of two threads over two,
//! medians of five runs; two cores of a Zen 3 EPYC with 512 KiB of L2 each); the smaller of the two
//! best serves smaller caches. That is 160 GFLOP/s, where one large GEMM reaches 169 to 187.
//!
//! The kernel wants rows of the product contiguous and packs that factor which runs along them; the
//! other stays cheap if it is contiguous along the sum. So `dgrad` transposes the filters once
//! rather than in every GEMM, and `wgrad` accumulates a transposed gradient: what it packs is the
//! small `dy`, not the columns.

use std::cell::Cell;
use std::ops::Range;
use std::thread::LocalKey;

use gemm::Parallelism;
use rayon::prelude::*;

use crate::ops::Geometry;

/// Floats of one block of columns.
const BLOCK: usize = 256 * 1024;
/// Rows of columns that one task of a gradient works on at once.
const TERMS: usize = 512;
/// Fewest pixels worth an accumulator of their own in [`wgrad`].
const PART: usize = 512;

thread_local! {
    static COLUMNS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static WEIGHTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static PARTIALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends `len` floats of unspecified content that are allocated once per thread.
///
/// The memory leaves its slot meanwhile: if rayon runs another of our tasks on this thread within
/// `body`, that one allocates its own.
fn with_scratch(
    slot: &'static LocalKey<Cell<Vec<f32>>>,
    len: usize,
    body: impl FnOnce(&mut [f32]),
) {
    let mut memory = slot.take();
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    body(&mut memory[..len]);
    slot.set(memory);
}

/// A matrix: its elements, the distance between its rows and that between its columns.
#[derive(Clone, Copy)]
struct Matrix<'a>(&'a [f32], usize, usize);

/// `to [m, n] = a [m, k] * b [k, n]`, or `+=`; rows of `to` are `stride` apart.
#[rustfmt::skip] // else nineteen lines for the call
fn multiply(
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
        gemm::gemm(
            m, n, k, to, 1, stride, accumulate, a, a_column, a_row, b, b_column, b_row,
            1.0, 1.0, false, false, false, threads,
        );
    }
}

/// Whether an image itself is the matrix of columns.
fn is_pointwise(g: &Geometry) -> bool {
    g.r == 1 && g.stride == 1 && g.pad == 0
}

/// Calls `visit(input, output, len)` for every run of `pixels` that the filter element `(r, s)`
/// takes from within the map: it begins at `input` in the map and at `output` in `pixels`.
fn runs(
    g: &Geometry,
    (r, s): (usize, usize),
    pixels: &Range<usize>,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let low = g.pad.saturating_sub(s).div_ceil(g.stride);
    let high = (g.w + g.pad).saturating_sub(s).div_ceil(g.stride).min(g.q);
    for p in pixels.start / g.q..pixels.end.div_ceil(g.q) {
        let h = (p * g.stride + r).wrapping_sub(g.pad); // beyond the map too if above it
        let from = (p * g.q + low).max(pixels.start);
        let to = (p * g.q + high).min(pixels.end);
        if h < g.h && from < to {
            let w = (from - p * g.q) * g.stride + s - g.pad;
            visit(h * g.w + w, from - pixels.start, to - from);
        }
    }
}

/// Columns of one channel: `to [R*R, pixels]`.
fn im2col(g: &Geometry, map: &[f32], pixels: &Range<usize>, to: &mut [f32]) {
    for (i, row) in to.chunks_mut(pixels.len()).enumerate() {
        row.fill(0.0);
        runs(g, (i / g.r, i % g.r), pixels, |from, to, len| {
            let to = &mut row[to..to + len];
            if g.stride == 1 {
                to.copy_from_slice(&map[from..from + len]);
            } else {
                let from = map[from..].iter().step_by(g.stride);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        });
    }
}

/// Lends the columns of some channels of one image: of each map in `x`, for `pixels`.
fn with_columns(
    g: &Geometry,
    x: &[f32],
    pixels: &Range<usize>,
    threads: Parallelism,
    body: impl FnOnce(Matrix<'_>),
) {
    if is_pointwise(g) {
        return body(Matrix(&x[pixels.start..], g.pixels(), 1));
    }
    let (channels, rows) = (x.len() / (g.h * g.w), g.r * g.r);
    let alone = matches!(threads, Parallelism::None);
    with_scratch(&COLUMNS, channels * rows * pixels.len(), |columns| {
        columns
            .par_chunks_mut(rows * pixels.len())
            .zip(x.par_chunks(g.h * g.w))
            .with_min_len(if alone { channels } else { 1 })
            .for_each(|(to, map)| im2col(g, map, pixels, to));
        body(Matrix(columns, pixels.len(), 1));
    });
}

/// Adds the columns of one channel, `from [R*R, pixels]`, to `map`.
fn col2im(g: &Geometry, from: &[f32], pixels: &Range<usize>, map: &mut [f32]) {
    for (i, row) in from.chunks(pixels.len()).enumerate() {
        runs(g, (i / g.r, i % g.r), pixels, |to, from, len| {
            let from = &row[from..from + len];
            if g.stride == 1 {
                let to = map[to..to + len].iter_mut();
                to.zip(from).for_each(|(to, &from)| *to += from);
            } else {
                let to = map[to..].iter_mut().step_by(g.stride);
                to.zip(from).for_each(|(to, &from)| *to += from);
            }
        });
    }
}

/// Cuts `range` of a batch's pixels into those of single images, at most `len` at once.
fn blocks(
    g: &Geometry,
    range: Range<usize>,
    len: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let pixels = g.pixels();
    let mut at = range.start;
    std::iter::from_fn(move || {
        let (n, from) = (at / pixels, at % pixels);
        let to = pixels.min(from + len).min(from + range.end - at);
        at += to - from;
        (from < to).then_some((n, from..to))
    })
}

/// Pixels of a block with `floats` elements in `terms` rows: whole tiles of the GEMM kernel.
fn block_len(floats: usize, terms: usize) -> usize {
    (floats / terms / 16 * 16).max(48)
}

/// Channels of one task of a gradient, given how many tasks at least must share the channels.
fn task_channels(g: &Geometry, tasks: usize) -> usize {
    g.c.div_ceil(tasks).min((TERMS / (g.r * g.r)).max(1))
}

pub(crate) fn forward(g: &Geometry, relu: bool, x: &[f32], w: &[f32], b: &[f32], y: &mut [f32]) {
    let (from, to) = (g.c * g.h * g.w, g.k * g.pixels());
    let finish = |k: usize, y: &mut [f32]| {
        let b = b[k];
        for y in y {
            let v = *y + b;
            // Not-a-number fails the comparison and passes through.
            *y = if relu && v < 0.0 { 0.0 } else { v };
        }
    };
    // As many images as the threads share evenly run one per thread; on each of the rest work all
    // threads, so that several blocks make one.
    let threads = rayon::current_num_threads();
    let shared = g.n - g.n % threads;
    let one = (BLOCK, Parallelism::None);
    let pairs = y.par_chunks_mut(to).zip(x.par_chunks(from)).take(shared);
    pairs.for_each(|(y, x)| forward_image(g, x, w, y, one, finish));
    let all = (8 * threads * BLOCK, Parallelism::Rayon(0));
    for (y, x) in y.chunks_mut(to).zip(x.chunks(from)).skip(shared) {
        forward_image(g, x, w, y, all, finish);
    }
}

/// Convolves one image in blocks of `block` floats; each row `k` of an output block, while it is
/// in the cache, goes through `finish(k, row)`.
fn forward_image(
    g: &Geometry,
    x: &[f32],
    w: &[f32],
    y: &mut [f32],
    (block, threads): (usize, Parallelism),
    finish: impl Fn(usize, &mut [f32]),
) {
    let (terms, pixels) = (g.terms(), g.pixels());
    for (_, range) in blocks(g, 0..pixels, block_len(block, terms)) {
        with_columns(g, x, &range, threads, |columns| {
            let size = [g.k, range.len(), terms];
            let to = (&mut y[range.start..], pixels);
            multiply(size, Matrix(w, terms, 1), columns, to, false, threads);
        });
        for (k, y) in y.chunks_mut(pixels).enumerate() {
            finish(k, &mut y[range.clone()]);
        }
    }
}

pub(crate) fn dgrad(g: &Geometry, dy: &[f32], w: &[f32], mask: Option<&[f32]>, dx: &mut [f32]) {
    let (image, map) = (g.c * g.h * g.w, g.h * g.w);
    let channels = task_channels(g, (2 * rayon::current_num_threads()).div_ceil(g.n));
    with_scratch(&WEIGHTS, w.len(), |wt| {
        // Transposed once, or else the GEMM of each task would.
        sum_transposed(w, g.k, g.terms(), wt);
        let wt = &*wt;
        let dy = dy.par_chunks(g.k * g.pixels());
        let images = dx.par_chunks_mut(image).zip(dy).enumerate();
        images.for_each(|(n, (dx, dy))| {
            let wt = wt.par_chunks(channels * g.r * g.r * g.k);
            let tasks = dx.par_chunks_mut(channels * map).zip(wt);
            tasks.enumerate().for_each(|(i, (dx, wt))| {
                dgrad_channels(g, dy, wt, dx);
                if let Some(mask) = mask {
                    super::relu::mask(&mask[n * image + i * channels * map..], dx);
                }
            });
        });
    });
}

/// Input gradient of some channels of one image, given their filters as `wt [channels*R*R, K]`.
fn dgrad_channels(g: &Geometry, dy: &[f32], wt: &[f32], dx: &mut [f32]) {
    let (terms, pixels) = (wt.len() / g.k, g.pixels());
    let product = |range: &Range<usize>, to: &mut [f32]| {
        let dy = Matrix(&dy[range.start..], pixels, 1);
        let (size, to) = ([terms, range.len(), g.k], (to, range.len()));
        multiply(size, Matrix(wt, g.k, 1), dy, to, false, Parallelism::None);
    };
    if is_pointwise(g) {
        return product(&(0..pixels), dx);
    }
    dx.fill(0.0);
    for (_, range) in blocks(g, 0..pixels, block_len(BLOCK, terms)) {
        with_scratch(&COLUMNS, terms * range.len(), |columns| {
            product(&range, columns);
            let columns = columns.chunks(g.r * g.r * range.len());
            for (map, from) in dx.chunks_mut(g.h * g.w).zip(columns) {
                col2im(g, from, &range, map);
            }
        });
    }
}

pub(crate) fn wgrad(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32], db: &mut [f32]) {
    let (pixels, len) = (g.n * g.pixels(), g.terms() * g.k);
    let threads = rayon::current_num_threads();
    let parts = threads.min(pixels.div_ceil(PART));
    let channels = task_channels(g, threads.div_ceil(parts));
    with_scratch(&PARTIALS, parts * len, |partials| {
        let tasks = partials.par_chunks_mut(len).enumerate();
        tasks.for_each(|(part, to)| {
            let range = pixels * part / parts..pixels * (part + 1) / parts;
            let tasks = to.par_chunks_mut(channels * g.r * g.r * g.k).enumerate();
            tasks.for_each(|(i, to)| wgrad_channels(g, x, dy, range.clone(), i * channels, to));
        });
        sum_transposed(partials, g.terms(), g.k, dw);
    });
    db.par_iter_mut().enumerate().for_each(|(k, db)| {
        let maps = dy.chunks(g.pixels()).skip(k).step_by(g.k);
        *db = maps.map(|map| f64::from(sum(map))).sum::<f64>() as f32;
    });
}

/// Transposed filter gradient `to [channels*R*R, K]` from `range` of the batch's pixels, for the
/// channels from `first`.
fn wgrad_channels(
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    range: Range<usize>,
    first: usize,
    to: &mut [f32],
) {
    let (terms, pixels, map) = (to.len() / g.k, g.pixels(), g.h * g.w);
    let channels = terms / (g.r * g.r);
    let mut accumulate = false;
    for (n, range) in blocks(g, range, block_len(BLOCK, terms)) {
        let x = &x[(n * g.c + first) * map..][..channels * map];
        let dy = Matrix(&dy[n * g.k * pixels + range.start..], 1, pixels);
        with_columns(g, x, &range, Parallelism::None, |columns| {
            let (size, to) = ([terms, g.k, range.len()], (&mut *to, g.k));
            multiply(size, columns, dy, to, accumulate, Parallelism::None);
        });
        accumulate = true;
    }
}

/// `to [columns, rows]` = transposed sum, in order, of all matrices in `from [.., rows, columns]`.
fn sum_transposed(from: &[f32], rows: usize, columns: usize, to: &mut [f32]) {
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

/// Sum in sixteen lanes, which vectorises and rounds less than in one.
fn sum(values: &[f32]) -> f32 {
    let (chunks, rest) = values.as_chunks::<16>();
    let add = |lanes: [f32; 16], chunk: &[f32; 16]| std::array::from_fn(|i| lanes[i] + chunk[i]);
    let lanes = chunks.iter().fold([0.0; 16], add);
    lanes.iter().chain(rest).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::conv2d;

    fn geometry(
        n: usize,
        c: usize,
        k: usize,
        [h, w]: [usize; 2],
        [r, stride, pad]: [usize; 3],
    ) -> Geometry {
        let out = |size: usize| (size + 2 * pad - r) / stride + 1;
        Geometry {
            n,
            c,
            h,
            w,
            k,
            r,
            stride,
            pad,
            p: out(h),
            q: out(w),
        }
    }

    /// Odd shapes, after some so large that they take several blocks.
    fn geometries() -> Vec<Geometry> {
        let mut all = vec![
            geometry(3, 24, 7, [61, 45], [5, 1, 2]),
            geometry(2, 16, 5, [120, 90], [5, 2, 2]),
            geometry(1, 130, 70, [27, 23], [3, 1, 1]),
            geometry(2, 70, 96, [40, 40], [1, 1, 0]),
        ];
        for n in [1, 3] {
            for (c, k) in [(1, 10), (3, 17), (5, 1)] {
                for (r, pad) in [(1, 0), (2, 1), (3, 0), (3, 1), (5, 2), (11, 5)] {
                    for stride in 1..=4 {
                        all.push(geometry(n, c, k, [13, 11], [r, stride, pad]));
                    }
                }
            }
        }
        all
    }

    fn random(seed: usize, len: usize) -> Vec<f32> {
        let mut state = seed as u32 + 1;
        let mut next = || {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
            ((word >> 22) ^ word) as f32 / u32::MAX as f32 - 0.5
        };
        (0..len).map(|_| next()).collect()
    }

    fn widen(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&v| v.into()).collect()
    }

    fn check(what: &str, g: &Geometry, got: &[f32], expected: &[f64]) {
        let scale = expected.iter().fold(1e-30, |max: f64, e| max.max(e.abs()));
        for (i, (&got, expected)) in got.iter().zip(expected).enumerate() {
            let error = (f64::from(got) - expected).abs() / scale;
            assert!(
                error < 1e-4,
                "{what} of {g:?}: element {i} is {got}, expected {expected}"
            );
        }
    }

    struct Case {
        x: Vec<f32>,
        w: Vec<f32>,
        b: Vec<f32>,
        dy: Vec<f32>,
    }

    impl Case {
        fn new(g: &Geometry) -> Self {
            Self {
                x: random(1, g.n * g.c * g.h * g.w),
                w: random(2, g.k * g.terms()),
                b: random(3, g.k),
                dy: random(4, g.n * g.k * g.pixels()),
            }
        }

        /// Outputs start as not-a-number, since they must be overwritten.
        fn run(&self, g: &Geometry, fused: bool) -> [Vec<f32>; 4] {
            let like = |of: &[f32]| vec![f32::NAN; of.len()];
            let [mut y, mut dx, mut dw, mut db] =
                [&self.dy, &self.x, &self.w, &self.b].map(|of| like(of));
            forward(g, fused, &self.x, &self.w, &self.b, &mut y);
            dgrad(g, &self.dy, &self.w, fused.then_some(&self.x), &mut dx);
            wgrad(g, &self.x, &self.dy, &mut dw, &mut db);
            [y, dx, dw, db]
        }
    }

    #[test]
    fn agrees_with_plain_loops_in_f64() {
        for g in geometries() {
            let case = Case::new(&g);
            let [x, w, b, dy] = [&case.x, &case.w, &case.b, &case.dy].map(|of| widen(of));
            for fused in [false, true] {
                let [mut y, mut dx, mut dw, mut db] =
                    [&dy, &x, &w, &b].map(|of| vec![f64::NAN; of.len()]);
                conv2d::forward(&g, fused, &x, &w, &b, &mut y);
                conv2d::dgrad(&g, &dy, &w, fused.then_some(&x), &mut dx);
                conv2d::wgrad(&g, &x, &dy, &mut dw, &mut db);
                let got = case.run(&g, fused);
                for (what, (got, expected)) in ["y", "dx", "dw", "db"]
                    .iter()
                    .zip(got.iter().zip([y, dx, dw, db]))
                {
                    check(what, &g, got, &expected);
                }
            }
        }
    }

    #[test]
    fn repeats_bit_for_bit() {
        for g in geometries() {
            let case = Case::new(&g);
            let bits = || {
                case.run(&g, true)
                    .map(|of| of.into_iter().map(f32::to_bits).collect::<Vec<_>>())
            };
            assert_eq!(bits(), bits(), "{g:?}");
        }
    }

    #[test]
    fn not_a_number_passes_relu_and_mask() {
        let g = geometry(1, 1, 1, [1, 1], [1, 1, 0]);
        let (mut y, mut dx) = ([0.0], [0.0]);
        forward(&g, true, &[f32::NAN], &[1.0], &[0.0], &mut y);
        dgrad(&g, &[2.0], &[1.0], Some(&[f32::NAN]), &mut dx);
        assert!(y[0].is_nan());
        assert_eq!(dx, [2.0]);
    }
}
