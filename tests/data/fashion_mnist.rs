//! Fashion-MNIST from a folder and as installed.

use std::fs;
use std::path::Path;

use nin_wgpu::data::{fashion_mnist, load};
use tempfile::{TempDir, tempdir};

use crate::{assert_says, gzip, idx_bytes};

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
    assert_eq!(test.image(1).unwrap()[0], (784 % 251) as u8);
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
