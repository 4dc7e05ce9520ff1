//! One picture file as input of a network: decoded, set upright, fitted and inverted if need be.
//!
//! Values stay bytes; the network's own preprocessing (mean and deviation) comes later.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, Rgb, RgbImage};

use super::DataError;

/// The largest width and height of a picture that is read.
pub const MAX_EXTENT: u32 = 16_384;

/// Whether to swap light and dark.
///
/// Photos of things mostly show them before a bright background, while Fashion-MNIST and MNIST are
/// light on dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
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

/// Loads a png, jpeg, webp or gif file as `[C,H,W]` bytes.
///
/// Transparent parts become white and a camera's note of orientation is followed. One channel is
/// luma, three are red, green and blue. The whole picture is scaled to fit, keeping its
/// proportions; what is left over takes the mean colour of its border. A picture that has the
/// wanted size already is not resampled. Of an animation the first frame is taken.
///
/// # Errors
///
/// [`DataError::TargetShape`] if `shape` is no picture's, [`DataError::Read`] or
/// [`DataError::Picture`] if the file cannot be read or decoded, and
/// [`DataError::PictureExtent`] if a side is zero or beyond [`MAX_EXTENT`].
pub fn load(path: &Path, shape: [usize; 3], invert: Invert) -> Result<Vec<u8>, DataError> {
    let [c, h, w] = shape;
    let sides = 1..=MAX_EXTENT as usize;
    if !(c == 1 || c == 3) || !sides.contains(&h) || !sides.contains(&w) {
        return Err(DataError::TargetShape {
            got: shape,
            limit: MAX_EXTENT,
        });
    }
    let picture = over_white(decode(path)?);
    let background = border_mean(&picture);
    let fitted = fit(&picture, background, w as u32, h as u32);

    let bright = luma_of(background) > 127;
    let swap = match invert {
        Invert::Auto => c == 1 && bright,
        Invert::Yes => true,
        Invert::No => false,
    };
    let mut planes: Vec<u8> = if c == 1 {
        to_luma(fitted).into_raw()
    } else {
        let pixels = fitted.as_raw();
        (0..c)
            .flat_map(|channel| pixels.iter().skip(channel).step_by(c).copied())
            .collect()
    };
    if swap {
        planes.iter_mut().for_each(|value| *value = 255 - *value);
    }
    Ok(planes)
}

/// Height and width as [`load`] sees them, read from the file's head.
pub(super) fn size(path: &Path) -> Result<[usize; 2], DataError> {
    let mut decoder = open(path)?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_err(|source| DataError::Picture {
        path: path.into(),
        source,
    })?;
    let size = [height as usize, width as usize];
    Ok(match orientation {
        Orientation::Rotate90
        | Orientation::Rotate270
        | Orientation::Rotate90FlipH
        | Orientation::Rotate270FlipH => [size[1], size[0]],
        _ => size,
    })
}

/// Whether every pixel is grey, however the file stores it.
pub(super) fn is_grey(path: &Path) -> Result<bool, DataError> {
    let picture = over_white(decode(path)?);
    Ok(picture.pixels().all(|Rgb([r, g, b])| r == g && g == b))
}

fn decode(path: &Path) -> Result<DynamicImage, DataError> {
    let picture_error = |source| DataError::Picture {
        path: path.into(),
        source,
    };
    let mut decoder = open(path)?;
    let orientation = decoder.orientation().map_err(picture_error)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(picture_error)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// A decoder that has read the file's head and found its size within the limit.
fn open(path: &Path) -> Result<impl ImageDecoder, DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let picture_error = |source| DataError::Picture {
        path: path.into(),
        source,
    };
    let file = BufReader::new(File::open(path).map_err(read_error)?);
    // By content: file names lie.
    let reader = ImageReader::new(file)
        .with_guessed_format()
        .map_err(read_error)?;
    let decoder = reader.into_decoder().map_err(picture_error)?;
    // Before the pixels are decoded, so that no such picture takes memory.
    let (width, height) = decoder.dimensions();
    let sides = 1..=MAX_EXTENT;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(DataError::PictureExtent {
            path: path.into(),
            width,
            height,
            limit: MAX_EXTENT,
        });
    }
    Ok(decoder)
}

/// Composes transparent pixels over white, as viewers show them.
fn over_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let [r, g, b, alpha] = picture.get_pixel(x, y).0;
        Rgb([r, g, b].map(|value| {
            let (value, alpha) = (u32::from(value), u32::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        }))
    })
}

fn border_mean(picture: &RgbImage) -> Rgb<u8> {
    let (width, height) = picture.dimensions();
    let (right, bottom) = (width - 1, height - 1);
    let rows = (0..width).flat_map(|x| [(x, 0), (x, bottom)]);
    let columns = (0..height).flat_map(|y| [(0, y), (right, y)]);
    let (mut sum, mut count) = ([0_u64; 3], 0_u64);
    for (x, y) in rows.chain(columns) {
        count += 1;
        for (total, value) in sum.iter_mut().zip(picture.get_pixel(x, y).0) {
            *total += u64::from(value);
        }
    }
    Rgb(sum.map(|total| ((total + count / 2) / count) as u8))
}

/// Scales to fit `width` x `height` and centres the result on the background.
fn fit(picture: &RgbImage, background: Rgb<u8>, width: u32, height: u32) -> RgbImage {
    let (from_width, from_height) = picture.dimensions();
    if (from_width, from_height) == (width, height) {
        return picture.clone();
    }
    let scale =
        (f64::from(width) / f64::from(from_width)).min(f64::from(height) / f64::from(from_height));
    let side = |from: u32, to: u32| ((f64::from(from) * scale).round() as u32).clamp(1, to);
    let (fit_width, fit_height) = (side(from_width, width), side(from_height, height));
    // Sharper than Triangle, whose blur shows at 28 pixels.
    let scaled = imageops::resize(picture, fit_width, fit_height, FilterType::CatmullRom);
    let mut fitted = RgbImage::from_pixel(width, height, background);
    let left = i64::from((width - fit_width) / 2);
    let top = i64::from((height - fit_height) / 2);
    imageops::replace(&mut fitted, &scaled, left, top);
    fitted
}

fn to_luma(picture: RgbImage) -> GrayImage {
    DynamicImage::from(picture).into_luma8()
}

fn luma_of(colour: Rgb<u8>) -> u8 {
    to_luma(RgbImage::from_pixel(1, 1, colour))
        .get_pixel(0, 0)
        .0[0]
}
