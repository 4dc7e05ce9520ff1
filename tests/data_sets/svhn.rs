//! SVHN: MATLAB files, whole, of other kinds, and damaged.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use nin_wgpu::data::svhn::FILES;
use nin_wgpu::data::{DataError, load};
use tempfile::tempdir;

use crate::{Random, assert_says, write};

/// A part: its type, length and bytes, filled up to eight.
fn part(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let mut part = kind.to_le_bytes().to_vec();
    part.extend((bytes.len() as u32).to_le_bytes());
    part.extend(bytes);
    part.resize(part.len().next_multiple_of(8), 0);
    part
}

/// A variable, its name in the tag as MATLAB writes short ones.
fn variable(name: u8, class: u8, dims: &[u32], storage: u32, bytes: &[u8]) -> Vec<u8> {
    let mut parts = part(6, &[class, 0, 0, 0, 0, 0, 0, 0]);
    let dims: Vec<u8> = dims.iter().flat_map(|dim| dim.to_le_bytes()).collect();
    parts.extend(part(5, &dims));
    parts.extend([1, 0, 1, 0, name, 0, 0, 0]);
    parts.extend(part(storage, bytes));
    part(14, &parts)
}

fn packed(variable: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(variable).unwrap();
    let bytes = encoder.finish().unwrap();
    let mut element = 15_u32.to_le_bytes().to_vec();
    element.extend((bytes.len() as u32).to_le_bytes());
    element.extend(bytes);
    element
}

fn file(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = vec![b' '; 124];
    bytes.extend(b"\x00\x01IM");
    bytes.extend(elements.concat());
    bytes
}

/// The value of a pixel.
fn pixel(picture: usize, channel: usize, row: usize, column: usize) -> u8 {
    (picture * 5 + channel * 80 + row * 2 + column / 7) as u8
}

/// `X`: the row runs fastest, then the column, the channel, the picture.
fn pictures(count: usize) -> Vec<u8> {
    let at = |i: usize| pixel(i / 3072, i / 1024 % 3, i % 32, i / 32 % 32);
    (0..count * 3072).map(at).collect()
}

fn x(count: usize) -> Vec<u8> {
    x_of(&pictures(count))
}

fn x_of(pixels: &[u8]) -> Vec<u8> {
    let count = pixels.len() as u32 / 3072;
    variable(b'X', 9, &[32, 32, 3, count], 2, pixels)
}

/// A whole file of pictures and their labels.
pub(crate) fn of(pixels: &[u8], labels: &[u8]) -> Vec<u8> {
    file(&[packed(&x_of(pixels)), packed(&y(labels))])
}

/// `y`, whose numbers are doubles that are stored as bytes.
fn y(labels: &[u8]) -> Vec<u8> {
    variable(b'y', 6, &[labels.len() as u32, 1], 2, labels)
}

fn small() -> Vec<u8> {
    file(&[packed(&x(2)), packed(&y(&[10, 3]))])
}

fn fails(folder: &Path, bytes: &[u8], says: &[&str]) {
    let path = folder.join(FILES[0]);
    write(&path, bytes);
    let error = load("svhn", Some(folder)).unwrap_err();
    assert_says(&error, says);
    assert_says(&error, &[path.to_str().unwrap()]);
}

#[test]
fn cropped_digits_load_upright_with_ten_as_zero() {
    let dir = tempdir().unwrap();
    let labels: Vec<u8> = (0..300).map(|i| (i % 10) as u8 + 1).collect();
    let doubles: Vec<u8> = (0..3_u8)
        .flat_map(|i| (f64::from(i) + 8.0).to_le_bytes())
        .collect();
    // Another variable before, the others in either order, plain or packed.
    let other = variable(b'Z', 6, &[1, 1], 9, &1.5_f64.to_le_bytes());
    let train = file(&[packed(&other), packed(&x(300)), packed(&y(&labels))]);
    let test = file(&[variable(b'y', 6, &[3, 1], 9, &doubles), other, x(3)]);
    write(&dir.path().join(FILES[0]), &train);
    write(&dir.path().join(FILES[1]), &test);
    let split = load("svhn", Some(dir.path())).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (300, 3));
    assert_eq!(split.train.labels()[..3], [1, 2, 3]);
    assert_eq!(split.train.labels()[9], 0);
    assert_eq!(split.test.labels(), [8, 9, 0]);
    assert_eq!(split.train.classes()[0], "0");
    for i in [0, 150, 299] {
        let image = split.train.image(i).unwrap();
        for (channel, row, column) in [(0, 0, 0), (1, 3, 30), (2, 31, 0), (2, 31, 31)] {
            let got = image[channel * 1024 + row * 32 + column];
            assert_eq!(
                got,
                pixel(i, channel, row, column),
                "{i} {channel} {row} {column}"
            );
        }
    }
}

#[test]
fn files_of_other_kinds_and_damaged_ones_say_what_is_wrong() {
    let dir = tempdir().unwrap();
    write(&dir.path().join(FILES[1]), &small());
    let fails = |bytes: &[u8], says: &[&str]| fails(dir.path(), bytes, says);
    let whole = small();
    fails(&whole[..100], &["100 bytes", "128"]);
    fails(&whole[..131], &["131 bytes", "136"]);
    fails(
        &whole[..whole.len() - 1],
        &[&format!("{} bytes", whole.len() - 1)],
    );
    fails(&[b' '; 200], &["byte order", "20, 20, 20, 20"]);
    let mut swapped = whole.clone();
    swapped[126..128].copy_from_slice(b"MI");
    fails(&swapped, &["4d, 49", "little-endian"]);
    let mut damaged = whole.clone();
    damaged[128 + 8 + 40] ^= 0xff;
    write(&dir.path().join(FILES[0]), &damaged);
    assert!(load("svhn", Some(dir.path())).is_err());
    // A packed part that ends too soon.
    let mut cut = packed(&x(2));
    cut.truncate(cut.len() - 20);
    let len = (cut.len() - 8) as u32;
    cut[4..8].copy_from_slice(&len.to_le_bytes());
    fails(&file(&[cut, y(&[1, 2])]), &["cannot read or unpack"]);

    fails(&file(&[x(2)]), &["no variable `y`"]);
    fails(&file(&[x(2), x(2), y(&[1, 2])]), &["`X` twice"]);
    fails(
        &file(&[x(2), y(&[1, 2, 3])]),
        &["3 labels", "2, one for each"],
    );
    fails(&file(&[x(2), y(&[1, 0])]), &["label 0 at 1", "1 to 10"]);
    fails(&file(&[x(2), y(&[11, 1])]), &["label 11 at 0"]);
    let grey = variable(b'X', 9, &[28, 28, 1, 2], 2, &[0; 2 * 784]);
    fails(
        &file(&[grey, y(&[1, 2])]),
        &["[28, 28, 1, 2]", "[32, 32, 3, pictures]"],
    );
    let text = variable(b'X', 4, &[1, 2], 2, &[0; 2]);
    fails(&file(&[text, y(&[1, 2])]), &["class 4"]);
    let wide = variable(b'X', 6, &[32, 32, 3, 1], 9, &[0; 8 * 3072]);
    fails(&file(&[wide, y(&[1])]), &["class 6 stored as 9", "class 9"]);
    // Lengths that nothing stands behind.
    let huge = [u32::MAX, u32::MAX, u32::MAX, u32::MAX];
    let huge = variable(b'X', 9, &huge, 2, &[]);
    fails(&file(&[packed(&huge), y(&[1])]), &["numbers at most"]);
    let mut bomb = variable(b'X', 6, &[32, 32, 3, 100_000], 9, &[0; 8]);
    let length = bomb.len() - 12..bomb.len() - 8;
    bomb[length].copy_from_slice(&(8 * 3072 * 100_000_u32).to_le_bytes());
    fails(
        &file(&[packed(&bomb), y(&[1])]),
        &["2457600000 bytes", "at most"],
    );
    let large = variable(b'X', 9, &[32, 32, 3, 600_000], 2, &[0; 3072]);
    fails(
        &file(&[packed(&large), y(&[1])]),
        &["3072 bytes", "as the dimensions say"],
    );
}

#[test]
fn no_mutation_of_a_file_does_more_than_fail() {
    let dir = tempdir().unwrap();
    write(&dir.path().join(FILES[1]), &small());
    let path = dir.path().join(FILES[0]);
    let labels = y(&[10, 3]);
    let plain = file(&[labels, x(1)]);
    let packed_file = small();
    let mut random = Random(2);
    let mut loaded = 0;
    for round in 0..6000 {
        let mut bytes = if round % 2 == 0 {
            plain.clone()
        } else {
            packed_file.clone()
        };
        let len = bytes.len();
        if round % 7 == 0 {
            bytes.truncate(random.below(len));
        }
        // Mostly where the lengths and types are.
        let reach = if round % 3 == 0 { len } else { len.min(330) };
        for _ in 0..random.below(4) {
            let at = random.below(reach);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = [0, 1, 4, 0x7f, 0xff, random.below(256) as u8][random.below(6)];
            }
        }
        write(&path, &bytes);
        match load("svhn", Some(dir.path())) {
            Ok(split) => {
                loaded += 1;
                assert!((1..=2).contains(&split.train.len()));
            }
            Err(
                DataError::Format { .. } | DataError::Truncated { .. } | DataError::Inflate { .. },
            ) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(loaded > 100, "only {loaded} loaded");
}
