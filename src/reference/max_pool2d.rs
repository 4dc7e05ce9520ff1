//! Meaning of [`crate::ops::MaxPool2d`] and its gradient.

use rayon::prelude::*;

use super::{Real, vectorized};
use crate::ops::PoolGeometry;

/// Lanes of a loop without a rest.
const LANES: usize = 16;

/// Where nobody wants to know which element was the greatest, `argmax` is empty.
pub(crate) fn forward<T: Real>(g: &PoolGeometry, x: &[T], y: &mut [T], argmax: &mut [u32]) {
    let pixels = g.p * g.q;
    let maps = y.par_chunks_mut(pixels).zip(x.par_chunks(g.h * g.w));
    if argmax.is_empty() {
        let rows = || Rows::<T, false>::new(g);
        return maps.for_each_init(rows, |rows, (y, map)| {
            vectorized(
                #[inline(always)]
                || rows.map(g, map, y, &mut []),
            )
        });
    }
    let rows = || Rows::<T, true>::new(g);
    let maps = maps.zip(argmax.par_chunks_mut(pixels));
    maps.for_each_init(rows, |rows, ((y, map), argmax)| {
        vectorized(
            #[inline(always)]
            || rows.map(g, map, y, argmax),
        )
    });
}

/// A row of outputs in the making: the greatest of each column of the rows that its windows see, then of the columns of each window.
///
/// Rows are as long as the padded map and longer, so that no loop has a rest. Padding is less than anything, and behind all places.
struct Rows<T, const PLACED: bool> {
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
        let len = seen
            .max((pad + g.w).div_ceil(stride))
            .next_multiple_of(LANES);
        let (least, nowhere) = (T::from_f64(f64::NEG_INFINITY), u32::MAX);
        Self {
            best: vec![least; stride * len],
            places: vec![nowhere; stride * len],
            phases: vec![least; stride * len],
            phased_places: vec![nowhere; stride * len],
            len,
            y: vec![least; outputs],
            argmax: vec![nowhere; outputs],
        }
    }

    #[inline(always)]
    fn map(&mut self, g: &PoolGeometry, map: &[T], y: &mut [T], argmax: &mut [u32]) {
        let columns = g.pad[1]..g.pad[1] + g.w;
        for p in 0..g.p {
            for (i, h) in g.places(0, p).enumerate() {
                let row = map[h * g.w..(h + 1) * g.w].iter();
                let best = self.best[columns.clone()].iter_mut();
                if PLACED {
                    let row = row.zip((h * g.w) as u32..);
                    let best = best.zip(&mut self.places[columns.clone()]);
                    best.zip(row).for_each(|((best, place), (&value, at))| {
                        let is_better = (i == 0) | (value > *best) | is_nan(value);
                        *best = if is_better { value } else { *best };
                        *place = if is_better { at } else { *place };
                    });
                } else {
                    best.zip(row).for_each(|(best, &value)| {
                        let is_better = (i == 0) | (value > *best) | is_nan(value);
                        *best = if is_better { value } else { *best };
                    });
                }
            }
            split(g.stride[1], &self.best, &mut self.phases);
            if PLACED {
                split(g.stride[1], &self.places, &mut self.phased_places);
            }
            for s in 0..g.window[1] {
                self.take_column(g, s);
            }
            y[p * g.q..][..g.q].copy_from_slice(&self.y[..g.q]);
            if PLACED {
                argmax[p * g.q..][..g.q].copy_from_slice(&self.argmax[..g.q]);
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
            self.y.as_chunks_mut::<LANES>().0,
            self.argmax.as_chunks_mut::<LANES>().0,
        );
        let from = values
            .as_chunks::<LANES>()
            .0
            .iter()
            .zip(places.as_chunks::<LANES>().0);
        for ((y, argmax), (values, places)) in y.iter_mut().zip(argmax).zip(from) {
            for i in 0..LANES {
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
}

#[inline(always)]
fn is_nan<T: Real>(value: T) -> bool {
    #[expect(clippy::eq_op, reason = "not-a-number alone is not itself")]
    let is_nan = value != value;
    is_nan
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
    dx.par_chunks_mut(g.h * g.w)
        .zip(gradients)
        .for_each(|(map, (dy, argmax))| {
            map.fill(T::default());
            for (&dy, &at) in dy.iter().zip(argmax) {
                map[at as usize] += dy;
            }
        });
    if let Some(mask) = mask {
        super::relu::mask(mask, dx);
    }
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
