//! KMNIST and the sets of EMNIST, as files and as the archive they are published as.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use nin_wgpu::data::emnist::{ARCHIVE, CLASSES, FOLDER};
use nin_wgpu::data::{DataError, Loader, kmnist, load};
use tempfile::tempdir;

use crate::{Random, assert_same, assert_says, gzip, idx, write};

/// The four files of a set, gzip, with these labels: two pictures to train on, one to test on.
fn files(split: &str, labels: [u8; 3]) -> Vec<(String, Vec<u8>)> {
    let name = |part: &str, what: &str| format!("emnist-{split}-{part}-{what}-ubyte.gz");
    let pixels: Vec<u8> = (0..2 * 784).map(|i| (i % 251) as u8).collect();
    vec![
        (
            name("train", "images-idx3"),
            gzip(&idx(&[2, 28, 28], &pixels)),
        ),
        (name("train", "labels-idx1"), gzip(&idx(&[2], &labels[..2]))),
        (
            name("test", "images-idx3"),
            gzip(&idx(&[1, 28, 28], &pixels[..784])),
        ),
        (name("test", "labels-idx1"), gzip(&idx(&[1], &labels[2..]))),
    ]
}

fn write_files(folder: &Path, split: &str, labels: [u8; 3]) {
    for (name, bytes) in files(split, labels) {
        write(&folder.join(name), &bytes);
    }
}

/// A zip archive of these files, deflated or stored by turns.
fn zip(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (i, (name, bytes)) in files.iter().enumerate() {
        let (method, packed) = match i % 2 {
            0 => {
                let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes).unwrap();
                (8_u16, encoder.finish().unwrap())
            }
            _ => (0, bytes.clone()),
        };
        let at = zip.len() as u32;
        // What both the member and the directory say of it; the checksum is not looked at.
        let mut common = vec![20, 0, 0, 0];
        common.extend(method.to_le_bytes());
        common.extend([0; 8]);
        common.extend((packed.len() as u32).to_le_bytes());
        common.extend((bytes.len() as u32).to_le_bytes());
        common.extend((name.len() as u16).to_le_bytes());
        common.extend([0; 2]);
        zip.extend(b"PK\x03\x04");
        zip.extend(&common);
        zip.extend(name.as_bytes());
        zip.extend(packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let at = zip.len() as u32;
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\x00\x00\x00\x00");
    zip.extend((files.len() as u16).to_le_bytes());
    zip.extend((files.len() as u16).to_le_bytes());
    zip.extend((directory.len() as u32).to_le_bytes());
    zip.extend(at.to_le_bytes());
    zip.extend([0, 0]);
    zip
}

fn in_folder(files: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let files = files.into_iter();
    files
        .map(|(name, bytes)| (format!("{FOLDER}/{name}"), bytes))
        .collect()
}

#[test]
fn kmnist_loads_with_its_own_classes() {
    let dir = tempdir().unwrap();
    for (pair, count) in [(0, 3), (2, 1)] {
        let pixels = vec![pair as u8; count * 784];
        let images = idx(&[count as u32, 28, 28], &pixels);
        write(&dir.path().join(kmnist::FILES[pair]), &images);
        let labels = idx(&[count as u32], &[9, 0, 1][..count]);
        write(&dir.path().join(kmnist::FILES[pair + 1]), &labels);
    }
    let split = load("kmnist", Some(dir.path())).unwrap();
    assert_eq!(split.train.labels(), [9, 0, 1]);
    assert_eq!(split.train.classes()[9], "wo");
    assert_eq!(split.test.image(0).unwrap(), [2; 784]);
}

#[test]
fn every_set_of_emnist_stands_upright_with_its_classes() {
    for (split, labels, classes, last) in [
        ("balanced", [0, 46, 3], 47, "t"),
        ("byclass", [0, 61, 3], 62, "z"),
        ("bymerge", [0, 46, 3], 47, "t"),
        ("digits", [0, 9, 3], 10, "9"),
        ("letters", [1, 26, 4], 26, "Zz"),
        ("mnist", [0, 9, 3], 10, "9"),
    ] {
        let dir = tempdir().unwrap();
        write_files(&dir.path().join(FOLDER), split, labels);
        let name = format!("emnist-{split}");
        let data = load(&name, Some(dir.path())).unwrap();
        assert_eq!(data.train.name(), name);
        assert_eq!(data.train.classes().len(), classes);
        assert_eq!(data.train.classes()[classes - 1], last);
        assert_eq!(data.train.labels(), [0, classes as u16 - 1], "{name}");
        assert_eq!(data.test.labels(), [3], "{name}");
        for (i, data) in [(0, &data.train), (1, &data.train), (0, &data.test)] {
            let image = data.image(i).unwrap();
            for (row, column) in [(0, 1), (27, 0), (5, 20), (27, 27)] {
                let stored = i * 784 + column * 28 + row;
                assert_eq!(usize::from(image[row * 28 + column]), stored % 251);
            }
        }
    }
    assert_eq!([CLASSES[10], CLASSES[36], CLASSES[61]], ["A", "a", "z"]);
}

#[test]
fn label_of_no_letter_names_the_file() {
    for (label, says) in [(0, "label 0 at 1"), (27, "is 26")] {
        let dir = tempdir().unwrap();
        write_files(dir.path(), "letters", [1, label, 1]);
        let error = load("emnist-letters", Some(dir.path())).unwrap_err();
        assert_says(&error, &["emnist-letters-train-labels-idx1-ubyte", says]);
    }
}

#[test]
fn all_sets_are_read_out_of_their_one_archive() {
    let dir = tempdir().unwrap();
    let cache = dir.path().join("emnist");
    let mut members = files("letters", [1, 26, 4]);
    members.extend(files("digits", [0, 9, 3]));
    write(&cache.join(ARCHIVE), &zip(&in_folder(members)));
    let loader = |name: &str| {
        let loader = Loader::new(name).system_dir(dir.path().join("none"));
        loader.cache_dir(dir.path()).load()
    };
    assert_eq!(loader("emnist-letters").unwrap().train.labels(), [0, 25]);
    let digits = loader("emnist-digits").unwrap();
    let plain = tempdir().unwrap();
    write_files(plain.path(), "digits", [0, 9, 3]);
    let want = load("emnist-digits", Some(plain.path())).unwrap();
    assert_same(&digits.train, &want.train);
    assert_same(&digits.test, &want.test);
    let error = loader("emnist-mnist").unwrap_err();
    assert!(matches!(error, DataError::ArchiveLacks { .. }), "{error:?}");
    assert_says(&error, &["gzip.zip", "lacks emnist-mnist-train-images"]);
    let error = load("emnist-digits", Some(dir.path())).unwrap_err();
    assert_says(
        &error,
        &["lacks emnist-digits-train-images-idx3-ubyte,", "gzip.zip"],
    );
}

#[test]
fn no_damage_to_the_archive_does_more_than_fail() {
    let dir = tempdir().unwrap();
    let path = dir.path().join(ARCHIVE);
    let whole = zip(&in_folder(files("digits", [0, 9, 3])));
    let elsewhere = files("digits", [0, 9, 3]).into_iter();
    let elsewhere = elsewhere.map(|(name, bytes)| (format!("../{name}"), bytes));
    write(&path, &zip(&elsewhere.collect::<Vec<_>>()));
    let error = load("emnist-digits", Some(dir.path())).unwrap_err();
    assert!(matches!(error, DataError::ArchiveLacks { .. }), "{error:?}");
    for bytes in [&b""[..], b"<html>", &whole[..whole.len() - 23]] {
        write(&path, bytes);
        let error = load("emnist-digits", Some(dir.path())).unwrap_err();
        assert_says(&error, &[path.to_str().unwrap(), "zip", "no directory"]);
    }
    // Where the archive's end says that the directory lies, and where that says that its first member does.
    let end = whole.len() - 22;
    let directory = u32::from_le_bytes(whole[end + 16..][..4].try_into().unwrap());
    for (at, value, says) in [
        (end + 16, directory + 23, "within the file's"),
        (directory as usize + 42, 1, "no member at 1"),
    ] {
        let mut bytes = whole.clone();
        bytes[at..][..4].copy_from_slice(&value.to_le_bytes());
        write(&path, &bytes);
        let error = load("emnist-digits", Some(dir.path())).unwrap_err();
        assert_says(&error, &[says]);
    }
    let mut random = Random(3);
    let mut loaded = 0;
    for round in 0..4000 {
        let mut bytes = whole.clone();
        if round % 5 == 0 {
            bytes.truncate(random.below(whole.len()));
        }
        // Mostly in the directory, which is last.
        let reach = if round % 3 == 0 { whole.len() } else { 460 };
        for _ in 0..random.below(4) {
            let at = whole.len() - 1 - random.below(reach);
            if let Some(byte) = bytes.get_mut(at) {
                *byte = [0, 1, 0xff, random.below(256) as u8][random.below(4)];
            }
        }
        write(&path, &bytes);
        loaded += usize::from(load("emnist-digits", Some(dir.path())).is_ok());
    }
    assert!(loaded > 100, "only {loaded} loaded");
}
