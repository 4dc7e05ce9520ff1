//! The python versions of CIFAR-10 and CIFAR-100, and pickles that are none of theirs.

use std::path::Path;

use nin_wgpu::data::{DataError, cifar10, cifar100, load};
use tempfile::tempdir;

use crate::{Random, assert_says, tar_gz, write};

/// As Python 2 and numpy write `data`, up to the bytes: an array `[rows, 3072]`.
fn data(rows: u16, by_column: bool) -> Vec<u8> {
    let mut bytes =
        b"U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04\
        K\x00\x85U\x01b\x87Rq\x05(K\x01"
            .to_vec();
    bytes.push(b'M');
    bytes.extend(rows.to_le_bytes());
    bytes.extend(b"M\x00\x0c\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNN");
    bytes.extend(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
    bytes.push(if by_column { 0x88 } else { 0x89 });
    let len = u32::from(rows) * 3072;
    bytes.push(b'T');
    bytes.extend(len.to_le_bytes());
    for i in 0..len {
        let (row, column) = match by_column {
            false => (i / 3072, i % 3072),
            true => (i % u32::from(rows), i / u32::from(rows)),
        };
        bytes.push(pixel(row, column));
    }
    bytes.extend(b"tb");
    bytes
}

fn pixel(row: u32, column: u32) -> u8 {
    (row * 7 + column / 1024 * 50 + column % 31) as u8
}

fn labels(key: &str, labels: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'U', key.len() as u8];
    bytes.extend(key.as_bytes());
    bytes.extend(b"q\x08]q\x09(");
    bytes.extend(labels.iter().flat_map(|&label| [b'K', label]));
    bytes.push(b'e');
    bytes
}

/// A dictionary of these entries, and of what else CIFAR's have.
fn pickle(entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"\x80\x02}q\x01(".to_vec();
    bytes.extend(entries.concat());
    bytes.extend(b"U\x0bbatch_labelq\x0aU\x15training batch 1 of 5");
    bytes.extend(b"U\x09filenamesq\x0b]q\x0c(U\x06f0.pngq\x0dU\x06f1.pngr\x00\x01\x00\x00eu.");
    bytes
}

fn cifar10_batch(file: u8, by_column: bool) -> Vec<u8> {
    pickle(&[
        data(3, by_column),
        labels("labels", &[file, file + 1, file + 2]),
    ])
}

fn write_cifar10(folder: &Path) {
    for (i, name) in (0..).zip(cifar10::PYTHON_FILES) {
        write(&folder.join(name), &cifar10_batch(i, i == 2));
    }
}

#[test]
fn python_version_of_cifar10_loads_plain_in_its_folder_and_packed() {
    let [plain, below, packed] = [(); 3].map(|()| tempdir().unwrap());
    write_cifar10(plain.path());
    write_cifar10(&below.path().join(cifar10::PYTHON_FOLDER));
    let files = (0..6).rev().map(|i| {
        let name = cifar10::PYTHON_FILES[usize::from(i)];
        let name = format!("{}/{name}", cifar10::PYTHON_FOLDER);
        (name, cifar10_batch(i, false))
    });
    let archive = packed.path().join(cifar10::PYTHON_ARCHIVE);
    write(&archive, &tar_gz(&files.collect::<Vec<_>>()));
    for dir in [plain, below, packed] {
        let split = load("cifar10", Some(dir.path())).unwrap();
        assert_eq!((split.train.len(), split.test.len()), (15, 3));
        assert_eq!(split.train.labels()[..4], [0, 1, 2, 1]);
        assert_eq!(split.test.labels(), [5, 6, 7]);
        // Of the third file, which one of the folders has column after column.
        for (row, i) in [(0, 6), (2, 8)] {
            let want: Vec<u8> = (0..3072).map(|column| pixel(row, column)).collect();
            assert_eq!(split.train.image(i).unwrap(), want);
        }
    }
}

#[test]
fn python_version_of_cifar100_has_fine_and_coarse_labels() {
    let dir = tempdir().unwrap();
    for name in cifar100::PYTHON_FILES {
        let fine = labels("fine_labels", &[99, 0]);
        let entries = [fine, labels("coarse_labels", &[19, 7]), data(2, false)];
        write(&dir.path().join(name), &pickle(&entries));
    }
    let fine = load("cifar100", Some(dir.path())).unwrap();
    let coarse = load("cifar100-coarse", Some(dir.path())).unwrap();
    assert_eq!(fine.train.labels(), [99, 0]);
    assert_eq!(coarse.test.labels(), [19, 7]);
    assert_eq!(fine.train.images().unwrap(), coarse.train.images().unwrap());
}

#[test]
fn pickles_that_are_none_of_cifars_are_refused_by_name() {
    let long = |entry: &[u8], times| pickle(&[entry.repeat(times)]);
    let label = labels("labels", &[1, 2, 3]);
    let cases: [(Vec<u8>, &str); 12] = [
        (b"\x80\x02cos\nsystem\nU\x02ls\x85R.".to_vec(), "os.system"),
        (
            b"\x80\x02cnumpy\nndarray\nU\x02ls\x85R.".to_vec(),
            "a call of another kind",
        ),
        (b"\x80\x04}.".to_vec(), "protocol 4"),
        (b"\x80\x02}".to_vec(), "its end"),
        (b"(dp0\nS'labels'\n.".to_vec(), "operation 0x64"),
        (b"".to_vec(), "its end"),
        (b"\x80\x02N.".to_vec(), "another value than a dictionary"),
        (
            b"\x80\x02T\xff\xff\xff\x7fabc.".to_vec(),
            "a string of 2147483647 bytes",
        ),
        (long(b"N0", 1), "operation 0x30"),
        (pickle(&[b")".repeat(100_000)]), "over 64 lists and tuples"),
        (pickle(&[data(3, false)]), "no list `labels`"),
        (
            pickle(&[data(2, false), label]),
            "`data` of shape [2, 3072]",
        ),
    ];
    let dir = tempdir().unwrap();
    write_cifar10(dir.path());
    let path = dir.path().join(cifar10::PYTHON_FILES[4]);
    for (bytes, says) in cases {
        write(&path, &bytes);
        let error = load("cifar10", Some(dir.path())).unwrap_err();
        assert_says(&error, &[path.to_str().unwrap(), "pickle", says]);
    }
    // A million operations that take next to no memory each, and then some.
    write(&path, &b"N".repeat(2 << 20));
    let error = load("cifar10", Some(dir.path())).unwrap_err();
    assert_says(&error, &["over 1048576 operations"]);
    write(&path, &pickle(&[data(1, false), labels("labels", &[10])]));
    let error = load("cifar10", Some(dir.path())).unwrap_err();
    assert_says(&error, &["label 0 of", path.to_str().unwrap(), "is 10"]);
}

#[test]
fn no_mutation_of_a_pickle_does_more_than_fail() {
    let dir = tempdir().unwrap();
    write_cifar10(dir.path());
    let path = dir.path().join(cifar10::PYTHON_FILES[0]);
    let whole = pickle(&[data(1, false), labels("labels", &[7])]);
    // All but the pixels, which are any bytes.
    let pixels = whole.windows(3).position(|w| w == b"\x89T\x00").unwrap() + 6..;
    let pixels = pixels.start..pixels.start + 3072;
    let mut random = Random(1);
    for round in 0..3000 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(random.below(whole.len())),
            _ => {
                for _ in 0..1 + random.below(3) {
                    let at = random.below(whole.len() - pixels.len());
                    let at = if at < pixels.start {
                        at
                    } else {
                        at + pixels.len()
                    };
                    bytes[at] = random.below(256) as u8;
                }
            }
        }
        write(&path, &bytes);
        match load("cifar10", Some(dir.path())) {
            Ok(split) => assert!(split.train.len() > 12),
            Err(DataError::Format { .. } | DataError::Label { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}
