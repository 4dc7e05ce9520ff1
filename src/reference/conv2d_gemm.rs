//! Convolutions in `f32` on all cores: blocks of columns, each straight into one GEMM.

use std::cell::Cell;
use std::ops::Range;
use std::thread::LocalKey;

use gemm::Parallelism;
use rayon::prelude::*;

use crate::ops::Geometry;

/// Floats of one block of columns.
const BLOCK: usize = 128 * 1024;
/// Rows of columns that one task of a gradient works on at once.
const TERMS: usize = 512;
/// Fewest pixels worth an accumulator of their own in [`wgrad`].
const PART: usize = 512;

type Scratch = LocalKey<Cell<Vec<f32>>>;

thread_local! {
    static COLUMNS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static WEIGHTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static PARTIALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends `len` floats of unspecified content that are allocated once per thread.
///
/// The memory leaves its slot meanwhile: if rayon runs another of our tasks on this thread within
/// `body`, that one allocates its own.
fn with_scratch(slot: &'static Scratch, len: usize, body: impl FnOnce(&mut [f32])) {
    let mut memory = slot.take();
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    body(&mut memory[..len]);
    slot.set(memory);
}

/// A matrix, by the distances between its rows and between its columns.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    data: &'a [f32],
    row: usize,
    column: usize,
}

impl<'a> Matrix<'a> {
    fn rows(data: &'a [f32], row: usize) -> Self {
        Self {
            data,
            row,
            column: 1,
        }
    }

    fn transposed(self) -> Self {
        Self {
            row: self.column,
            column: self.row,
            ..self
        }
    }

    fn holds(self, rows: usize, columns: usize) -> bool {
        let last = |count: usize, stride: usize| (count - 1).saturating_mul(stride);
        last(rows, self.row).saturating_add(last(columns, self.column)) < self.data.len()
    }
}

/// How [`multiply`] runs.
#[derive(Clone, Copy, Default)]
struct Mode {
    /// Adds to the product's old content.
    accumulate: bool,
    /// On all threads; else on this one.
    parallel: bool,
}

/// `to [m, n] = a [m, k] * b [k, n]`, rows of `to` being `stride` apart.
#[rustfmt::skip] // else nineteen lines for the call
fn multiply(
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    (to, stride): (&mut [f32], usize),
    mode: Mode,
) {
    assert!(m > 0 && n > 0 && k > 0, "invariant: no dimension is empty");
    assert!(stride >= n, "invariant: rows of the product are apart");
    let fit = a.holds(m, k) && b.holds(k, n) && Matrix::rows(to, stride).holds(m, n);
    assert!(fit, "invariant: the matrices lie within their slices");
    let threads = match mode.parallel {
        true => Parallelism::Rayon(0),
        false => Parallelism::None,
    };
    let [a_row, a_column, b_row, b_column, stride] =
        [a.row, a.column, b.row, b.column, stride].map(|distance| distance as isize);
    let (a, b, to) = (a.data.as_ptr(), b.data.as_ptr(), to.as_mut_ptr());
    #[expect(unsafe_code, reason = "the kernel takes raw pointers")]
    // SAFETY: all three matrices lie within their slices and rows of `to` do not overlap, as just
    // checked; being borrowed mutably, `to` overlaps neither factor.
    unsafe {
        gemm::gemm(
            m, n, k, to, 1, stride, mode.accumulate, a, a_column, a_row, b, b_column, b_row,
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
        let h = (p * g.stride + r).checked_sub(g.pad);
        let Some(h) = h.filter(|&h| h < g.h) else {
            continue;
        };
        let from = (p * g.q + low).max(pixels.start);
        let to = (p * g.q + high).min(pixels.end);
        if from < to {
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
    let most = if is_pointwise(g) {
        g.c
    } else {
        TERMS / (g.r * g.r)
    };
    g.c.div_ceil(tasks).min(most.max(1))
}

pub(crate) fn forward(g: &Geometry, relu: bool, x: &[f32], w: &[f32], b: &[f32], y: &mut [f32]) {
    let (from, to) = (g.c * g.h * g.w, g.k * g.pixels());
    // As many images as the threads share evenly run one per thread; all threads work on each of
    // the rest.
    let shared = (g.n - g.n % rayon::current_num_threads()) * to;
    let (many, few) = y.split_at_mut(shared);
    let (many, few) = (many.par_chunks_mut(to), few.chunks_mut(to));
    let (x_many, x_few) = x.split_at(shared / to * from);
    many.zip(x_many.par_chunks(from))
        .for_each(|(y, x)| forward_image(g, relu, x, w, b, y, false));
    for (y, x) in few.zip(x_few.chunks(from)) {
        forward_image(g, relu, x, w, b, y, true);
    }
}

fn forward_image(
    g: &Geometry,
    relu: bool,
    x: &[f32],
    w: &[f32],
    b: &[f32],
    y: &mut [f32],
    parallel: bool,
) {
    let (terms, pixels) = (g.terms(), g.pixels());
    let mode = Mode {
        parallel,
        ..Mode::default()
    };
    let w = Matrix::rows(w, terms);
    let threads = if parallel {
        rayon::current_num_threads()
    } else {
        1
    };
    let len = if parallel { 8 * threads * BLOCK } else { BLOCK };
    for (_, range) in blocks(g, 0..pixels, block_len(len, terms)) {
        let size = [g.k, range.len(), terms];
        let to = (&mut y[range.start..], pixels);
        if is_pointwise(g) {
            multiply(size, w, Matrix::rows(&x[range.start..], pixels), to, mode);
        } else {
            with_scratch(&COLUMNS, terms * range.len(), |columns| {
                columns
                    .par_chunks_mut(g.r * g.r * range.len())
                    .zip(x.par_chunks(g.h * g.w))
                    .with_min_len(if parallel { 1 } else { g.c })
                    .for_each(|(to, map)| im2col(g, map, &range, to));
                multiply(size, w, Matrix::rows(columns, range.len()), to, mode);
            });
        }
        for (y, &b) in y.chunks_mut(pixels).zip(b) {
            finish(relu, b, &mut y[range.clone()]);
        }
    }
}

/// Adds the bias, then applies ReLU, which lets not-a-number pass.
fn finish(relu: bool, b: f32, y: &mut [f32]) {
    for y in y {
        let v = *y + b;
        *y = if relu && v < 0.0 { 0.0 } else { v };
    }
}

pub(crate) fn dgrad(g: &Geometry, dy: &[f32], w: &[f32], mask: Option<&[f32]>, dx: &mut [f32]) {
    let (image, map) = (g.c * g.h * g.w, g.h * g.w);
    let tasks = (2 * rayon::current_num_threads()).div_ceil(g.n);
    let channels = task_channels(g, tasks);
    with_scratch(&WEIGHTS, w.len(), |wt| {
        // Transposed once, or else the GEMM of each task would.
        sum_transposed(w, g.k, g.terms(), wt);
        let wt = &*wt;
        let images = dx
            .par_chunks_mut(image)
            .zip(dy.par_chunks(g.k * g.pixels()));
        images.enumerate().for_each(|(n, (dx, dy))| {
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
    let wt = Matrix::rows(wt, g.k);
    if is_pointwise(g) {
        let dy = Matrix::rows(dy, pixels);
        return multiply([terms, pixels, g.k], wt, dy, (dx, pixels), Mode::default());
    }
    dx.fill(0.0);
    for (_, range) in blocks(g, 0..pixels, block_len(BLOCK, terms)) {
        let len = range.len();
        with_scratch(&COLUMNS, terms * len, |columns| {
            let dy = Matrix::rows(&dy[range.start..], pixels);
            let to = (&mut *columns, len);
            multiply([terms, len, g.k], wt, dy, to, Mode::default());
            let columns = columns.chunks(g.r * g.r * len);
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
    let mut mode = Mode::default();
    for (n, range) in blocks(g, range, block_len(BLOCK, terms)) {
        let x = &x[(n * g.c + first) * map..];
        let dy = Matrix::rows(&dy[n * g.k * pixels + range.start..], pixels).transposed();
        let (size, to) = ([terms, g.k, range.len()], (&mut *to, g.k));
        if is_pointwise(g) {
            multiply(size, Matrix::rows(&x[range.start..], pixels), dy, to, mode);
        } else {
            with_scratch(&COLUMNS, terms * range.len(), |columns| {
                let blocks = columns.chunks_mut(g.r * g.r * range.len());
                for (to, map) in blocks.zip(x.chunks(map)) {
                    im2col(g, map, &range, to);
                }
                multiply(size, Matrix::rows(columns, range.len()), dy, to, mode);
            });
        }
        mode.accumulate = true;
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
    let mut lanes = [0.0; 16];
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
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

    /// Odd shapes, and two so large that they take several blocks.
    fn geometries() -> Vec<Geometry> {
        let mut all = vec![
            geometry(3, 5, 17, [61, 45], [5, 1, 2]),
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
