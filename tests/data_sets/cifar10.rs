//! The binary version of CIFAR-10, plain and packed.

use std::fs;
use std::path::Path;

use nin_wgpu::data::cifar10::{ARCHIVE, FILES, FOLDER};
use nin_wgpu::data::{DataError, load};
use tempfile::tempdir;

use crate::{assert_says, tar_gz, write};

const RECORD: usize = 3073;

/// Two records a file; pixel and label tell file, record and plane.
fn batch(file: usize) -> Vec<u8> {
    let record = |i: usize| {
        let planes = (0..3).flat_map(move |plane| [(100 * i + 10 * file + plane) as u8; 1024]);
        std::iter::once((file + i) as u8).chain(planes)
    };
    (0..2).flat_map(record).collect()
}

fn write_batches(folder: &Path) {
    for (i, name) in FILES.iter().enumerate() {
        write(&folder.join(name), &batch(i));
    }
}

/// An archive of these files, in the published one's sub-folder and with its other files.
fn pack(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let readme = ("readme.html", b"<html></html>".to_vec());
    let files = [readme].into_iter().chain(files.iter().cloned());
    let files = files.map(|(name, bytes)| (format!("{FOLDER}/{name}"), bytes));
    tar_gz(&files.collect::<Vec<_>>())
}

#[test]
fn six_files_load_in_order_with_planes_as_they_lie() {
    let dir = tempdir().unwrap();
    write_batches(dir.path());
    let split = load("cifar10", Some(dir.path())).unwrap();
    let train = &split.train;
    assert_eq!((train.len(), split.test.len()), (10, 2));
    assert_eq!(
        (train.channels(), train.height(), train.width()),
        (3, 32, 32)
    );
    assert_eq!(train.labels(), [0, 1, 1, 2, 2, 3, 3, 4, 4, 5]);
    assert_eq!(split.test.labels(), [5, 6]);
    assert_eq!(train.classes()[9], "truck");
    let planes = |image: &[u8]| [image[0], image[1024], image[3071]];
    assert_eq!(planes(&train.image(3).unwrap()), [110, 111, 112]);
    assert_eq!(planes(&split.test.image(0).unwrap()), [50, 51, 52]);
}

#[test]
fn sub_folder_and_archive_give_the_same_as_plain_files() {
    let [plain, below, packed] = [(); 3].map(|()| tempdir().unwrap());
    write_batches(plain.path());
    write_batches(&below.path().join(FOLDER));
    // In another order than the names'.
    let files: Vec<_> = (0..6).rev().map(|i| (FILES[i], batch(i))).collect();
    write(&packed.path().join(ARCHIVE), &pack(&files));
    let want = load("cifar10", Some(plain.path())).unwrap();
    for dir in [below, packed] {
        let got = load("cifar10", Some(dir.path())).unwrap();
        for (got, want) in [(got.train, &want.train), (got.test, &want.test)] {
            assert_eq!(got.images().unwrap(), want.images().unwrap());
            assert_eq!(
                (got.labels(), got.classes()),
                (want.labels(), want.classes())
            );
        }
    }
}

#[test]
fn file_cut_within_a_record_names_its_length_and_the_records() {
    for keep in [0, RECORD - 1, RECORD + 100] {
        let dir = tempdir().unwrap();
        write_batches(dir.path());
        let path = dir.path().join(FILES[2]);
        write(&path, &batch(2)[..keep]);
        let error = load("cifar10", Some(dir.path())).unwrap_err();
        assert_says(
            &error,
            &[path.to_str().unwrap(), &format!("{keep} bytes"), "3073"],
        );
    }
}

#[test]
fn label_without_a_class_names_the_file() {
    let dir = tempdir().unwrap();
    write_batches(dir.path());
    let path = dir.path().join(FILES[1]);
    let mut bytes = batch(1);
    bytes[RECORD] = 10;
    write(&path, &bytes);
    let error = load("cifar10", Some(dir.path())).unwrap_err();
    assert_says(&error, &["label 1 of", path.to_str().unwrap(), "is 10"]);
}

#[test]
fn folder_without_a_batch_names_it() {
    let dir = tempdir().unwrap();
    write_batches(dir.path());
    fs::remove_file(dir.path().join(FILES[5])).unwrap();
    let error = load("cifar10", Some(dir.path())).unwrap_err();
    assert_says(
        &error,
        &["lacks test_batch.bin,", "data_batch_1.bin", ARCHIVE],
    );
}

#[test]
fn archive_without_a_batch_or_cut_off_is_named() {
    let dir = tempdir().unwrap();
    let path = dir.path().join(ARCHIVE);
    let files: Vec<_> = (0..5).map(|i| (FILES[i], batch(i))).collect();
    write(&path, &pack(&files));
    let error = load("cifar10", Some(dir.path())).unwrap_err();
    assert_says(&error, &[path.to_str().unwrap(), "lacks test_batch.bin"]);

    let whole = pack(&files);
    for bytes in [&whole[..whole.len() - 4], &whole[..100], b"", b"<html>"] {
        write(&path, bytes);
        let error = load("cifar10", Some(dir.path())).unwrap_err();
        assert!(matches!(error, DataError::Gzip { .. }), "{error:?}");
        assert_says(&error, &[path.to_str().unwrap(), "gzip"]);
    }
}

#[test]
fn cifar10_of_its_full_size_loads_in_order() {
    const EACH: usize = 10_000;
    let dir = tempdir().unwrap();
    for (file, name) in FILES.iter().enumerate() {
        let mut bytes = vec![file as u8; EACH * 3073];
        for (i, record) in bytes.chunks_exact_mut(3073).enumerate() {
            record[0] = ((file + i) % 10) as u8;
            record[1] = i as u8;
            record[3072] = (i >> 8) as u8;
        }
        write(&dir.path().join(name), &bytes);
    }
    let split = load("cifar10", Some(dir.path())).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (50_000, 10_000));
    for (data, i, file) in [
        (&split.train, 0, 0),
        (&split.train, 25_000, 2),
        (&split.train, 49_999, 4),
        (&split.test, 0, 5),
        (&split.test, 9_999, 5),
    ] {
        let image = data.image(i).unwrap();
        let within = i % EACH;
        assert_eq!(usize::from(data.label(i).unwrap()), (file + within) % 10);
        assert_eq!(image[0], within as u8);
        assert_eq!(image[3071], (within >> 8) as u8);
        assert!(image[1..3071].iter().all(|&v| usize::from(v) == file));
    }
}
