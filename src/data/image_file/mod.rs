//! One picture file as bytes: decoded, set upright, scaled down and inverted if need be.
//!
//! Values stay bytes; the network's own preprocessing (mean and deviation) comes later. What lies between a decoded
//! picture and a network's input is [`View`]'s.

mod decode;
mod jpeg;
mod orientation;
mod picture;

use std::io::Cursor;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use crate::ops::MAX_EXTENT;
pub use picture::Picture;

use super::DataError;
use super::resample::{Filter, Part, resample};
use super::view::{Fit, View};
use decode::Stored;

/// The most pixels of a picture that is read: those of the largest cameras, so that a small file cannot ask for much
/// memory. A picture takes up to nine bytes a pixel while it is decoded, twice that if it holds 16 bits a channel.
pub const MAX_PIXELS: u32 = 1 << 27;

/// How the names of picture files end, in lower case.
pub const ENDINGS: [&str; 10] = [
    "png", "jpg", "jpeg", "jpe", "jfif", "webp", "gif", "bmp", "tif", "tiff",
];

/// Whether a name ends as those of pictures do, in either case.
pub fn has_picture_ending(path: &Path) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| ENDINGS.iter().any(|one| ending.eq_ignore_ascii_case(one)))
}

/// Whether to swap light and dark.
///
/// Photos of things mostly show them before a bright background, while Fashion-MNIST and MNIST are
/// light on dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Invert {
    /// Swap if the picture becomes a grey one and its border is bright (mean above 127). Colour
    /// data sets are photos themselves, so a colour picture is never swapped.
    #[default]
    Auto,
    /// Always swap.
    Yes,
    /// Never swap.
    No,
}

/// What a file says of its picture before the pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Rows of the upright picture.
    pub height: usize,
    /// Columns of the upright picture.
    pub width: usize,
    /// Whether the file stores grey only. A file that stores colours may still hold a grey picture: see [`is_grey`].
    pub grey: bool,
}

/// Reads the head of a png, jpeg, webp, gif, bmp or tiff file, told by its content.
///
/// # Errors
///
/// [`DataError::Read`] or [`DataError::Picture`] if the file cannot be read or is none of these, and
/// [`DataError::PictureExtent`] or [`DataError::PicturePixels`] if it is beyond [`MAX_EXTENT`] or [`MAX_PIXELS`].
pub fn head(path: &Path) -> Result<Head, DataError> {
    decode::head(path)
}

/// Decodes a png, jpeg, webp, gif, bmp or tiff file, told by its content, to `channels` channels.
///
/// Transparent parts become white and a camera's note of orientation is followed. One channel is luma, three are red,
/// green and blue. If the shorter side is above `shorter` pixels, the picture is scaled down to that, keeping its
/// proportions. Of an animation the first frame is taken.
///
/// # Errors
///
/// Those of [`head`], [`DataError::Picture`] also if the file is not whole, and [`DataError::TargetShape`] if
/// `channels` is neither 1 nor 3, or `shorter` 0.
pub fn decode(
    path: &Path,
    channels: usize,
    shorter: Option<usize>,
) -> Result<Picture<'static>, DataError> {
    decoded(decode::stored(path), channels, shorter)
}

fn decoded(
    stored: Result<Stored, DataError>,
    channels: usize,
    shorter: Option<usize>,
) -> Result<Picture<'static>, DataError> {
    if !(channels == 1 || channels == 3) || shorter == Some(0) {
        let side = shorter.unwrap_or(1);
        return Err(target_shape([channels, side, side]));
    }
    let Stored {
        mut pixels,
        channels: mut stored,
        size,
        turn,
    } = stored?;
    if channels == 1 && stored == 3 {
        let (colours, _) = pixels.as_chunks();
        pixels = colours.iter().map(picture::luma).collect();
        stored = 1;
    }
    let mut picture = Picture::new([size[0], size[1], stored], pixels)?;
    let smaller = scaled_down(size, shorter);
    if smaller != size {
        let mut pixels = vec![0; smaller[0] * smaller[1] * stored];
        resample(
            &picture,
            Part::Whole,
            smaller,
            Filter::Bilinear,
            &mut pixels,
        );
        picture = Picture::new([smaller[0], smaller[1], stored], pixels)?;
    }
    picture = turn.upright(picture);
    if stored == channels {
        return Ok(picture);
    }
    let [height, width, _] = picture.shape();
    let coloured = picture.pixels().iter().flat_map(|&value| [value; 3]);
    Picture::new([height, width, channels], coloured.collect::<Vec<_>>())
}

/// The size whose shorter side is `shorter` at most.
pub(super) fn scaled_down(size: [usize; 2], shorter: Option<usize>) -> [usize; 2] {
    let side = size[0].min(size[1]);
    match shorter {
        Some(shorter) if shorter < side => size.map(|len| (2 * len * shorter + side) / (2 * side)),
        _ => size,
    }
}

/// Whether every pixel is grey, however the file stores it.
///
/// # Errors
///
/// Those of [`decode`].
pub fn is_grey(path: &Path) -> Result<bool, DataError> {
    let stored = decode::stored(path)?;
    let (colours, _) = stored.pixels.as_chunks();
    Ok(stored.channels == 1 || colours.iter().all(|&[r, g, b]| r == g && g == b))
}

/// Decodes a file and fits it into `shape`, `[C,H,W]`, as [`View`] does without chance.
///
/// # Errors
///
/// [`DataError::TargetShape`] if `shape` is no picture's, and those of [`decode`].
pub fn load(
    path: &Path,
    shape: [usize; 3],
    fit: Fit,
    invert: Invert,
) -> Result<Vec<u8>, DataError> {
    let shorter = view(shape, fit)?.shorter();
    fitted(&decode(path, shape[0], shorter)?, shape, fit, invert)
}

/// As [`load`], of the bytes of a file; `path` is what errors call it.
///
/// # Errors
///
/// Those of [`load`].
pub fn load_bytes(
    path: &Path,
    bytes: &[u8],
    shape: [usize; 3],
    fit: Fit,
    invert: Invert,
) -> Result<Vec<u8>, DataError> {
    let shorter = view(shape, fit)?.shorter();
    let stored = decode::stored_in(path, Cursor::new(bytes));
    fitted(&decoded(stored, shape[0], shorter)?, shape, fit, invert)
}

/// Fits a decoded picture of C channels into `shape`, `[C,H,W]`, as [`View`] does without chance.
///
/// # Errors
///
/// [`DataError::TargetShape`] if `shape` is no picture's, or another number of channels.
pub fn fitted(
    picture: &Picture<'_>,
    shape: [usize; 3],
    fit: Fit,
    invert: Invert,
) -> Result<Vec<u8>, DataError> {
    let mut view = view(shape, fit)?;
    if picture.shape()[2] != shape[0] {
        return Err(target_shape(shape));
    }
    view.invert = match invert {
        Invert::Auto => shape[0] == 1 && picture.border_is_bright(),
        Invert::Yes => true,
        Invert::No => false,
    };
    let mut out = vec![0; shape.iter().product()];
    view.fill(picture, None, &mut out)?;
    Ok(out)
}

fn view(shape: [usize; 3], fit: Fit) -> Result<View, DataError> {
    let [channels, height, width] = shape;
    let sides = 1..=MAX_EXTENT as usize;
    if !(channels == 1 || channels == 3) || !sides.contains(&height) || !sides.contains(&width) {
        return Err(target_shape(shape));
    }
    Ok(View {
        shape,
        fit,
        invert: false,
    })
}

fn target_shape(got: [usize; 3]) -> DataError {
    DataError::TargetShape {
        got,
        limit: MAX_EXTENT,
    }
}

#[cfg(test)]
mod tests {
    use super::scaled_down;

    #[test]
    fn sizes_are_scaled_down_by_the_shorter_side_and_rounded() {
        assert_eq!(scaled_down([100, 51], Some(25)), [49, 25]);
        assert_eq!(scaled_down([30, 90], Some(20)), [20, 60]);
        for shorter in [None, Some(30), Some(31)] {
            assert_eq!(scaled_down([30, 90], shorter), [30, 90]);
        }
    }
}
