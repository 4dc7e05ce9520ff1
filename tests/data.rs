//! Data sets and pictures: what loads, and what each error says.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use nin_wgpu::data::image_file::{self, Invert};
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::data::{DATASETS, DataError, Dataset, fashion_mnist, idx, load};
use tempfile::{TempDir, tempdir};

fn idx_bytes(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(values);
    bytes
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file of these bytes, and the folder that must outlive it.
fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

/// The four files of Fashion-MNIST cut down to these many pictures, the first pair as gzip.
fn small_fashion_mnist(train: u32, test: u32) -> TempDir {
    let dir = tempdir().unwrap();
    for (count, images, labels, pack) in [
        (
            train,
            fashion_mnist::FILES[0],
            fashion_mnist::FILES[1],
            true,
        ),
        (
            test,
            fashion_mnist::FILES[2],
            fashion_mnist::FILES[3],
            false,
        ),
    ] {
        let pixels: Vec<u8> = (0..count * 784).map(|i| (i % 251) as u8).collect();
        let classes: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        for (name, bytes) in [
            (images, idx_bytes(&[count, 28, 28], &pixels)),
            (labels, idx_bytes(&[count], &classes)),
        ] {
            if pack {
                fs::write(dir.path().join(format!("{name}.gz")), gzip(&bytes)).unwrap();
            } else {
                fs::write(dir.path().join(name), bytes).unwrap();
            }
        }
    }
    dir
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|k| format!("class {k}")).collect()
}

/// Asserts that the message of an error holds all these parts, and keeps the house style.
fn assert_says(error: &DataError, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert!(!message.ends_with('.'), "punctuated: {message}");
}

#[test]
fn idx_reads_plain_and_gzip_alike() {
    let bytes = idx_bytes(&[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
    for (name, bytes) in [("plain", bytes.clone()), ("packed", gzip(&bytes))] {
        let (_dir, path) = file(name, &bytes);
        let read = idx::read(&path, 3).unwrap();
        assert_eq!(read.dims, [2, 1, 3]);
        assert_eq!(read.values, [1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn truncated_idx_file_names_expected_and_found_length() {
    let bytes = idx_bytes(&[2, 2, 2], &[0; 8]);
    for (keep, got, want) in [
        (20, "20 bytes", "24 by"),
        (10, "10 bytes", "16 by"),
        (0, "0 bytes", "16 by"),
    ] {
        let (_dir, path) = file("images", &bytes[..keep]);
        let error = idx::read(&path, 3).unwrap_err();
        assert!(matches!(error, DataError::Truncated { .. }), "{error:?}");
        assert_says(&error, &[path.to_str().unwrap(), got, want]);
    }
}

#[test]
fn idx_file_that_goes_on_after_its_last_value_is_refused() {
    let (_dir, path) = file("labels", &idx_bytes(&[3], &[0; 4]));
    let error = idx::read(&path, 1).unwrap_err();
    assert!(
        matches!(error, DataError::TrailingBytes { want: 11, .. }),
        "{error:?}"
    );
    assert_says(&error, &[path.to_str().unwrap(), "11 bytes"]);
}

#[test]
fn wrong_idx_magic_names_expected_and_found_number() {
    let (_dir, path) = file("images", &idx_bytes(&[3], &[0; 3]));
    let error = idx::read(&path, 3).unwrap_err();
    assert_says(
        &error,
        &[path.to_str().unwrap(), "0x00000801", "0x00000803"],
    );

    let (_dir, path) = file("page", b"<html>not here</html>");
    let error = idx::read(&path, 1).unwrap_err();
    assert!(matches!(error, DataError::Magic { .. }), "{error:?}");
}

#[test]
fn idx_header_with_impossible_dimensions_is_refused_without_taking_memory() {
    let (_dir, path) = file("images", &idx_bytes(&[u32::MAX; 3], &[]));
    let error = idx::read(&path, 3).unwrap_err();
    assert_says(&error, &[path.to_str().unwrap(), "4294967295"]);
}

#[test]
fn damaged_gzip_names_the_file_and_has_a_cause() {
    let mut bytes = gzip(&idx_bytes(&[1000], &[7; 1000]));
    let cut = bytes[..bytes.len() - 6].to_vec();
    let checksum = bytes.len() - 8;
    bytes[checksum] ^= 1;
    for bytes in [cut, bytes] {
        let (_dir, path) = file("labels.gz", &bytes);
        let error = idx::read(&path, 1).unwrap_err();
        assert!(matches!(error, DataError::Gzip { .. }), "{error:?}");
        assert_says(&error, &[path.to_str().unwrap()]);
        assert!(error.source().is_some());
    }
}

#[test]
fn fashion_mnist_loads_cut_down_files_from_a_folder() {
    let dir = small_fashion_mnist(30, 20);
    let split = load("fashion-mnist", Some(dir.path())).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (30, 20));
    let test = &split.test;
    assert_eq!((test.channels(), test.height(), test.width()), (1, 28, 28));
    assert_eq!(test.name(), "fashion-mnist");
    assert_eq!(test.classes()[9], "Ankle boot");
    assert_eq!(test.labels()[13], 3);
    assert_eq!(test.image(1)[0], (784 % 251) as u8);
}

#[test]
fn folder_without_a_file_names_it_and_all_that_are_wanted() {
    let dir = small_fashion_mnist(3, 3);
    fs::remove_file(dir.path().join("train-labels-idx1-ubyte.gz")).unwrap();
    let error = load("fashion-mnist", Some(dir.path())).unwrap_err();
    assert_says(
        &error,
        &[
            dir.path().to_str().unwrap(),
            "lacks train-labels-idx1-ubyte,",
            ".gz",
        ],
    );
    assert_says(&error, &fashion_mnist::FILES);
}

#[test]
fn folder_that_does_not_exist_is_named() {
    let error = load("fashion-mnist", Some(Path::new("/no/such/folder"))).unwrap_err();
    assert_says(&error, &["/no/such/folder", "does not exist"]);
}

#[test]
fn as_many_labels_as_images_are_wanted() {
    let dir = small_fashion_mnist(3, 3);
    let labels = dir.path().join("t10k-labels-idx1-ubyte");
    fs::write(&labels, idx_bytes(&[2], &[0, 1])).unwrap();
    let error = load("fashion-mnist", Some(dir.path())).unwrap_err();
    assert_says(&error, &["3 images", "2 labels", labels.to_str().unwrap()]);
}

#[test]
fn label_file_with_a_label_out_of_range_is_named() {
    let dir = small_fashion_mnist(3, 3);
    let labels = dir.path().join("t10k-labels-idx1-ubyte");
    fs::write(&labels, idx_bytes(&[3], &[0, 10, 1])).unwrap();
    let error = load("fashion-mnist", Some(dir.path())).unwrap_err();
    assert_says(
        &error,
        &[
            "label 1 of",
            labels.to_str().unwrap(),
            "is 10",
            "less than 10",
        ],
    );
}

#[test]
fn pictures_of_another_size_are_refused() {
    let dir = small_fashion_mnist(3, 3);
    let images = dir.path().join("t10k-images-idx3-ubyte");
    fs::write(&images, idx_bytes(&[3, 32, 30], &[0; 3 * 32 * 30])).unwrap();
    let error = load("fashion-mnist", Some(dir.path())).unwrap_err();
    assert_says(&error, &[images.to_str().unwrap(), "32x30", "28x28"]);
}

#[test]
fn unknown_data_set_lists_the_known_ones() {
    let error = load("imagenet", None).unwrap_err();
    assert_says(&error, &["imagenet"]);
    assert_says(&error, DATASETS);
}

#[test]
fn data_set_without_files_refuses_a_folder() {
    let error = load("synthetic", Some(Path::new("somewhere"))).unwrap_err();
    assert_says(&error, &["synthetic", "somewhere"]);
}

#[test]
fn installed_fashion_mnist_has_its_published_size_and_mean() {
    match load("fashion-mnist", None) {
        Ok(split) => {
            assert_eq!((split.train.len(), split.test.len()), (60_000, 10_000));
            let (mean, std) = split.train.mean_std()[0];
            assert!((mean - 0.2860).abs() < 1e-4, "{mean}");
            assert!((std - 0.3530).abs() < 1e-4, "{std}");
        }
        // Not on this system: then the message must help.
        Err(error) => assert_says(
            &error,
            &[
                "apt-get install dataset-fashion-mnist",
                "--data-dir",
                fashion_mnist::FILES[0],
            ],
        ),
    }
}

#[test]
fn data_set_refuses_what_does_not_fit_together() {
    let new = |images: usize, labels: &[u8], shape, classes| {
        Dataset::new(
            "toy",
            vec![0; images],
            labels.to_vec(),
            shape,
            names(classes),
        )
    };
    assert!(new(12, &[0, 1], [1, 2, 3], 2).is_ok());
    for (result, parts) in [
        (
            new(11, &[0, 1], [1, 2, 3], 2),
            ["image bytes 11", "want 12"],
        ),
        (
            new(12, &[0, 2], [1, 2, 3], 2),
            ["label 1 of toy is 2", "less than 2"],
        ),
        (new(0, &[], [1, 2, 3], 2), ["pictures 0", "at least 1"]),
        (
            new(0, &[0], [1, 0, 3], 2),
            ["shape [1, 0, 3]", "no side of 0"],
        ),
        (
            new(0, &[0], [usize::MAX, 2, 3], 2),
            ["shape [18", "fewer bytes"],
        ),
        (new(12, &[0, 1], [1, 2, 3], 0), ["classes 0", "1 to 256"]),
        (
            new(12, &[0, 1], [1, 2, 3], 257),
            ["classes 257", "1 to 256"],
        ),
    ] {
        assert_says(&result.unwrap_err(), &parts);
    }
}

#[test]
fn limit_keeps_the_first_pictures_and_at_least_one() {
    let set = Dataset::new("toy", (0..12).collect(), vec![0, 1, 0], [1, 2, 2], names(2)).unwrap();
    assert_eq!(set.clone().limit(2).images(), (0..8).collect::<Vec<u8>>());
    assert_eq!(set.clone().limit(2).labels(), [0, 1]);
    assert_eq!(set.clone().limit(99), set);
    assert_eq!(set.limit(0).len(), 1);
}

#[test]
fn mean_and_deviation_are_taken_per_channel() {
    // Two pictures of two channels of two pixels.
    let images = vec![0, 255, 51, 51, 255, 0, 51, 51];
    let set = Dataset::new("toy", images, vec![0, 0], [2, 1, 2], names(1)).unwrap();
    let [(mean_a, std_a), (mean_b, std_b)] = set.mean_std()[..] else {
        panic!("two channels wanted");
    };
    for (got, want) in [(mean_a, 0.5), (std_a, 0.5), (mean_b, 0.2), (std_b, 0.0)] {
        assert!((got - want).abs() < 1e-6_f32, "{got} {want}");
    }
}

#[test]
fn synthetic_set_is_the_same_for_the_same_seed_only() {
    let spec = Synthetic {
        shape: [3, 9, 12],
        classes: 4,
        train: 10,
        test: 10,
        seed: 7,
    };
    let split = spec.generate().unwrap();
    assert_eq!(split.train, spec.generate().unwrap().train);
    assert_eq!(split.train.labels()[..6], [0, 1, 2, 3, 0, 1]);
    assert_ne!(split.train.images(), split.test.images());
    let other = Synthetic { seed: 8, ..spec }.generate().unwrap();
    assert_ne!(split.train.images(), other.train.images());
}

#[test]
fn synthetic_classes_are_told_apart_by_their_mean_pictures() {
    for shape in [[1, 28, 28], [3, 32, 32], [1, 12, 10]] {
        let split = Synthetic {
            shape,
            train: 500,
            test: 200,
            ..Synthetic::default()
        }
        .generate()
        .unwrap();
        let len = shape.iter().product::<usize>();
        let mut means = vec![vec![0.0_f32; len]; 10];
        for (i, &label) in split.train.labels().iter().enumerate() {
            for (sum, &value) in means[usize::from(label)]
                .iter_mut()
                .zip(split.train.image(i))
            {
                *sum += f32::from(value) / 50.0;
            }
        }
        let nearest = |image: &[u8]| {
            let distance = |mean: &[f32]| -> f32 {
                mean.iter()
                    .zip(image)
                    .map(|(m, &v)| (m - f32::from(v)).powi(2))
                    .sum()
            };
            (0..10).min_by(|&a, &b| distance(&means[a]).total_cmp(&distance(&means[b])))
        };
        let right = (0..200)
            .filter(|&i| nearest(split.test.image(i)) == Some(usize::from(split.test.labels()[i])))
            .count();
        assert!(right > 180, "{right} of 200 for {shape:?}");
    }
}

#[test]
fn synthetic_set_of_impossible_form_is_refused() {
    for spec in [
        Synthetic {
            classes: 0,
            ..Synthetic::default()
        },
        Synthetic {
            classes: 300,
            ..Synthetic::default()
        },
        Synthetic {
            test: 0,
            ..Synthetic::default()
        },
        Synthetic {
            shape: [1, 0, 28],
            ..Synthetic::default()
        },
    ] {
        let error = spec.generate().unwrap_err();
        assert!(matches!(error, DataError::Form { .. }), "{error:?}");
    }
}

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
    image_file::load(&path, shape, invert).unwrap()
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
        let large = image_file::load(&path, [1, 112, 112], Invert::Auto).unwrap();
        let small = image_file::load(&path, [1, 28, 28], Invert::Auto).unwrap();
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
        let error = image_file::load(&path, [1, 28, 28], Invert::Auto).unwrap_err();
        assert!(matches!(error, DataError::Picture { .. }), "{error:?}");
        assert_says(&error, &[path.to_str().unwrap(), "png, jpeg, webp or gif"]);
    }
}

#[test]
fn missing_picture_is_named_and_has_a_cause() {
    let error = image_file::load(Path::new("no/such.png"), [1, 28, 28], Invert::Auto).unwrap_err();
    assert_says(&error, &["no/such.png"]);
    assert!(error.source().is_some());
}

#[test]
fn picture_beyond_the_limit_is_refused_by_its_header() {
    let (_dir, path) = file("wide.png", &[]);
    GrayImage::new(16_385, 1).save(&path).unwrap();
    let error = image_file::load(&path, [1, 28, 28], Invert::Auto).unwrap_err();
    assert_says(&error, &[path.to_str().unwrap(), "16385x1", "1 to 16384"]);
}

#[test]
fn picture_can_only_become_one_or_three_planes_of_some_size() {
    for shape in [[2, 28, 28], [1, 0, 28], [3, 28, 20_000]] {
        let error = image_file::load(Path::new("any.png"), shape, Invert::No).unwrap_err();
        assert_says(&error, &[&format!("{shape:?}"), "[1,H,W] or [3,H,W]"]);
    }
}
