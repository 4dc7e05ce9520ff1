//! Meaning of [`crate::ops::Gather`].

use rayon::prelude::*;

use super::Real;
use crate::ops::{IGNORE, Normalize};

/// Dimensions of a gather: the data set `[M,C,h,w]` and the size `[H,W]` of the batch's images.
pub(crate) struct Geometry {
    pub(crate) source: [usize; 4],
    pub(crate) size: [usize; 2],
}

/// Two source positions along one axis and the weight of the second.
fn taps(at: usize, source: usize, size: usize) -> (usize, usize, f64) {
    let x = ((at as f64 + 0.5) * source as f64 / size as f64 - 0.5).max(0.0);
    let low = (x as usize).min(source - 1);
    (low, (low + 1).min(source - 1), x - low as f64)
}

pub(crate) fn forward<T: Real>(
    geometry: &Geometry,
    normalize: &Normalize,
    images: &[u8],
    labels: &[u32],
    indices: &[u32],
    out: &mut [T],
    out_labels: &mut [u32],
) {
    let [len, c, src_h, src_w] = geometry.source;
    let [h, w] = geometry.size;
    let batch = out.par_chunks_mut(c * h * w).zip(indices).zip(out_labels);
    batch.for_each(|((image, &index), label)| {
        let index = index as usize;
        if index >= len {
            image.fill(T::default());
            *label = IGNORE;
            return;
        }
        *label = labels[index];
        for (channel, map) in image.chunks_mut(h * w).enumerate() {
            let source = &images[(index * c + channel) * src_h * src_w..][..src_h * src_w];
            let mean = T::from_f64(normalize.mean[channel].into());
            let std = T::from_f64(normalize.std[channel].into());
            let value = |y: usize, x: usize| T::from_f64(f64::from(source[y * src_w + x]) / 255.0);
            for (y, row) in map.chunks_mut(w).enumerate() {
                let (y0, y1, fy) = taps(y, src_h, h);
                let fy = T::from_f64(fy);
                for (x, to) in row.iter_mut().enumerate() {
                    let (x0, x1, fx) = taps(x, src_w, w);
                    let fx = T::from_f64(fx);
                    let top = value(y0, x0) + (value(y0, x1) - value(y0, x0)) * fx;
                    let bottom = value(y1, x0) + (value(y1, x1) - value(y1, x0)) * fx;
                    *to = (top + (bottom - top) * fy - mean) / std;
                }
            }
        }
    });
}
