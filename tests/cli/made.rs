//! Pictures that the tests make.

use std::io::Write;
use std::path::Path;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

/// A coloured picture with a grain, another one for each number.
pub(crate) fn photo(width: u32, height: u32, i: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let grain = (x * 7 + y * 13 + i * 31) % 64;
        Rgb([80 + grain as u8, (60 + 5 * i % 90) as u8, 200 - grain as u8])
    })
}

/// Writes a picture, and makes its folder.
pub(crate) fn save(picture: impl Into<DynamicImage>, path: &Path, format: ImageFormat) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    picture
        .into()
        .save_with_format(path, format)
        .expect("written");
}

/// Kinds of PNG files, and the channels that they have.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Grey = 0,
    ColourAndAlpha = 6,
}

/// A PNG file of zeros, of `depth` bits a channel: small, however many they are.
pub(crate) fn black_png(width: u32, height: u32, kind: Kind, depth: u8) -> Vec<u8> {
    let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |name: &[u8], data: &[u8]| {
        let mut checksum = Crc::new();
        checksum.update(name);
        checksum.update(data);
        png.extend((data.len() as u32).to_be_bytes());
        png.extend([name, data].concat());
        png.extend(checksum.sum().to_be_bytes());
    };
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    chunk(
        b"IHDR",
        &[&size[..], &[depth, kind as u8, 0, 0, 0]].concat(),
    );
    let channels = match kind {
        Kind::Grey => 1,
        Kind::ColourAndAlpha => 4,
    };
    // Before each row stands how it is stored, 0 for as it is.
    let row = 1 + (u64::from(width) * channels * u64::from(depth)).div_ceil(8);
    chunk(b"IDAT", &packed_zeros(u64::from(height) * row));
    chunk(b"IEND", b"");
    png
}

/// A zlib stream of `count` zeros, of which only the first mebibyte is packed: the others are as that is.
fn packed_zeros(count: u64) -> Vec<u8> {
    const PART: u64 = 1 << 20;
    let packer = |zeros: u64| {
        let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
        packer
            .write_all(&vec![0; zeros as usize])
            .expect("in memory");
        packer
    };
    let mut part = packer(PART);
    part.flush().expect("in memory");
    let mut stream = vec![0x78, 0xDA];
    for _ in 0..count / PART {
        stream.extend(part.get_ref());
    }
    stream.extend(packer(count % PART).finish().expect("in memory"));
    // Adler-32: the sum of the bytes, from 1 on, and the sum of those sums.
    let checksum = (count % 65_521) << 16 | 1;
    stream.extend((checksum as u32).to_be_bytes());
    stream
}
