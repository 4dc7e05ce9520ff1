//! Meaning of [`crate::ops::MaxPool2d`] and its gradient.

use rayon::prelude::*;

use super::{Real, vectorized};
use crate::ops::PoolGeometry;

/// Lanes of a loop without a rest.
const LANES: usize = 16;
/// Maps of a task, at least.
const MAPS: usize = 4;

/// Where nobody wants to know which element was the greatest, `argmax` is empty.
pub(crate) fn forward<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let pixels = g.p * g.q;
    let maps = y.par_chunks_mut(pixels).enumerate().with_min_len(MAPS);
    // From a map to the end of all: vectors of its last rows may end in the next map.
    let map = |i: usize| &x[i * g.h * g.w..];
    if argmax.is_empty() {
        let rows = || Rows::<T, false>::new(g);
        return maps.for_each_init(rows, |rows, (i, y)| {
            vectorized(
                #[inline(always)]
                || rows.map(g, map(i), y, &mut []),
            )
        });
    }
    let rows = || Rows::<T, true>::new(g);
    let maps = maps.zip(argmax.par_chunks_mut(pixels));
    maps.for_each_init(rows, |rows, ((i, y), argmax)| {
        vectorized(
            #[inline(always)]
            || rows.map(g, map(i), y, argmax),
        )
    });
}

/// A row of outputs in the making: the greatest of each column of the rows that its windows see, then of the columns of each window.
///
/// Rows are whole vectors, so that no loop has a rest. Padding is less than anything, and behind all places.
struct Rows<T, const PLACED: bool> {
    /// A row of the map, where that may not be read beyond.
    row: Vec<T>,
    /// Of each column, the greatest and its place.
    best: Vec<T>,
    places: Vec<u32>,
    /// The same with every `stride`-th column apart, `[stride, len]`: what a row of outputs sees of one column of the window.
    phases: Vec<T>,
    phased_places: Vec<u32>,
    len: usize,
    /// Of each output.
    y: Vec<T>,
    argmax: Vec<u32>,
}

impl<T: Real, const PLACED: bool> Rows<T, PLACED> {
    fn new(g: &PoolGeometry) -> Self {
        let [stride, pad, last] = [g.stride[1], g.pad[1], (g.window[1] - 1) * g.dilation[1]];
        let outputs = g.q.next_multiple_of(LANES);
        let seen = outputs + last / stride;
        let row = g.w.next_multiple_of(LANES);
        let len = seen
            .max((pad + row).div_ceil(stride))
            .next_multiple_of(LANES);
        let (least, nowhere) = (T::from_f64(f64::NEG_INFINITY), u32::MAX);
        Self {
            row: vec![least; row],
            best: vec![least; stride * len],
            places: vec![nowhere; stride * len],
            phases: vec![least; stride * len],
            phased_places: vec![nowhere; stride * len],
            len,
            y: vec![least; outputs],
            argmax: vec![nowhere; outputs],
        }
    }

    /// The outputs `y` of the map at the head of `x`.
    #[inline(always)]
    fn map(&mut self, g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
        for p in 0..g.p {
            for (i, h) in g.places(0, p).enumerate() {
                self.take_row(g, i == 0, &x[h * g.w..], h * g.w);
            }
            // Vectors of a row end behind it.
            let columns = g.pad[1] + g.w..g.pad[1] + self.row.len();
            self.best[columns.clone()].fill(T::from_f64(f64::NEG_INFINITY));
            split(g.stride[1], &self.best, &mut self.phases);
            if PLACED {
                self.places[columns].fill(u32::MAX);
                split(g.stride[1], &self.places, &mut self.phased_places);
            }
            for s in 0..g.window[1] {
                self.take_column(g, s);
            }
            store(&self.y, g.q, &mut y[p * g.q..]);
            if PLACED {
                store(&self.argmax, g.q, &mut argmax[p * g.q..]);
            }
        }
    }

    /// Has each column see the row at the head of `x`, whose first element is number `at` of the map.
    #[inline(always)]
    fn take_row(&mut self, g: &PoolGeometry, is_first: bool, x: &[T], at: usize) {
        let row = match x.get(..self.row.len()) {
            Some(row) => row,
            None => {
                self.row[..g.w].copy_from_slice(&x[..g.w]);
                &self.row
            }
        };
        let best = &mut self.best[g.pad[1]..][..row.len()];
        let places = &mut self.places[g.pad[1]..][..row.len()];
        for i in 0..row.len() {
            let is_better = is_first | (row[i] > best[i]) | is_nan(row[i]);
            best[i] = if is_better { row[i] } else { best[i] };
            if PLACED {
                places[i] = if is_better {
                    (at + i) as u32
                } else {
                    places[i]
                };
            }
        }
    }

    /// Has each output see column `s` of its window.
    #[inline(always)]
    fn take_column(&mut self, g: &PoolGeometry, s: usize) {
        let (stride, s) = (g.stride[1], s * g.dilation[1]);
        let from = s % stride * self.len + s / stride;
        let values = &self.phases[from..][..self.y.len()];
        let places = &self.phased_places[from..][..self.y.len()];
        if s == 0 {
            self.y.copy_from_slice(values);
            return self.argmax.copy_from_slice(places);
        }
        let (y, argmax) = (
            &mut self.y[..values.len()],
            &mut self.argmax[..values.len()],
        );
        for i in 0..values.len() {
            let (value, best) = (values[i], y[i]);
            // Of equals the first place counts. Not-a-number passes through, as in PyTorch, and its last place counts.
            let is_better = if PLACED {
                (value > best)
                    | ((value == best) & (places[i] < argmax[i]))
                    | (is_nan(value) & (!is_nan(best) | (places[i] > argmax[i])))
            } else {
                (value > best) | is_nan(value)
            };
            y[i] = if is_better { value } else { best };
            if PLACED {
                argmax[i] = if is_better { places[i] } else { argmax[i] };
            }
        }
    }
}

#[inline(always)]
fn is_nan<T: Real>(value: T) -> bool {
    #[expect(clippy::eq_op, reason = "not-a-number alone is not itself")]
    let is_nan = value != value;
    is_nan
}

/// Stores a row of `len` in whole vectors, where there is room for them: the row behind overwrites what they have beyond.
#[inline(always)]
fn store<T: Copy>(row: &[T], len: usize, to: &mut [T]) {
    match to.get_mut(..row.len()) {
        Some(to) => {
            let vectors = to.as_chunks_mut::<LANES>().0.iter_mut();
            let from = row.as_chunks::<LANES>().0;
            vectors.zip(from).for_each(|(to, from)| *to = *from);
        }
        None => to[..len].copy_from_slice(&row[..len]),
    }
}

/// Every `stride`-th element of `row` apart, `to [stride, ..]`.
#[inline(always)]
fn split<T: Copy>(stride: usize, row: &[T], to: &mut [T]) {
    let len = to.len() / stride;
    if stride == 2 {
        // Pairs, which a compiler makes vectors of.
        let (even, odd) = to.split_at_mut(len);
        let pairs = row.as_chunks::<2>().0.iter();
        for (([a, b], even), odd) in pairs.zip(even).zip(odd) {
            (*even, *odd) = (*a, *b);
        }
        return;
    }
    for (i, to) in to.chunks_mut(len).enumerate() {
        let row = row[i..].iter().step_by(stride);
        to.iter_mut().zip(row).for_each(|(to, &from)| *to = from);
    }
}

pub(crate) fn backward<T: Real>(
    g: &PoolGeometry,
    dy: &[T],
    argmax: &[u32],
    mask: Option<&[T]>,
    dx: &mut [T],
) {
    let pixels = g.p * g.q;
    let gradients = dy.par_chunks(pixels).zip(argmax.par_chunks(pixels));
    let map = g.h * g.w;
    let maps = dx.par_chunks_mut(map).enumerate().with_min_len(MAPS);
    maps.zip(gradients).for_each(|((i, dx), (dy, argmax))| {
        dx.fill(T::default());
        for (&dy, &at) in dy.iter().zip(argmax) {
            dx[at as usize] += dy;
        }
        if let Some(mask) = mask {
            super::relu::mask_part(&mask[i * map..], dx);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::shape::Shape;
    use crate::ops::Pool2d;

    /// Places by plain loops: of equals the first, of several that are not numbers the last.
    fn plain_argmax(g: &PoolGeometry, x: &[f32]) -> Vec<u32> {
        let mut all = Vec::new();
        for map in x.chunks(g.h * g.w) {
            for i in 0..g.p * g.q {
                let mut best: Option<usize> = None;
                for h in g.places(0, i / g.q) {
                    for at in g.places(1, i % g.q).map(|w| h * g.w + w) {
                        let is_better = |best| map[at].is_nan() || map[at] > map[best];
                        best = Some(best.filter(|&best| !is_better(best)).unwrap_or(at));
                    }
                }
                all.push(best.expect("a window sees the map") as u32);
            }
        }
        all
    }

    #[test]
    fn values_are_the_same_whether_their_places_are_wanted_or_not() {
        let pools = [
            Pool2d::new(3, 2),
            Pool2d::new(2, 1),
            Pool2d::new(5, 4),
            Pool2d::new(3, 2).and_then(|pool| pool.with_padding([1, 1])),
            Pool2d::new(3, 1).and_then(|pool| pool.with_dilation([2, 3])),
        ];
        for pool in pools {
            let pool = pool.expect("valid");
            for (h, w) in [(9, 7), (13, 16), (7, 31)] {
                let shape = Shape::new(&[2, 3, h, w]).expect("valid");
                let g = pool.geometry(shape).expect("fits");
                let mut x: Vec<f32> = (0..shape.len())
                    .map(|i| (i * 7919 % 101) as f32 - 50.0)
                    .collect();
                (x[3], x[40], x[70]) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
                x[80..90].fill(f32::NAN);
                x[100..130].fill(7.0);
                let len = 6 * g.p * g.q;
                let (mut with, mut without) = (vec![0.0; len], vec![1.0; len]);
                let mut argmax = vec![u32::MAX; len];
                forward(&g, &x, &mut with, &mut argmax);
                forward(&g, &x, &mut without, &mut []);
                let bits = |y: &[f32]| y.iter().map(|y| y.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&with), bits(&without), "{g:?}");
                assert_eq!(argmax, plain_argmax(&g, &x), "{g:?}");
            }
        }
    }
}
