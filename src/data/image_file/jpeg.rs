//! JPEG files: their head without their pixels, and a decoder that takes only whole ones.

use std::error::Error;
use std::io::{self, BufRead, Cursor, Seek};

use image::metadata::Orientation;
use jpeg_decoder::PixelFormat;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use super::orientation;

/// What stands before the pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) height: usize,
    pub(super) width: usize,
    /// 1 for grey, 3 or 4 for colours.
    pub(super) components: u8,
    pub(super) orientation: Orientation,
    /// Whether the first scan holds not all components, in a file that is not progressive.
    separate: bool,
    /// Where the first scan's pixels begin.
    pixels: u64,
}

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP1: u8 = 0xE1;

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads the segments before the pixels.
///
/// # Errors
///
/// If the file ends before, or holds no such segments.
pub(super) fn head(file: &mut (impl BufRead + Seek)) -> io::Result<Head> {
    file.rewind()?;
    if marker(file)? != SOI {
        return Err(bad("the first marker is not that of a JPEG"));
    }
    let mut frame: Option<(usize, usize, u8, bool)> = None;
    let mut note = None;
    loop {
        let kind = marker(file)?;
        let mut length = [0; 2];
        file.read_exact(&mut length)?;
        let length = usize::from(u16::from_be_bytes(length));
        let length = length
            .checked_sub(2)
            .ok_or_else(|| bad("a segment is shorter than its length"))?;
        let frame_follows = matches!(kind, 0xC0..=0xCF) && !matches!(kind, 0xC4 | 0xC8 | 0xCC);
        if !(frame_follows || kind == SOS || kind == APP1 && note.is_none()) {
            file.seek_relative(length as i64)?;
            continue;
        }
        let mut data = vec![0_u8; length];
        file.read_exact(&mut data)?;
        let short = || bad("a segment ends early");
        match kind {
            APP1 => {
                if let Some(exif) = data.strip_prefix(b"Exif\0\0") {
                    note = orientation::of_exif(exif);
                }
            }
            SOS => {
                let (height, width, components, progressive) =
                    frame.ok_or_else(|| bad("there is no frame before the pixels"))?;
                let scanned = *data.first().ok_or_else(short)?;
                return Ok(Head {
                    height,
                    width,
                    components,
                    orientation: note.unwrap_or(Orientation::NoTransforms),
                    separate: !progressive && scanned < components,
                    pixels: file.stream_position()?,
                });
            }
            _ => {
                let &[_, h1, h0, w1, w0, components, ..] = &data[..] else {
                    return Err(short());
                };
                let side = |high, low| usize::from(u16::from_be_bytes([high, low]));
                frame = Some((side(h1, h0), side(w1, w0), components, kind == 0xC2));
            }
        }
    }
}

/// The next marker; what lies before it is skipped, as other readers do.
fn marker(file: &mut impl BufRead) -> io::Result<u8> {
    let mut byte = [0];
    let mut after = false;
    loop {
        file.read_exact(&mut byte)?;
        match byte[0] {
            0xFF => after = true,
            0 => after = false,
            kind if after => return Ok(kind),
            _ => {}
        }
    }
}

/// Whether a file, from its first scan's pixels on, has the mark of its end.
fn is_whole(mut rest: &[u8]) -> bool {
    loop {
        let Some(at) = memchr::memchr(0xFF, rest) else {
            return false;
        };
        rest = &rest[at + 1..];
        match rest {
            [EOI, ..] => return true,
            // A byte of data, a restart mark or padding.
            [0 | 0xD0..=0xD7, ..] => rest = &rest[1..],
            [0xFF, ..] => {}
            // Another segment, whose bytes are no marks.
            [_, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(1 + length..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}

/// Decodes a file, stored as `head` says, to interleaved bytes: grey for one component, else red, green and blue.
///
/// # Errors
///
/// If it is not whole, or of a kind that no decoder knows.
pub(super) fn decode(bytes: &[u8], head: &Head) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let rest = bytes.get(head.pixels as usize..).unwrap_or_default();
    if !is_whole(rest) {
        return Err("the file ends before its pixels do".into());
    }
    // The fast decoder drops colours that are scanned apart.
    if head.separate {
        return slower(bytes, head);
    }
    // It is also strict about bytes that others skip: the second one decides.
    faster(bytes, head).or_else(|error| slower(bytes, head).map_err(|_| error))
}

fn faster(bytes: &[u8], head: &Head) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let colours = match head.components {
        1 => ColorSpace::Luma,
        _ => ColorSpace::RGB,
    };
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(head.width)
        .set_max_height(head.height)
        .jpeg_set_out_colorspace(colours);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode()?;
    checked(pixels, head)
}

fn slower(bytes: &[u8], head: &Head) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let mut decoder = jpeg_decoder::Decoder::new(Cursor::new(bytes));
    let pixels = decoder.decode()?;
    let format = decoder.info().map(|info| info.pixel_format);
    let pixels = match format {
        // Native-endian; the higher byte is what eight bits hold.
        Some(PixelFormat::L16) => {
            let pairs = pixels.as_chunks::<2>().0.iter();
            pairs
                .map(|&pair| (u16::from_ne_bytes(pair) >> 8) as u8)
                .collect()
        }
        // Ink: files hold what it leaves of the paper, as Adobe's programs do and all follow, and the decoder turns that round.
        Some(PixelFormat::CMYK32) => {
            let of = |inks: &[u8; 4]| {
                let [c, m, y, k] = inks.map(|ink| u32::from(255 - ink));
                [c, m, y].map(|left| ((left * k + 127) / 255) as u8)
            };
            pixels.as_chunks().0.iter().flat_map(of).collect()
        }
        _ => pixels,
    };
    checked(pixels, head)
}

/// Pixels of the size in the head, by which memory is laid out.
fn checked(pixels: Vec<u8>, head: &Head) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let channels = if head.components == 1 { 1 } else { 3 };
    let want = head.height * head.width * channels;
    if pixels.len() == want {
        return Ok(pixels);
    }
    Err(format!("the decoder gave {} bytes, want {want}", pixels.len()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_mark_counts_only_outside_of_segments() {
        assert!(is_whole(b"pixels\xFF\0more\xFF\xD3and\xFF\xFF\xD9junk"));
        assert!(!is_whole(b"pixels\xFF\xC4\0\x06\xFF\xD9no"));
        assert!(is_whole(b"pixels\xFF\xC4\0\x04\xFF\xD9\xFF\xD9"));
        for cut in [&b""[..], b"pixels", b"\xFF", b"\xFF\xC4", b"\xFF\xC4\0"] {
            assert!(!is_whole(cut), "{cut:?}");
        }
    }

    #[test]
    fn both_decoders_give_the_same_colours() {
        for (name, bytes) in [
            (
                "cmyk",
                &include_bytes!("../../../tests/fixtures/pictures/cmyk.jpg")[..],
            ),
            (
                "ycck",
                include_bytes!("../../../tests/fixtures/pictures/ycck.jpg"),
            ),
            (
                "444",
                include_bytes!("../../../tests/fixtures/pictures/444.jpg"),
            ),
            (
                "grey",
                include_bytes!("../../../tests/fixtures/pictures/grey.jpg"),
            ),
        ] {
            let head = head(&mut Cursor::new(bytes)).expect("a head");
            let [a, b] = [faster, slower].map(|decode| decode(bytes, &head).expect("decodes"));
            let off = a.iter().zip(&b).map(|(&a, &b)| a.abs_diff(b)).max();
            assert!(off <= Some(3), "{name}: {off:?} levels apart");
        }
    }
}
