//! Idx files of one's own.

use nin_wgpu::data::{DataError, load};
use tempfile::{TempDir, tempdir};

use crate::{assert_says, gzip, idx, idx_of, write};

fn folder(files: &[(&str, Vec<u8>)]) -> TempDir {
    let dir = tempdir().unwrap();
    for (name, bytes) in files {
        write(&dir.path().join(name), bytes);
    }
    dir
}

/// Values that count up.
fn counting(count: u8) -> Vec<u8> {
    (0..count).collect()
}

#[test]
fn grey_pictures_of_any_size_load_with_a_part_to_validate_with() {
    let dir = folder(&[
        ("my-train-images.idx3-ubyte", idx(&[3, 2, 5], &counting(30))),
        (
            "my-train-labels.idx1-ubyte.gz",
            gzip(&idx(&[3], &[0, 2, 1])),
        ),
        ("my-test-images.gz", gzip(&idx(&[1, 2, 5], &counting(10)))),
        ("my-test-labels", idx(&[1], &[3])),
        ("my-val-images", idx(&[1, 2, 5], &counting(10))),
        ("my-val-labels", idx(&[1], &[1])),
        ("notes.txt", b"hello".to_vec()),
    ]);
    let split = load("idx", Some(dir.path())).unwrap();
    let train = &split.train;
    assert_eq!((train.channels(), train.height(), train.width()), (1, 2, 5));
    assert_eq!(train.labels(), [0, 2, 1]);
    assert_eq!(train.classes(), ["0", "1", "2", "3"]);
    assert_eq!(train.image(2).unwrap(), (20..30).collect::<Vec<u8>>());
    assert_eq!(split.test.labels(), [3]);
    assert_eq!(split.val.unwrap().labels(), [1]);
}

#[test]
fn colour_pictures_load_with_channels_first_or_last() {
    let last = idx(&[2, 2, 4, 3], &counting(48));
    let planes = |i: u8| (0..3).flat_map(move |c| (0..8).map(move |p| i * 24 + p * 3 + c));
    let first: Vec<u8> = (0..2).flat_map(planes).collect();
    let dir = folder(&[
        ("train-images", last),
        ("train-labels", idx(&[2], &[0, 1])),
        ("t10k-images", idx(&[2, 3, 2, 4], &first)),
        ("t10k-labels", idx(&[2], &[1, 0])),
    ]);
    let split = load("idx", Some(dir.path())).unwrap();
    assert_eq!(split.train.images().unwrap(), first);
    assert_eq!(split.test.images().unwrap(), first);
    assert_eq!(split.train.channels(), 3);
}

#[test]
fn labels_are_integers_of_other_widths_too() {
    let shorts: Vec<u8> = [7_i16, 300].iter().flat_map(|n| n.to_be_bytes()).collect();
    let longs: Vec<u8> = [65_535_i32, 0]
        .iter()
        .flat_map(|n| n.to_be_bytes())
        .collect();
    let images = || idx(&[2, 1, 2], &counting(4));
    let files = |test_labels| {
        folder(&[
            ("train-images", images()),
            ("train-labels", idx_of(11, &[2], &shorts)),
            ("test-images", images()),
            ("test-labels", test_labels),
        ])
    };
    let dir = files(idx_of(12, &[2], &longs));
    let split = load("idx", Some(dir.path())).unwrap();
    assert_eq!(split.train.labels(), [7, 300]);
    assert_eq!(split.test.labels(), [65_535, 0]);
    assert_eq!(split.test.classes().len(), 65_536);
    for (labels, says) in [
        (idx_of(9, &[2], &[0, 0xff]), "label -1 at 1"),
        (
            idx_of(12, &[2], &[0, 1, 0, 0, 0, 0, 0, 0]),
            "label 65536 at 0",
        ),
        (idx_of(13, &[2], &[0; 8]), "0x00000d01"),
        (idx_of(12, &[2], &[0; 7]), "15 bytes"),
        (idx(&[3], &[0; 3]), "2 images"),
    ] {
        let dir = files(labels);
        let error = load("idx", Some(dir.path())).unwrap_err();
        assert_says(
            &error,
            &[dir.path().join("test-labels").to_str().unwrap(), says],
        );
    }
}

#[test]
fn folders_that_lack_a_part_or_have_one_twice_say_so() {
    let images = || idx(&[1, 2, 2], &counting(4));
    let labels = || idx(&[1], &[0]);
    let train = [("train-images", images()), ("train-labels", labels())];
    let error = load("idx", Some(folder(&train).path())).unwrap_err();
    assert_says(&error, &["lacks images and labels to test,", "t10k"]);
    let error = load("idx", Some(tempdir().unwrap().path())).unwrap_err();
    assert_says(&error, &["to train, images and labels to test"]);
    let error = load("idx", Some(folder(&train[..1]).path())).unwrap_err();
    assert_says(&error, &["train-labels… for train-images"]);
    let error = load("idx", None).unwrap_err();
    assert!(matches!(error, DataError::FolderWanted { .. }), "{error:?}");

    let test = [("test-images", images()), ("test-labels", labels())];
    let more = [("t10k-images", images()), ("t10k-labels", labels())];
    let dir = folder(&[train.clone(), test.clone(), more].concat());
    let error = load("idx", Some(dir.path())).unwrap_err();
    assert_says(&error, &["t10k-images", "test-images", "to test"]);
    // The same file packed and unpacked is one.
    let packed = [
        ("test-images.gz", gzip(&images())),
        ("test-labels.gz", gzip(&labels())),
    ];
    let dir = folder(&[train.clone(), test, packed].concat());
    assert_eq!(load("idx", Some(dir.path())).unwrap().test.len(), 1);

    let other = [
        ("test-images", idx(&[1, 2, 3], &counting(6))),
        ("test-labels", labels()),
    ];
    let dir = folder(&[train.clone(), other].concat());
    let error = load("idx", Some(dir.path())).unwrap_err();
    assert_says(
        &error,
        &["test-images", "[1, 2, 3]", "[1, 2, 2]", "train-images"],
    );
    let other = [
        ("test-images", idx(&[1, 2, 2, 5], &counting(20))),
        ("test-labels", labels()),
    ];
    let dir = folder(&[train, other].concat());
    let error = load("idx", Some(dir.path())).unwrap_err();
    assert_says(&error, &["[1, 2, 2, 5]", "[M,H,W,C]"]);
}
