//! Picture files as bytes of the shape that a network wants.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;

use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use nin_wgpu::data::DataError;
use nin_wgpu::data::Fit;
use nin_wgpu::data::image_file::{self, Invert};

use crate::{assert_says, file};

/// Saves a picture in a format and loads it.
fn reload(
    picture: impl Into<DynamicImage>,
    format: ImageFormat,
    shape: [usize; 3],
    invert: Invert,
) -> Vec<u8> {
    let (_dir, path) = file("picture", &[]);
    let mut out = File::create(&path).unwrap();
    picture.into().write_to(&mut out, format).unwrap();
    let bytes = fs::read(&path).unwrap();
    let loaded = image_file::load(&path, shape, Fit::Pad, invert).unwrap();
    let name = Path::new("bytes");
    assert_eq!(
        loaded,
        image_file::load_bytes(name, &bytes, shape, Fit::Pad, invert).unwrap()
    );
    loaded
}

#[test]
fn picture_of_the_wanted_size_keeps_its_values_in_lossless_formats() {
    let picture = GrayImage::from_fn(5, 4, |x, y| Luma([(x * 20 + y * 3) as u8]));
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        // WebP and GIF know no grey pictures, so both get colours.
        let colour = DynamicImage::from(picture.clone()).into_rgb8();
        let got = reload(colour, format, [1, 4, 5], Invert::No);
        assert_eq!(&got, picture.as_raw(), "{format:?}");
    }
}

#[test]
fn colour_picture_becomes_three_planes() {
    let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([10 + x as u8, 20 + x as u8, 30 + x as u8]));
    let got = reload(picture, ImageFormat::Png, [3, 1, 2], Invert::Auto);
    assert_eq!(got, [10, 11, 20, 21, 30, 31]);
}

#[test]
fn grey_picture_becomes_three_equal_planes() {
    let picture = GrayImage::from_pixel(2, 2, Luma([9]));
    assert_eq!(
        reload(picture, ImageFormat::Png, [3, 2, 2], Invert::No),
        [9; 12]
    );
}

#[test]
fn deep_picture_is_reduced_to_bytes() {
    let picture = image::ImageBuffer::from_pixel(2, 2, Luma([0x8080_u16]));
    assert_eq!(
        reload(picture, ImageFormat::Png, [1, 2, 2], Invert::No),
        [0x80; 4]
    );
}

#[test]
fn jpeg_is_read() {
    let picture = GrayImage::from_pixel(16, 16, Luma([40]));
    let got = reload(picture, ImageFormat::Jpeg, [1, 16, 16], Invert::No);
    assert!(got.iter().all(|value| value.abs_diff(40) <= 1), "{got:?}");
}

#[test]
fn transparent_parts_become_white() {
    let picture = RgbaImage::from_fn(3, 1, |x, _| {
        Rgba([100, 100, 100, [0, 128, 255][x as usize]])
    });
    let got = reload(picture, ImageFormat::Png, [1, 1, 3], Invert::No);
    assert_eq!(got, [255, 177, 100]);
}

#[test]
fn grey_picture_with_a_bright_border_is_inverted_when_left_to_auto() {
    let with_border = |border: u8, inside: u8| {
        GrayImage::from_fn(3, 3, |x, y| {
            Luma([if (x, y) == (1, 1) { inside } else { border }])
        })
    };
    let centre = |border, inside, channels, invert| {
        let shape = [channels, 3, 3];
        reload(with_border(border, inside), ImageFormat::Png, shape, invert)[4]
    };
    assert_eq!(centre(250, 30, 1, Invert::Auto), 225);
    assert_eq!(centre(20, 30, 1, Invert::Auto), 30);
    assert_eq!(centre(250, 30, 1, Invert::No), 30);
    assert_eq!(centre(20, 30, 1, Invert::Yes), 225);
    assert_eq!(
        centre(250, 30, 3, Invert::Auto),
        30,
        "colour pictures are left alone"
    );
}

#[test]
fn wide_picture_is_centred_on_the_colour_of_its_border() {
    // 40x20, border 200, inside 50: fits 8x8 as 8x4 with two rows of border above and below.
    let picture = GrayImage::from_fn(40, 20, |x, y| {
        let edge = x == 0 || y == 0 || x == 39 || y == 19;
        Luma([if edge { 200 } else { 50 }])
    });
    let got = reload(picture.clone(), ImageFormat::Png, [1, 8, 8], Invert::No);
    assert_eq!((got[0], got[15], got[63]), (200, 200, 200));
    assert!(got[3 * 8 + 4].abs_diff(50) < 15, "{got:?}");
    let inverted = reload(picture, ImageFormat::Png, [1, 8, 8], Invert::Auto);
    assert!(inverted.iter().zip(&got).all(|(a, b)| a + b == 255));
}

#[test]
fn extreme_proportions_keep_at_least_one_pixel() {
    let picture = GrayImage::from_pixel(2000, 1, Luma([90]));
    assert_eq!(
        reload(picture, ImageFormat::Png, [1, 5, 5], Invert::No),
        [90; 25]
    );
}

#[test]
fn example_pictures_come_back_close_to_their_originals() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "png") {
            continue;
        }
        seen += 1;
        let large = image_file::load(&path, [1, 112, 112], Fit::Pad, Invert::Auto).unwrap();
        let small = image_file::load(&path, [1, 28, 28], Fit::Pad, Invert::Auto).unwrap();
        // The originals are every fourth pixel: the files were enlarged by repeating pixels.
        let off: u32 = (0..784)
            .map(|i| u32::from(small[i].abs_diff(large[i / 28 * 4 * 112 + i % 28 * 4])))
            .sum();
        assert!(
            off < 784 * 8,
            "{}: mean difference {}",
            path.display(),
            off as f32 / 784.0
        );
    }
    assert!(seen >= 4, "only {seen} pictures");
}

#[test]
fn file_that_is_no_picture_is_named_with_the_formats() {
    for bytes in [&b"not a picture"[..], b"\x89PNG\r\n\x1a\n cut off", b""] {
        let (_dir, path) = file("note.png", bytes);
        let error = image_file::load(&path, [1, 28, 28], Fit::Pad, Invert::Auto).unwrap_err();
        assert!(matches!(error, DataError::Picture { .. }), "{error:?}");
        assert_says(
            &error,
            &[path.to_str().unwrap(), "png, jpeg, webp, gif, bmp or tiff"],
        );
    }
}

#[test]
fn missing_picture_is_named_and_has_a_cause() {
    let error = image_file::load(
        Path::new("no/such.png"),
        [1, 28, 28],
        Fit::Pad,
        Invert::Auto,
    )
    .unwrap_err();
    assert_says(&error, &["no/such.png"]);
    assert!(error.source().is_some());
}

#[test]
fn picture_beyond_the_limit_is_refused_by_its_header() {
    let (_dir, path) = file("wide.png", &[]);
    GrayImage::new(16_385, 1).save(&path).unwrap();
    let error = image_file::load(&path, [1, 28, 28], Fit::Pad, Invert::Auto).unwrap_err();
    assert_says(&error, &[path.to_str().unwrap(), "16385x1", "1 to 16384"]);
}

#[test]
fn picture_can_only_become_one_or_three_planes_of_some_size() {
    for shape in [[2, 28, 28], [1, 0, 28], [3, 28, 20_000]] {
        let error =
            image_file::load(Path::new("any.png"), shape, Fit::Pad, Invert::No).unwrap_err();
        assert_says(&error, &[&format!("{shape:?}"), "[1,H,W] or [3,H,W]"]);
    }
}
