//! A decoded picture.

use std::borrow::Cow;

use super::{DataError, target_shape};

/// An upright picture of 8-bit sRGB bytes, interleaved `[h,w,C]`, of its own or borrowed.
///
/// One channel is luma, three are red, green and blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture<'a> {
    shape: [usize; 3],
    pixels: Cow<'a, [u8]>,
}

impl<'a> Picture<'a> {
    /// A picture of the bytes `pixels`, interleaved as `shape` `[h,w,C]`.
    ///
    /// # Errors
    ///
    /// [`DataError::TargetShape`] if C is neither 1 nor 3 or a side is 0, [`DataError::PictureBytes`] if there are
    /// more or fewer bytes.
    pub fn new(shape: [usize; 3], pixels: impl Into<Cow<'a, [u8]>>) -> Result<Self, DataError> {
        let pixels = pixels.into();
        let [height, width, channels] = shape;
        if !(channels == 1 || channels == 3) || shape.contains(&0) {
            return Err(target_shape([channels, height, width]));
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

    /// A picture of planes `[C,h,w]`, as data sets have them.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn from_planes(shape: [usize; 3], planes: &[u8]) -> Result<Picture<'static>, DataError> {
        let [channels, height, width] = shape;
        let count = planes.len() / channels.max(1);
        let pixel = |p| (0..channels).map(move |c| planes[c * count + p]);
        let pixels: Vec<u8> = (0..count).flat_map(pixel).collect();
        Picture::new([height, width, channels], pixels)
    }

    /// Height, width and channels.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// All bytes, `[h,w,C]`.
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

    /// The mean of a channel's outermost pixels, rounded; those of the corners count twice.
    pub(in crate::data) fn border_mean(&self, channel: usize) -> u8 {
        let [height, width, channels] = self.shape;
        let sum = |pixels: &[u8]| {
            let values = pixels.iter().skip(channel).step_by(channels);
            values.map(|&value| u64::from(value)).sum::<u64>()
        };
        let rows = || self.pixels.chunks_exact(width * channels);
        let ends = rows().next().map_or(0, sum) + rows().next_back().map_or(0, sum);
        let sides: u64 = rows()
            .map(|row| sum(&row[..channels]) + sum(&row[row.len() - channels..]))
            .sum();
        let count = 2 * (height + width) as u64;
        ((ends + sides + count / 2) / count) as u8
    }

    /// Whether the mean luma of the outermost pixels is above 127.
    pub fn border_is_bright(&self) -> bool {
        let mean = |channel| self.border_mean(channel);
        match self.shape[2] {
            1 => mean(0) > 127,
            _ => luma(&[mean(0), mean(1), mean(2)]) > 127,
        }
    }
}

/// The luma of red, green and blue by ITU-R BT.709, as the `image` crate computes it.
pub(super) fn luma(&[r, g, b]: &[u8; 3]) -> u8 {
    let [r, g, b] = [r, g, b].map(u32::from);
    ((2126 * r + 7152 * g + 722 * b) / 10_000) as u8
}
