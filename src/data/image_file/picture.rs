//! A decoded picture.

use std::borrow::Cow;

use super::{DataError, target_shape};

/// An upright picture of 8-bit sRGB bytes, in planes `[C,h,w]` of its own or borrowed.
///
/// One channel is luma, three are red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture<'a> {
    shape: [usize; 3],
    pixels: Cow<'a, [u8]>,
}

impl<'a> Picture<'a> {
    /// A picture of the bytes `pixels`, which are planes of `shape` `[C,h,w]`.
    ///
    /// # Errors
    ///
    /// [`DataError::TargetShape`] if C is neither 1 nor 3 or a side is 0, [`DataError::PictureBytes`] if there are
    /// more or fewer bytes.
    pub fn new(shape: [usize; 3], pixels: impl Into<Cow<'a, [u8]>>) -> Result<Self, DataError> {
        let pixels = pixels.into();
        if !(shape[0] == 1 || shape[0] == 3) || shape.contains(&0) {
            return Err(target_shape(shape));
        }
        let len = shape
            .iter()
            .try_fold(1, |len: usize, &one| len.checked_mul(one));
        if len != Some(pixels.len()) {
            return Err(DataError::PictureBytes {
                got: pixels.len(),
                want: shape,
            });
        }
        Ok(Self { shape, pixels })
    }

    /// Channels, height and width.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All planes, `[C,h,w]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// As [`pixels`](Self::pixels), given away.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels.into_owned()
    }

    /// The same with light and dark swapped.
    pub(in crate::data) fn negative(&self) -> Picture<'static> {
        Picture {
            shape: self.shape,
            pixels: self.pixels.iter().map(|value| 255 - value).collect(),
        }
    }

    /// The planes, each `[h,w]`.
    pub(in crate::data) fn planes(&self) -> impl Iterator<Item = &[u8]> {
        let [_, height, width] = self.shape;
        self.pixels.chunks_exact(height * width)
    }

    /// The mean of a plane's outermost pixels, rounded; those of the corners count twice.
    pub(in crate::data) fn border_mean(&self, plane: &[u8]) -> u8 {
        let [_, height, width] = self.shape;
        let sum = |pixels: &[u8]| pixels.iter().map(|&value| u64::from(value)).sum::<u64>();
        let ends = sum(&plane[..width]) + sum(&plane[(height - 1) * width..]);
        let rows = plane.chunks_exact(width);
        let sides: u64 = rows
            .map(|row| u64::from(row[0]) + u64::from(row[width - 1]))
            .sum();
        let count = 2 * (height + width) as u64;
        ((ends + sides + count / 2) / count) as u8
    }

    /// Whether the mean luma of the outermost pixels is above 127.
    pub fn border_is_bright(&self) -> bool {
        let means: Vec<u8> = self.planes().map(|plane| self.border_mean(plane)).collect();
        match means[..] {
            [r, g, b] => luma(&[r, g, b]) > 127,
            _ => means[0] > 127,
        }
    }
}

/// The luma of red, green and blue by ITU-R BT.709, as the `image` crate computes it.
pub(super) fn luma(&[r, g, b]: &[u8; 3]) -> u8 {
    let [r, g, b] = [r, g, b].map(u32::from);
    ((2126 * r + 7152 * g + 722 * b) / 10_000) as u8
}
