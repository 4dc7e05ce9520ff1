//! Scaling of bytes: antialiased bilinear and Catmull-Rom, as Pillow scales.
//!
//! Source rows are weighted together. The sums of eight rows lie side by side, so that their pixels are weighted by
//! instructions that do the same to eight numbers. Arithmetic is in whole numbers, so a picture's bytes do not depend on
//! the machine. A result is within one level of the exact one.

use std::cell::RefCell;
use std::ops::Range;

/// What a pixel far from the wanted place weighs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Filter {
    /// A triangle, that of Pillow's `BILINEAR`.
    Bilinear,
    /// Sharper than the triangle, whose blur shows at 28 pixels.
    CatmullRom,
}

impl Filter {
    /// The distance from which on pixels weigh nothing.
    fn support(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::CatmullRom => 2.0,
        }
    }

    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::CatmullRom if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::CatmullRom if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Self::CatmullRom => 0.0,
        }
    }
}

/// Bits below one of a weight; a sharp filter has some above one.
const WEIGHT_BITS: u32 = 14;
/// Bits below one of a weighted sum of rows.
const ROW_BITS: u32 = 5;
/// So few rows are summed in 16 bits: each loses up to a 32nd of a level.
const SHORT: usize = 8;
/// So many rows are scaled together.
const LANES: usize = 8;

/// The source pixels of each wanted one along an axis, as many for each.
#[derive(Default)]
struct Taps {
    count: usize,
    first: Vec<usize>,
    /// `count` for each.
    weights: Vec<i16>,
}

impl Taps {
    /// Makes these the taps of an axis.
    fn set(&mut self, axis: &Axis, filter: Filter) {
        let (from, to) = (axis.source.len(), axis.scaled);
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let support = filter.support() * stretch;
        self.count = ((2.0 * support).ceil() as usize + 1).min(from);
        if from == to {
            self.count = 1;
        }
        self.first.clear();
        self.weights.clear();
        let mut exact = vec![0.0; self.count];
        for at in axis.window.clone() {
            let centre = (at as f64 + 0.5) * scale;
            let first = ((centre - support + 0.5).max(0.0) as usize).min(from - self.count);
            let first = if from == to { at } else { first };
            for (i, weight) in exact.iter_mut().enumerate() {
                let distance = (first + i) as f64 + 0.5 - centre;
                *weight = filter.weight(distance / stretch);
            }
            let one = f64::from(1 << WEIGHT_BITS) / exact.iter().sum::<f64>();
            let fixed = |weight: &f64| (weight * one).round().min(f64::from(i16::MAX)) as i16;
            self.first.push(first);
            self.weights.extend(exact.iter().map(fixed));
        }
        self.trim();
    }

    /// Drops the last tap while it weighs nothing anywhere.
    fn trim(&mut self) {
        while self.count > 1 {
            let rows = self.weights.chunks_exact(self.count);
            if rows.clone().any(|row| row[self.count - 1] != 0) {
                return;
            }
            let kept = rows.flat_map(|row| &row[..row.len() - 1]).copied();
            self.weights = kept.collect();
            self.count -= 1;
        }
    }

    fn at(&self, i: usize) -> (usize, &[i16]) {
        (self.first[i], &self.weights[i * self.count..][..self.count])
    }
}

/// One axis of a scaling.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    /// The source pixels, at least one; those beyond count for nothing.
    pub(super) source: Range<usize>,
    /// To how many they are scaled, at least one.
    pub(super) scaled: usize,
    /// Which of these are wanted.
    pub(super) window: Range<usize>,
}

impl Axis {
    /// All of `source` scaled to `scaled` pixels, all of them wanted.
    pub(super) fn new(source: Range<usize>, scaled: usize) -> Self {
        Self {
            source,
            scaled,
            window: 0..scaled,
        }
    }

    fn is_scaled(&self) -> bool {
        self.source.len() != self.scaled
    }
}

/// A thread's tables and row, so that a picture allocates none.
#[derive(Default)]
struct Scratch {
    rows: Taps,
    columns: Taps,
    short: Vec<i16>,
    long: Vec<i32>,
    lanes: Vec<[i16; LANES]>,
    scaled: Vec<[i16; LANES]>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Pixels in memory, `STEP` bytes apart, of `width` a row.
#[derive(Clone, Copy)]
pub(super) struct Source<'a, const STEP: usize> {
    /// `[h,w,STEP]`.
    pub(super) bytes: &'a [u8],
    pub(super) width: usize,
}

/// Scales `STEP` interleaved channels to planes `[STEP,rows,columns]` of the wanted pixels, which are all of `out`.
pub(super) fn resample<const STEP: usize>(
    source: Source<'_, STEP>,
    rows: &Axis,
    columns: &Axis,
    filter: Filter,
    out: &mut [u8],
) {
    let (height, width) = (rows.window.len(), columns.window.len());
    let boxed = |y: usize| {
        let start = (y * source.width + columns.source.start) * STEP;
        &source.bytes[start..][..columns.source.len() * STEP]
    };
    if !rows.is_scaled() && !columns.is_scaled() {
        for (y, from) in rows.window.clone().enumerate() {
            let from = &boxed(rows.source.start + from)[columns.window.start * STEP..];
            for channel in 0..STEP {
                let to = &mut out[(channel * height + y) * width..][..width];
                copy_channel::<STEP>(from, channel, to);
            }
        }
        return;
    }
    SCRATCH.with_borrow_mut(|scratch| {
        scratch.rows.set(rows, filter);
        scratch.columns.set(columns, filter);
        let len = columns.source.len() * STEP;
        scratch.lanes.resize(len, [0; LANES]);
        scratch.scaled.resize(width, [0; LANES]);
        for top in (0..height).step_by(LANES) {
            let count = LANES.min(height - top);
            for lane in 0..count {
                let (first, weights) = scratch.rows.at(top + lane);
                let first = rows.source.start + first;
                let taps = weights.iter().enumerate();
                let taps = taps.map(|(i, weight)| (boxed(first + i), weight));
                if weights.len() <= SHORT {
                    sum_short(taps, len, &mut scratch.short);
                } else {
                    sum_long(taps, len, &mut scratch.long, &mut scratch.short);
                }
                for (lanes, &sum) in scratch.lanes.iter_mut().zip(&scratch.short) {
                    lanes[lane] = sum;
                }
            }
            for channel in 0..STEP {
                across::<STEP>(
                    &scratch.lanes[channel..],
                    &scratch.columns,
                    &mut scratch.scaled,
                );
                for lane in 0..count {
                    let to = &mut out[(channel * height + top + lane) * width..][..width];
                    for (to, scaled) in to.iter_mut().zip(&scratch.scaled) {
                        *to = scaled[lane].clamp(0, 255) as u8;
                    }
                }
            }
        }
    });
}

fn copy_channel<const STEP: usize>(from: &[u8], channel: usize, to: &mut [u8]) {
    if STEP == 1 {
        to.copy_from_slice(&from[..to.len()]);
        return;
    }
    for (to, pixel) in to.iter_mut().zip(from.chunks_exact(STEP)) {
        *to = pixel[channel];
    }
}

/// The weighted sum of a few rows, with [`ROW_BITS`].
fn sum_short<'a, 'w>(
    taps: impl Iterator<Item = (&'a [u8], &'w i16)>,
    len: usize,
    sum: &mut Vec<i16>,
) {
    sum.clear();
    // Each product is rounded down by half a 32nd: of the usual count of rows, this much.
    sum.resize(len, 1);
    for (row, &weight) in taps {
        for (sum, &byte) in sum.iter_mut().zip(row) {
            // The upper half of a product of 16 bits: one instruction for many pixels.
            let product = i32::from(i16::from(byte) << 7) * i32::from(weight);
            *sum += (product >> 16) as i16;
        }
    }
}

/// As [`sum_short`], for many rows.
fn sum_long<'a, 'w>(
    taps: impl Iterator<Item = (&'a [u8], &'w i16)>,
    len: usize,
    exact: &mut Vec<i32>,
    sum: &mut Vec<i16>,
) {
    const DROPPED: u32 = WEIGHT_BITS - ROW_BITS;
    exact.clear();
    exact.resize(len, 1 << (DROPPED - 1));
    for (row, &weight) in taps {
        for (sum, &byte) in exact.iter_mut().zip(row) {
            *sum += i32::from(byte) * i32::from(weight);
        }
    }
    sum.clear();
    sum.extend(exact.iter().map(|sum| (sum >> DROPPED) as i16));
}

/// Scales one channel of some rows.
fn across<const STEP: usize>(rows: &[[i16; LANES]], taps: &Taps, out: &mut [[i16; LANES]]) {
    // Known counts make straight code; these are the scales from a half to three, and none.
    match taps.count {
        1 => across_known::<STEP, 1>(rows, taps, out),
        2 => across_known::<STEP, 2>(rows, taps, out),
        3 => across_known::<STEP, 3>(rows, taps, out),
        4 => across_known::<STEP, 4>(rows, taps, out),
        5 => across_known::<STEP, 5>(rows, taps, out),
        6 => across_known::<STEP, 6>(rows, taps, out),
        7 => across_known::<STEP, 7>(rows, taps, out),
        _ => {
            for (x, to) in out.iter_mut().enumerate() {
                let (first, weights) = taps.at(x);
                let mut sums = [0; LANES];
                for (pixel, &weight) in rows[first * STEP..].iter().step_by(STEP).zip(weights) {
                    add(&mut sums, pixel, weight);
                }
                *to = sums.map(rounded);
            }
        }
    }
}

fn across_known<const STEP: usize, const COUNT: usize>(
    rows: &[[i16; LANES]],
    taps: &Taps,
    out: &mut [[i16; LANES]],
) {
    let weights = taps.weights.as_chunks::<COUNT>().0;
    for ((to, &first), weights) in out.iter_mut().zip(&taps.first).zip(weights) {
        let pixels = &rows[first * STEP..][..(COUNT - 1) * STEP + 1];
        let mut sums = [0; LANES];
        for i in 0..COUNT {
            add(&mut sums, &pixels[i * STEP], weights[i]);
        }
        *to = sums.map(rounded);
    }
}

fn add(sums: &mut [i32; LANES], pixels: &[i16; LANES], weight: i16) {
    for (sum, &pixel) in sums.iter_mut().zip(pixels) {
        *sum += i32::from(pixel) * i32::from(weight);
    }
}

fn rounded(sum: i32) -> i16 {
    const BITS: u32 = WEIGHT_BITS + ROW_BITS;
    ((sum + (1 << (BITS - 1))) >> BITS) as i16
}

#[cfg(test)]
mod tests;
