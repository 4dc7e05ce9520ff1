//! Convolutions in `f32` on all cores: blocks of columns, each straight into one GEMM.

use std::cell::Cell;
use std::ops::Range;
use std::thread::LocalKey;

use gemm::Parallelism;
use rayon::prelude::*;

use crate::ops::Geometry;

/// Floats of one block of columns.
const BLOCK: usize = 128 * 1024;
/// Smallest share of pixels worth an accumulator of its own in [`wgrad`].
const PART: usize = 256;

type Scratch = LocalKey<Cell<Vec<f32>>>;

thread_local! {
    static COLUMNS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static WEIGHTS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static PARTIALS: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Lends `len` floats of unspecified content that are allocated once per thread.
///
/// The memory leaves its slot meanwhile: if rayon runs another task of ours on this thread within `body`, that one
/// allocates its own.
fn with_scratch<R>(slot: &'static Scratch, len: usize, body: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut memory = slot.take();
    if memory.len() < len {
        memory.resize(len, 0.0);
    }
    let result = body(&mut memory[..len]);
    slot.set(memory);
    result
}

/// A matrix by its strides.
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
        let last = |count: usize, stride: usize| count.saturating_sub(1).saturating_mul(stride);
        last(rows, self.row).saturating_add(last(columns, self.column)) < self.data.len()
    }
}

/// `to = a * b`, or `to += a * b`, where `to` is `m x n` with rows `stride` apart.
fn multiply(
    [m, n, k]: [usize; 3],
    a: Matrix<'_>,
    b: Matrix<'_>,
    (to, stride): (&mut [f32], usize),
    accumulate: bool,
    parallel: bool,
) {
    assert!(
        m > 0 && n > 0 && k > 0 && stride >= n,
        "invariant: no dimension is empty"
    );
    assert!(
        a.holds(m, k) && b.holds(k, n),
        "invariant: factors hold all their elements"
    );
    assert!(
        Matrix::rows(to, stride).holds(m, n),
        "invariant: the product fits"
    );
    #[expect(unsafe_code, reason = "the kernel takes raw pointers")]
    // SAFETY: all three matrices lie within their slices, as just checked; rows of `to` do not overlap each other, nor,
    // being borrowed mutably, the factors.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            to.as_mut_ptr(),
            1,
            stride as isize,
            accumulate,
            a.data.as_ptr(),
            a.column as isize,
            a.row as isize,
            b.data.as_ptr(),
            b.column as isize,
            b.row as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            if parallel {
                Parallelism::Rayon(0)
            } else {
                Parallelism::None
            },
        );
    }
}

/// Whether the image itself is the matrix of columns.
fn is_pointwise(g: &Geometry) -> bool {
    g.r == 1 && g.stride == 1 && g.pad == 0
}

/// Calls `visit(input, output, len)` for every run of `pixels` that the filter element `(r, s)` takes from within the
/// map: it begins at `input` in the map and at `output` in `pixels`.
fn runs(
    g: &Geometry,
    [r, s]: [usize; 2],
    pixels: &Range<usize>,
    mut visit: impl FnMut(usize, usize, usize),
) {
    let low = g.pad.saturating_sub(s).div_ceil(g.stride);
    let high = (g.w + g.pad).saturating_sub(s).div_ceil(g.stride);
    for p in pixels.start / g.q..pixels.end.div_ceil(g.q) {
        let Some(h) = (p * g.stride + r).checked_sub(g.pad).filter(|&h| h < g.h) else {
            continue;
        };
        let from = (p * g.q + low).max(pixels.start);
        let to = (p * g.q + high.min(g.q)).min(pixels.end);
        if from < to {
            let w = (from - p * g.q) * g.stride + s - g.pad;
            visit(h * g.w + w, from - pixels.start, to - from);
        }
    }
}

/// Filter elements in the order of the rows of columns.
fn filter(g: &Geometry) -> impl Iterator<Item = [usize; 2]> {
    let side = g.r;
    (0..side * side).map(move |i| [i / side, i % side])
}

/// Columns of one channel: `to [R*R, pixels]`.
fn im2col(g: &Geometry, map: &[f32], pixels: &Range<usize>, to: &mut [f32]) {
    for (element, row) in filter(g).zip(to.chunks_mut(pixels.len())) {
        row.fill(0.0);
        runs(g, element, pixels, |from, to, len| {
            let row = &mut row[to..to + len];
            if g.stride == 1 {
                row.copy_from_slice(&map[from..from + len]);
            } else {
                for (to, &from) in row.iter_mut().zip(map[from..].iter().step_by(g.stride)) {
                    *to = from;
                }
            }
        });
    }
}

/// Adds the columns of one channel, `from [R*R, pixels]`, to `map`.
fn col2im(g: &Geometry, from: &[f32], pixels: &Range<usize>, map: &mut [f32]) {
    for (element, row) in filter(g).zip(from.chunks(pixels.len())) {
        runs(g, element, pixels, |to, from, len| {
            let row = &row[from..from + len];
            if g.stride == 1 {
                for (to, &from) in map[to..to + len].iter_mut().zip(row) {
                    *to += from;
                }
            } else {
                for (to, &from) in map[to..].iter_mut().step_by(g.stride).zip(row) {
                    *to += from;
                }
            }
        });
    }
}

/// Cuts `range` of the pixels of a batch into the pixels of single images, at most `block` at once.
fn blocks(
    g: &Geometry,
    range: Range<usize>,
    block: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let pixels = g.pixels();
    let mut at = range.start;
    std::iter::from_fn(move || {
        let (n, from) = (at / pixels, at % pixels);
        let to = pixels.min(from + block).min(from + range.end - at);
        at += to - from;
        (from < to).then_some((n, from..to))
    })
}

/// Pixels of one block whose columns have `terms` rows.
fn block_pixels(g: &Geometry, terms: usize) -> usize {
    (BLOCK / terms / 16 * 16).max(48).min(g.pixels())
}

pub(crate) fn forward(g: &Geometry, relu: bool, x: &[f32], w: &[f32], b: &[f32], y: &mut [f32]) {
    let (from, to) = (g.c * g.h * g.w, g.k * g.pixels());
    // As many images as the threads share evenly run one per thread; all threads work on each of the rest.
    let shared = g.n - g.n % rayon::current_num_threads();
    let (y, rest) = y.split_at_mut(shared * to);
    y.par_chunks_mut(to)
        .zip(x.par_chunks(from))
        .for_each(|(y, x)| forward_image(g, relu, x, w, b, y, false));
    for (y, x) in rest.chunks_mut(to).zip(x[shared * from..].chunks(from)) {
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
    let w = Matrix::rows(w, terms);
    let block = if parallel {
        pixels
    } else {
        block_pixels(g, terms)
    };
    for (_, range) in blocks(g, 0..pixels, block) {
        let size = [g.k, range.len(), terms];
        let to = (&mut y[range.start..], pixels);
        if is_pointwise(g) {
            multiply(
                size,
                w,
                Matrix::rows(&x[range.start..], pixels),
                to,
                false,
                parallel,
            );
        } else {
            with_scratch(&COLUMNS, terms * range.len(), |columns| {
                columns
                    .par_chunks_mut(g.r * g.r * range.len())
                    .zip(x.par_chunks(g.h * g.w))
                    .with_min_len(if parallel { 1 } else { g.c })
                    .for_each(|(to, map)| im2col(g, map, &range, to));
                multiply(
                    size,
                    w,
                    Matrix::rows(columns, range.len()),
                    to,
                    false,
                    parallel,
                );
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

/// `to [columns, rows]` = transpose of `from [rows, columns]`.
fn transpose(from: &[f32], columns: usize, to: &mut [f32]) {
    let rows = from.len() / columns;
    to.par_chunks_mut(16 * rows)
        .enumerate()
        .for_each(|(i, to)| {
            for (k, from) in from.chunks(columns).enumerate() {
                for (to, &from) in to[k..].iter_mut().step_by(rows).zip(&from[16 * i..]) {
                    *to = from;
                }
            }
        });
}

/// Channels of one task, given that each gives `rows` of columns and other axes give `tasks` tasks.
fn task_channels(g: &Geometry, tasks: usize) -> usize {
    g.c.div_ceil((2 * rayon::current_num_threads()).div_ceil(tasks))
        .max(1)
}

pub(crate) fn dgrad(g: &Geometry, dy: &[f32], w: &[f32], mask: Option<&[f32]>, dx: &mut [f32]) {
    let (map, square) = (g.h * g.w, g.r * g.r);
    let cap = if is_pointwise(g) {
        g.c
    } else {
        (BLOCK / g.pixels() / square).max(1)
    };
    let channels = task_channels(g, g.n).min(cap);
    with_scratch(&WEIGHTS, w.len(), |wt| {
        transpose(w, g.terms(), wt);
        let wt = &*wt;
        let images = dx
            .par_chunks_mut(g.c * map)
            .zip(dy.par_chunks(g.k * g.pixels()));
        images.enumerate().for_each(|(n, (dx, dy))| {
            let tasks = dx
                .par_chunks_mut(channels * map)
                .zip(wt.par_chunks(channels * square * g.k));
            tasks.enumerate().for_each(|(i, (dx, wt))| {
                dgrad_channels(g, dy, wt, dx);
                if let Some(mask) = mask {
                    super::relu::mask(&mask[(n * g.c + i * channels) * map..], dx);
                }
            });
        });
    });
}

/// Input gradient of some channels of one image.
fn dgrad_channels(g: &Geometry, dy: &[f32], wt: &[f32], dx: &mut [f32]) {
    let (terms, pixels) = (wt.len() / g.k, g.pixels());
    let (dy, wt) = (Matrix::rows(dy, pixels), Matrix::rows(wt, g.k));
    let size = [terms, pixels, g.k];
    if is_pointwise(g) {
        return multiply(size, wt, dy, (dx, pixels), false, false);
    }
    dx.fill(0.0);
    with_scratch(&COLUMNS, terms * pixels, |columns| {
        multiply(size, wt, dy, (columns, pixels), false, false);
        for (map, from) in dx
            .chunks_mut(g.h * g.w)
            .zip(columns.chunks(g.r * g.r * pixels))
        {
            col2im(g, from, &(0..pixels), map);
        }
    });
}

pub(crate) fn wgrad(g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32], db: &mut [f32]) {
    let (terms, pixels, square) = (g.terms(), g.n * g.pixels(), g.r * g.r);
    let parts = rayon::current_num_threads().min(pixels.div_ceil(PART));
    let cap = if is_pointwise(g) {
        g.c
    } else {
        (512 / square).max(1)
    };
    let channels = task_channels(g, parts).min(cap);
    with_scratch(&PARTIALS, parts * terms * g.k, |partials| {
        partials
            .par_chunks_mut(terms * g.k)
            .enumerate()
            .for_each(|(part, to)| {
                let range = pixels * part / parts..pixels * (part + 1) / parts;
                to.par_chunks_mut(channels * square * g.k)
                    .enumerate()
                    .for_each(|(i, to)| wgrad_channels(g, x, dy, range.clone(), i * channels, to));
            });
        sum_transposed(partials, parts, terms, dw);
    });
    db.par_iter_mut().enumerate().for_each(|(k, db)| {
        let maps = dy.chunks(g.pixels()).skip(k).step_by(g.k);
        *db = maps.map(|map| f64::from(sum(map))).sum::<f64>() as f32;
    });
}

/// `to [channels*R*R, K]`: transposed filter gradient from `range` of the batch's pixels, for the channels from `first`.
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
    let block = block_pixels(g, terms);
    let mut accumulate = false;
    for (n, range) in blocks(g, range, block) {
        let x = &x[(n * g.c + first) * map..][..channels * map];
        let dy = Matrix::rows(&dy[n * g.k * pixels + range.start..], pixels).transposed();
        let size = [terms, g.k, range.len()];
        if is_pointwise(g) {
            let x = Matrix::rows(&x[range.start..], pixels);
            multiply(size, x, dy, (&mut *to, g.k), accumulate, false);
        } else {
            with_scratch(&COLUMNS, terms * range.len(), |columns| {
                let blocks = columns.chunks_mut(g.r * g.r * range.len());
                for (to, map) in blocks.zip(x.chunks(map)) {
                    im2col(g, map, &range, to);
                }
                let columns = Matrix::rows(columns, range.len());
                multiply(size, columns, dy, (&mut *to, g.k), accumulate, false);
            });
        }
        accumulate = true;
    }
}

/// `to [K, terms]` = sum of all `from [parts, terms, K]`, in order.
fn sum_transposed(from: &[f32], parts: usize, terms: usize, to: &mut [f32]) {
    let k = to.len() / terms;
    to.par_chunks_mut(16 * terms)
        .enumerate()
        .for_each(|(i, to)| {
            for part in 0..parts {
                for t in 0..terms {
                    let from = &from[(part * terms + t) * k + 16 * i..];
                    for (to, &from) in to[t..].iter_mut().step_by(terms).zip(from) {
                        *to = if part == 0 { from } else { *to + from };
                    }
                }
            }
        });
}

/// Sum in sixteen lanes, which vectorises and rounds less than one.
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
