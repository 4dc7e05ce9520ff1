//! From a file to the pixels as it stores them.

use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::orientation::{self, Turn, keeping_place};
use super::{DataError, Head, MAX_EXTENT, MAX_PIXELS, jpeg};

/// Pixels as stored, interleaved `[h,w,channels]`, 1 or 3 channels.
pub(super) struct Stored {
    pub(super) pixels: Vec<u8>,
    pub(super) channels: usize,
    pub(super) size: [usize; 2],
    pub(super) turn: Turn,
}

type Cause = Box<dyn Error + Send + Sync>;

/// The head of the file `path`, its pixels unread.
pub(super) fn head(path: &Path) -> Result<Head, DataError> {
    let (size, turn, grey) = match begin(path, open(path)?)? {
        Opened::Jpeg(_, head) => (
            [head.height, head.width],
            Turn::from(head.orientation),
            head.components == 1,
        ),
        Opened::Other(decoder, turn) => (
            stored_size(&decoder),
            turn,
            !decoder.color_type().has_color(),
        ),
    };
    let [height, width] = turn.size(size);
    Ok(Head {
        height,
        width,
        grey,
    })
}

/// Decodes the file `path`.
pub(super) fn stored(path: &Path) -> Result<Stored, DataError> {
    stored_in(path, open(path)?)
}

/// Decodes a file called `path`.
pub(super) fn stored_in(path: &Path, file: impl BufRead + Seek) -> Result<Stored, DataError> {
    match begin(path, file)? {
        Opened::Jpeg(mut file, head) => {
            let mut bytes = Vec::new();
            file.rewind()
                .and_then(|()| file.read_to_end(&mut bytes))
                .map_err(|source| DataError::Read {
                    path: path.into(),
                    source,
                })?;
            let pixels =
                jpeg::decode(&bytes, &head).map_err(|source| picture_error(path, source))?;
            Ok(Stored {
                pixels,
                channels: if head.components == 1 { 1 } else { 3 },
                size: [head.height, head.width],
                turn: head.orientation.into(),
            })
        }
        Opened::Other(decoder, turn) => {
            let size = stored_size(&decoder);
            let picture = DynamicImage::from_decoder(decoder);
            let picture = picture.map_err(|source| picture_error(path, source.into()))?;
            let (pixels, channels) = opaque(picture);
            Ok(Stored {
                pixels,
                channels,
                size,
                turn,
            })
        }
    }
}

/// A file whose head was read and found within the limits, before its pixels take memory.
enum Opened<F, D> {
    Jpeg(F, jpeg::Head),
    Other(D, Turn),
}

fn open(path: &Path) -> Result<BufReader<File>, DataError> {
    let opened = File::open(path).map_err(|source| DataError::Read {
        path: path.into(),
        source,
    });
    opened.map(BufReader::new)
}

fn begin<'a, F: BufRead + Seek + 'a>(
    path: &'a Path,
    mut file: F,
) -> Result<Opened<F, impl ImageDecoder>, DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let picture_error = |source| picture_error(path, source);
    let mut start = Vec::new();
    file.by_ref()
        .take(64)
        .read_to_end(&mut start)
        .map_err(read_error)?;
    file.rewind().map_err(read_error)?;
    // By content: file names lie.
    let format = image::guess_format(&start).ok();
    if format == Some(ImageFormat::Jpeg) {
        let head = jpeg::head(&mut file).map_err(|source| picture_error(source.into()))?;
        check_size(path, head.width as u32, head.height as u32)?;
        if head.components == 0 {
            return Err(picture_error("the frame has no components".into()));
        }
        return Ok(Opened::Jpeg(file, head));
    }
    let noted = match format {
        Some(ImageFormat::Png) => {
            keeping_place(&mut file, orientation::of_png).map_err(read_error)?
        }
        Some(ImageFormat::WebP) => {
            let noted = keeping_place(&mut file, orientation::of_webp);
            noted.map_err(|source| picture_error(source.into()))?
        }
        _ => None,
    };
    let reader = ImageReader::new(file)
        .with_guessed_format()
        .map_err(read_error)?;
    let decode_error = |source: image::ImageError| picture_error(source.into());
    let mut decoder = reader.into_decoder().map_err(decode_error)?;
    let (width, height) = decoder.dimensions();
    check_size(path, width, height)?;
    // For a decoder's own rows and tables, so that no head asks for more than its size needs.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(2 * decoder.total_bytes() + (64 << 20));
    decoder.set_limits(limits).map_err(decode_error)?;
    let orientation = match format {
        Some(ImageFormat::Png | ImageFormat::WebP) => noted.unwrap_or(Orientation::NoTransforms),
        _ => decoder.orientation().map_err(decode_error)?,
    };
    Ok(Opened::Other(decoder, orientation.into()))
}

fn picture_error(path: &Path, source: Cause) -> DataError {
    DataError::Picture {
        path: path.into(),
        source,
    }
}

fn check_size(path: &Path, width: u32, height: u32) -> Result<(), DataError> {
    let sides = 1..=MAX_EXTENT;
    if !sides.contains(&width) || !sides.contains(&height) {
        return Err(DataError::PictureExtent {
            path: path.into(),
            width,
            height,
            limit: MAX_EXTENT,
        });
    }
    if width * height > MAX_PIXELS {
        return Err(DataError::PicturePixels {
            path: path.into(),
            width,
            height,
            limit: MAX_PIXELS,
        });
    }
    Ok(())
}

fn stored_size(decoder: &impl ImageDecoder) -> [usize; 2] {
    let (width, height) = decoder.dimensions();
    [height as usize, width as usize]
}

/// Bytes without transparency, composed over white as viewers show it, and their channels: 1 or 3.
fn opaque(picture: DynamicImage) -> (Vec<u8>, usize) {
    let colour = picture.color();
    match (colour.has_color(), colour.has_alpha()) {
        (false, false) => (picture.into_luma8().into_raw(), 1),
        (false, true) => (over_white::<2, 1>(picture.into_luma_alpha8().into_raw()), 1),
        (true, false) => (picture.into_rgb8().into_raw(), 3),
        (true, true) => (over_white::<4, 3>(picture.into_rgba8().into_raw()), 3),
    }
}

/// Composes `WITH` channels, the last of them alpha, to the `CHANNELS` before it, in place.
fn over_white<const WITH: usize, const CHANNELS: usize>(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / WITH;
    for i in 0..count {
        let alpha = u32::from(pixels[i * WITH + CHANNELS]);
        for channel in 0..CHANNELS {
            let value = u32::from(pixels[i * WITH + channel]);
            pixels[i * CHANNELS + channel] =
                ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
    }
    pixels.truncate(count * CHANNELS);
    pixels
}
