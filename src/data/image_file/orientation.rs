//! Which way up a picture is: a camera's note, and turning by it.

use std::io::{self, BufRead, Read, Seek, SeekFrom};

use flate2::read::ZlibDecoder;
use image::metadata::Orientation;

use super::Picture;

/// The most bytes of Exif data that are read; a JPEG segment holds no more.
const MOST: u64 = 1 << 16;
/// How PNG files of ImageMagick name their Exif data, from before PNG had a chunk for it.
const OLD_NAMES: [&[u8]; 2] = [b"Raw profile type exif", b"Raw profile type APP1"];

/// The orientation that Exif data tell, with or without their own name before them.
pub(super) fn of_exif(exif: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))
}

/// The orientation of a PNG file, read from its start: by its `eXIf` chunk, else by the older text.
///
/// # Errors
///
/// If reading fails. A file that ends early tells no orientation; the decoder will say why.
pub(super) fn of_png(file: &mut (impl BufRead + Seek)) -> io::Result<Option<Orientation>> {
    const SIGNATURE: i64 = 8;
    file.rewind()?;
    file.seek_relative(SIGNATURE)?;
    let mut old = None;
    loop {
        let mut head = [0; 8];
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(old),
            other => other?,
        }
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        let kind = &head[4..];
        let wanted = matches!(kind, b"eXIf" | b"tEXt" | b"zTXt");
        let held = if wanted { u64::from(len).min(MOST) } else { 0 };
        let mut data = Vec::new();
        file.by_ref().take(held).read_to_end(&mut data)?;
        match kind {
            b"eXIf" => {
                if let Some(found) = of_exif(&data) {
                    return Ok(Some(found));
                }
            }
            b"tEXt" | b"zTXt" => old = old.or_else(|| of_text(&data, kind == b"zTXt")),
            b"IEND" => return Ok(old),
            _ => {}
        }
        const CHECKSUM: i64 = 4;
        file.seek_relative(i64::from(len) - held as i64 + CHECKSUM)?;
    }
}

/// The orientation of a WebP file, read from its start, by its `EXIF` chunk. The decoder would take as much memory as that chunk says
/// it is long.
///
/// # Errors
///
/// If reading fails, or the file ends within that chunk. One that ends before tells no orientation; the decoder will say why.
pub(super) fn of_webp(file: &mut (impl BufRead + Seek)) -> io::Result<Option<Orientation>> {
    const SIGNATURE: i64 = 12;
    file.rewind()?;
    file.seek_relative(SIGNATURE)?;
    loop {
        let mut head = [0; 8];
        match file.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let len = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        if head.starts_with(b"EXIF") {
            let mut data = Vec::new();
            let held = u64::from(len).min(MOST);
            file.by_ref().take(held).read_to_end(&mut data)?;
            return match (data.len() as u64) < held {
                true => Err(io::ErrorKind::UnexpectedEof.into()),
                false => Ok(of_exif(&data)),
            };
        }
        // Chunks begin at even places.
        file.seek_relative(i64::from(len) + i64::from(len & 1))?;
    }
}

/// The orientation in a text chunk `name 0 text`: a word, a count of bytes, and those in hexadecimal.
fn of_text(chunk: &[u8], packed: bool) -> Option<Orientation> {
    let name = OLD_NAMES.iter().find(|&&name| chunk.starts_with(name))?;
    let text = chunk[name.len()..].strip_prefix(&[0])?;
    let text = if packed {
        let mut unpacked = Vec::new();
        let packed = text.strip_prefix(&[0])?;
        // Twice as many digits as bytes, and line ends.
        let mut reader = ZlibDecoder::new(packed).take(3 * MOST);
        reader.read_to_end(&mut unpacked).ok()?;
        unpacked
    } else {
        text.to_vec()
    };
    let text = String::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace().skip(2);
    let digits: Vec<u32> = words.try_fold(Vec::new(), |mut digits, word| {
        for digit in word.chars() {
            digits.push(digit.to_digit(16)?);
        }
        Some(digits)
    })?;
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect();
    of_exif(&bytes)
}

/// Where a pixel of the upright picture lies in the stored one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Turn {
    /// Rows and columns change places; before the others.
    transposed: bool,
    rows_reversed: bool,
    columns_reversed: bool,
}

impl From<Orientation> for Turn {
    fn from(orientation: Orientation) -> Self {
        use Orientation as O;
        Self {
            transposed: matches!(
                orientation,
                O::Rotate90 | O::Rotate270 | O::Rotate90FlipH | O::Rotate270FlipH
            ),
            rows_reversed: matches!(
                orientation,
                O::Rotate180 | O::FlipVertical | O::Rotate90 | O::Rotate270FlipH
            ),
            columns_reversed: matches!(
                orientation,
                O::Rotate180 | O::FlipHorizontal | O::Rotate270 | O::Rotate270FlipH
            ),
        }
    }
}

impl Turn {
    /// Height and width of the upright picture, from those of the stored one.
    pub(super) fn size(self, [height, width]: [usize; 2]) -> [usize; 2] {
        if self.transposed {
            [width, height]
        } else {
            [height, width]
        }
    }

    /// Turns the stored picture upright.
    pub(super) fn upright(self, stored: Picture<'static>) -> Picture<'static> {
        if self == Self::default() {
            return stored;
        }
        let [height, width, channels] = stored.shape();
        let [rows, columns] = self.size([height, width]);
        let mut pixels = Vec::with_capacity(stored.pixels().len());
        for row in 0..rows {
            for column in 0..columns {
                let [y, x] = self.size([row, column]);
                let y = if self.rows_reversed {
                    height - 1 - y
                } else {
                    y
                };
                let x = if self.columns_reversed {
                    width - 1 - x
                } else {
                    x
                };
                let from = (y * width + x) * channels;
                pixels.extend_from_slice(&stored.pixels()[from..from + channels]);
            }
        }
        Picture::new([rows, columns, channels], pixels)
            .expect("invariant: a turned picture has the same pixels")
    }
}

/// The place to which a file was read, after which it goes on.
pub(super) fn keeping_place<F: Seek, T>(
    file: &mut F,
    read: impl FnOnce(&mut F) -> io::Result<T>,
) -> io::Result<T> {
    let place = file.stream_position()?;
    let got = read(file);
    file.seek(SeekFrom::Start(place))?;
    got
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, GrayImage};

    use super::*;

    #[test]
    fn turning_is_that_of_the_image_crate() {
        let stored: Vec<u8> = (0..12).collect();
        for exif in 1..=8 {
            let Some(orientation) = Orientation::from_exif(exif) else {
                panic!("{exif} is an orientation");
            };
            let Some(picture) = GrayImage::from_raw(4, 3, stored.clone()) else {
                panic!("twelve pixels");
            };
            let mut want = DynamicImage::from(picture);
            want.apply_orientation(orientation);
            let turn = Turn::from(orientation);
            let upright =
                Picture::new([3, 4, 1], stored.clone()).map(|stored| turn.upright(stored));
            let Ok(upright) = upright else {
                panic!("twelve pixels");
            };
            assert_eq!(upright.pixels(), want.as_bytes(), "{exif}");
            let size = [want.height() as usize, want.width() as usize];
            assert_eq!(turn.size([3, 4]), size);
        }
    }

    #[test]
    fn webp_files_tell_it_unless_they_end_before() {
        // A tag 0x112, of type 3, once: 6.
        let exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        let head = &b"RIFF\0\0\0\0WEBPVP8X\x03\0\0\0abc\0EXIF"[..];
        let file = |len: u32| [head, &len.to_le_bytes(), exif].concat();
        let of = |file: &[u8]| of_webp(&mut io::Cursor::new(file)).map_err(|error| error.kind());
        let whole = exif.len() as u32;
        assert_eq!(of(&file(whole)), Ok(Some(Orientation::Rotate90)));
        for len in [whole + 1, 2_408_550_287, u32::MAX] {
            assert_eq!(of(&file(len)), Err(io::ErrorKind::UnexpectedEof), "{len}");
        }
        for len in [0, 11, 12, 20, head.len()] {
            assert_eq!(of(&head[..len]), Ok(None), "{len}");
        }
    }
}
