//! The binary version of CIFAR-100, and what archives may not do.

use nin_wgpu::data::cifar100::{ARCHIVE, FILES, FOLDER};
use nin_wgpu::data::{DataError, load};
use tempfile::tempdir;

use crate::{assert_says, gzip, tar_gz, write};

/// Records of a coarse label, a fine one, and planes of one value each.
fn records(labels: &[[u8; 2]]) -> Vec<u8> {
    let record = |(i, labels): (usize, &[u8; 2])| {
        let planes = (0..3).flat_map(move |plane| [(10 * i + plane) as u8; 1024]);
        labels.iter().copied().chain(planes).collect::<Vec<u8>>()
    };
    labels.iter().enumerate().flat_map(record).collect()
}

fn train() -> Vec<u8> {
    records(&[[0, 99], [19, 0], [4, 50]])
}

#[test]
fn fine_and_coarse_labels_come_from_the_same_files_plain_or_packed() {
    let [plain, packed] = [(); 2].map(|()| tempdir().unwrap());
    let test = records(&[[3, 7]]);
    write(&plain.path().join(FILES[0]), &train());
    write(&plain.path().join(FOLDER).join(FILES[1]), &test);
    let files = [
        (format!("{FOLDER}/{}", FILES[1]), test),
        (format!("{FOLDER}/{}", FILES[0]), train()),
    ];
    write(&packed.path().join(ARCHIVE), &tar_gz(&files));
    for dir in [plain, packed] {
        let fine = load("cifar100", Some(dir.path())).unwrap();
        assert_eq!((fine.train.name(), fine.test.len()), ("cifar100", 1));
        assert_eq!(fine.train.labels(), [99, 0, 50]);
        assert_eq!(fine.test.labels(), [7]);
        let names = fine.train.classes();
        assert_eq!(
            (names.len(), &*names[0], &*names[99]),
            (100, "apple", "worm")
        );
        let image = fine.train.image(2).unwrap();
        assert_eq!([image[0], image[1024], image[3071]], [20, 21, 22]);

        let coarse = load("cifar100-coarse", Some(dir.path())).unwrap();
        assert_eq!(coarse.train.labels(), [0, 19, 4]);
        let names = coarse.train.classes();
        assert_eq!((names.len(), &*names[14]), (20, "people"));
    }
}

#[test]
fn cut_and_wrongly_labelled_files_are_refused_by_name() {
    let dir = tempdir().unwrap();
    write(&dir.path().join(FILES[1]), &records(&[[0, 0]]));
    let path = dir.path().join(FILES[0]);
    write(&path, &train()[..3074 + 5]);
    let error = load("cifar100", Some(dir.path())).unwrap_err();
    assert_says(&error, &[path.to_str().unwrap(), "3079 bytes", "3074"]);
    write(&path, &records(&[[20, 100]]));
    for (name, says) in [("cifar100", "is 100"), ("cifar100-coarse", "is 20")] {
        let error = load(name, Some(dir.path())).unwrap_err();
        assert_says(&error, &["label 0 of", path.to_str().unwrap(), says]);
    }
    std::fs::remove_file(&path).unwrap();
    let error = load("cifar100-coarse", Some(dir.path())).unwrap_err();
    assert_says(&error, &["lacks train.bin,", "cifar-100-python.tar.gz"]);
}

#[test]
fn archive_members_that_are_too_long_or_lie_elsewhere_take_no_memory() {
    let dir = tempdir().unwrap();
    let path = dir.path().join(ARCHIVE);
    // An entry of 3 TB, of which nothing is there.
    let mut header = tar::Header::new_gnu();
    header.set_path(format!("{FOLDER}/{}", FILES[0])).unwrap();
    header.set_size(3074 * 1_000_000_000);
    header.set_cksum();
    write(&path, &gzip(header.as_bytes()));
    let error = load("cifar100", Some(dir.path())).unwrap_err();
    assert!(matches!(error, DataError::TooLong { .. }), "{error:?}");
    assert_says(
        &error,
        &[FILES[0], "3074000000000 bytes", "153700000 at most"],
    );

    // Beside the folder, or no file: passed over.
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind) in [
        ("../train.bin", tar::EntryType::Regular),
        ("/train.bin", tar::EntryType::Regular),
        ("train.bin", tar::EntryType::Symlink),
    ] {
        let mut header = tar::Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(3074);
        header.set_cksum();
        tar.append(&header, records(&[[0, 0]]).as_slice()).unwrap();
    }
    write(&path, &gzip(&tar.into_inner().unwrap()));
    let error = load("cifar100", Some(dir.path())).unwrap_err();
    assert_says(&error, &["lacks train.bin, test.bin"]);
}
