//! What is done to a picture between its decoded form and a network's input.
//!
//! Training sees a random part of a picture, testing always the same: both are one [`View`], drawn or not.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use super::DataError;
use super::image_file::{MAX_EXTENT, Picture};
use super::resample::{Filter, Part, resample, to_planes};
use crate::graph::rng::pcg4d;
use crate::ops::CropBox;

thread_local! {
    /// What a view shows, before its channels are taken apart.
    static VIEW: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How a picture of other proportions comes into a network's input when no chance is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Scaled to cover 256/224 of the input, of which the centre is taken: what is usual for photos.
    #[default]
    Crop,
    /// Scaled to fit inside, the rest taking the mean colour of the picture's border: nothing is lost.
    Pad,
    /// Scaled to the input's proportions.
    Stretch,
}

/// Which random numbers: those of picture `n` of a batch in a step of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Draw {
    /// The place in the batch.
    pub n: u32,
    /// The step.
    pub step: u32,
    /// The run's seed.
    pub seed: u32,
    /// Whether a random part of the picture is wanted.
    pub crop: bool,
    /// Whether half of the pictures are to be mirrored.
    pub flip: bool,
}

impl Draw {
    /// Four random words of the stream that `back` numbers from the last on.
    fn words(self, back: u32) -> [u32; 4] {
        pcg4d([self.n, u32::MAX - back, self.step, self.seed])
    }
}

/// From decoded pictures to a network's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The input, `[C,H,W]`.
    pub shape: [usize; 3],
    /// What becomes of other proportions.
    pub fit: Fit,
    /// Whether light and dark are swapped.
    pub invert: bool,
}

impl View {
    /// The shorter side that pictures which are to be cropped are scaled down to before anything else, if theirs is longer:
    /// min(H, W) · 256/224. Others are scaled once.
    pub fn shorter(&self) -> Option<usize> {
        let [_, height, width] = self.shape;
        (self.fit == Fit::Crop)
            .then(|| (height.min(width).saturating_mul(16).saturating_add(7)) / 14)
    }

    /// Whether it can be made.
    pub(super) fn check(&self) -> Result<(), DataError> {
        let sides = 1..=MAX_EXTENT as usize;
        let [channels, height, width] = self.shape;
        let fits = sides.contains(&height) && sides.contains(&width);
        if fits && matches!(channels, 1 | 3) {
            return Ok(());
        }
        Err(DataError::TargetShape {
            got: self.shape,
            limit: MAX_EXTENT,
        })
    }

    /// The view of a picture without chance, light and dark as they are.
    pub(super) fn fitted(&self, picture: &Picture<'_>) -> Result<Picture<'static>, DataError> {
        let [channels, height, width] = self.shape;
        let mut pixels = vec![0; channels * height * width];
        let [from_height, from_width, _] = picture.shape();
        let part = self.part([from_height, from_width], None);
        self.show(picture, part, &mut pixels);
        Picture::new([height, width, channels], pixels)
    }

    /// Fills `out` `[C,H,W]` with a view of `picture`.
    ///
    /// With a `draw` of a part it is torchvision's `RandomResizedCrop`, whatever the fit. Without, a picture of the wanted size
    /// is taken as it is, any other by [`Fit`]. Half of the draws are mirrored if they are to be.
    ///
    /// # Errors
    ///
    /// [`DataError::TargetShape`] if the view is no picture's or `picture` has not C channels, [`DataError::PictureBytes`] if `out`
    /// has another length.
    pub fn fill(
        &self,
        picture: &Picture<'_>,
        draw: Option<Draw>,
        out: &mut [u8],
    ) -> Result<(), DataError> {
        self.check()?;
        let [height, width, channels] = picture.shape();
        if channels != self.shape[0] {
            return Err(DataError::TargetShape {
                got: self.shape,
                limit: MAX_EXTENT,
            });
        }
        if out.len() != self.shape.iter().product::<usize>() {
            return Err(DataError::PictureBytes {
                got: out.len(),
                want: self.shape,
            });
        }
        self.fill_from(picture, self.part([height, width], draw), draw, out);
        Ok(())
    }

    /// What of a picture of size `[h,w]` is seen.
    pub(super) fn part(&self, from: [usize; 2], draw: Option<Draw>) -> Part {
        let [_, height, width] = self.shape;
        let size = [height, width];
        match draw.filter(|draw| draw.crop) {
            Some(draw) => Part::Box(resized_crop(from[0], from[1], draw)),
            None if from == size || self.fit != Fit::Crop => Part::Whole,
            None => {
                let covering = covering(from, size);
                let window = centre(covering, size);
                if covering == from {
                    Part::Box(window)
                } else {
                    Part::Window(covering, window)
                }
            }
        }
    }

    /// As [`fill`](Self::fill), of a part that is known, for a picture and a length that fit.
    pub(super) fn fill_from(
        &self,
        picture: &Picture<'_>,
        part: Part,
        draw: Option<Draw>,
        out: &mut [u8],
    ) {
        let [channels, _, width] = self.shape;
        if out.is_empty() {
            return;
        }
        VIEW.with_borrow_mut(|seen| {
            seen.resize(out.len(), 0);
            if self.invert {
                // Before it is scaled, since that rounds: so a picture is seen as its negative is that needs no swap.
                self.show(&picture.negative(), part, seen);
            } else {
                self.show(picture, part, seen);
            }
            to_planes(seen, channels, out);
        });
        if draw.is_some_and(|draw| draw.flip && mirrored(draw)) {
            out.chunks_exact_mut(width).for_each(<[u8]>::reverse);
        }
    }

    /// Fills `out` `[H,W,C]` with a part of `picture`, light and dark as they are.
    fn show(&self, picture: &Picture<'_>, part: Part, out: &mut [u8]) {
        let [from_height, from_width, _] = picture.shape();
        let [_, height, width] = self.shape;
        let size = [height, width];
        let whole = matches!(part, Part::Whole) && [from_height, from_width] != size;
        if whole && self.fit == Fit::Pad {
            pad(picture, size, out);
        } else {
            resample(picture, part, size, Filter::Bilinear, out);
        }
    }
}

/// torchvision's `RandomResizedCrop` of a picture: 0.08 to 1 of its area, proportions of 3/4 to 4/3, uniform in their
/// logarithm; after ten tries that stick out, the largest part in the middle of such proportions. A side of 0 counts as 1.
pub fn resized_crop(height: usize, width: usize, draw: Draw) -> CropBox {
    const AREA: [f64; 2] = [0.08, 1.0];
    const RATIO: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];
    const TRIES: u32 = 10;

    // What is empty has a pixel at least.
    let [height, width] = [height, width].map(|side| side.max(1));
    let (high, wide) = (height as f64, width as f64);
    let between = |[low, top]: [f64; 2], word: u32| {
        low + (top - low) * f64::from(word >> 8) / f64::from(1 << 24)
    };
    let below = |count: usize, word: u32| ((u64::from(word) * count as u64) >> 32) as usize;
    // Python rounds halves to even.
    let side = |len: f64| len.round_ties_even() as usize;
    for t in 0..TRIES {
        let [area, ratio, top, left] = draw.words(1 + t);
        let area = high * wide * between(AREA, area);
        let ratio = between(RATIO.map(f64::ln), ratio).exp();
        let part = [side((area / ratio).sqrt()), side((area * ratio).sqrt())];
        if (1..=height).contains(&part[0]) && (1..=width).contains(&part[1]) {
            return CropBox {
                top: below(height - part[0] + 1, top),
                left: below(width - part[1] + 1, left),
                height: part[0],
                width: part[1],
            };
        }
    }
    let ratio = (wide / high).clamp(RATIO[0], RATIO[1]);
    let part = [
        side(wide / ratio).clamp(1, height),
        side(high * ratio).clamp(1, width),
    ];
    CropBox {
        top: (height - part[0]) / 2,
        left: (width - part[1]) / 2,
        height: part[0],
        width: part[1],
    }
}

/// Whether a draw's picture is mirrored, left for right; the bit that [`crate::ops::Gather`] uses.
pub fn mirrored(draw: Draw) -> bool {
    let [_, _, word, _] = draw.words(0);
    word >> 31 == 1
}

/// The size to which a picture is scaled so that it covers 256/224 of `size`.
fn covering(from: [usize; 2], size: [usize; 2]) -> [usize; 2] {
    let of = |i: usize| size[i] as f64 * 256.0 / 224.0 / from[i] as f64;
    let scale = of(0).max(of(1));
    let side = |i: usize| ((from[i] as f64 * scale).round() as usize).max(size[i]);
    [side(0), side(1)]
}

/// The middle of `scaled`, as torchvision's `CenterCrop` rounds.
fn centre(scaled: [usize; 2], [height, width]: [usize; 2]) -> CropBox {
    let start = |free: usize| (free as f64 / 2.0).round_ties_even() as usize;
    CropBox {
        top: start(scaled[0] - height),
        left: start(scaled[1] - width),
        height,
        width,
    }
}

/// Scales to fit inside `size` and centres the result on the colour of the border. Fills `out` `[H,W,C]`.
fn pad(picture: &Picture<'_>, [height, width]: [usize; 2], out: &mut [u8]) {
    let [from_height, from_width, channels] = picture.shape();
    let scaling = (height as f64 / from_height as f64).min(width as f64 / from_width as f64);
    let side = |from: usize, to: usize| ((from as f64 * scaling).round() as usize).clamp(1, to);
    let [rows, columns] = [side(from_height, height), side(from_width, width)];
    let mut scaled = vec![0; channels * rows * columns];
    resample(
        picture,
        Part::Whole,
        [rows, columns],
        Filter::CatmullRom,
        &mut scaled,
    );
    let border: Vec<u8> = (0..channels).map(|c| picture.border_mean(c)).collect();
    for pixel in out.chunks_exact_mut(channels) {
        pixel.copy_from_slice(&border);
    }
    let (top, left) = ((height - rows) / 2, (width - columns) / 2);
    let inside = out.chunks_exact_mut(width * channels).skip(top);
    for (to, row) in inside.zip(scaled.chunks_exact(columns * channels)) {
        to[left * channels..][..row.len()].copy_from_slice(row);
    }
}

#[cfg(test)]
mod tests;
