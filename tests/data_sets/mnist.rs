//! MNIST, and the order in which places are searched.

use std::path::Path;

use nin_wgpu::data::{DataError, Loader, load, mnist, outline};
use tempfile::tempdir;

use crate::{assert_says, gzip, idx, write};

/// The four files cut down to these many pictures.
fn write_mnist(folder: &Path, train: u32, test: u32) {
    for (count, files) in [(train, &mnist::FILES[..2]), (test, &mnist::FILES[2..])] {
        let pixels: Vec<u8> = (0..count * 784).map(|i| (i % 251) as u8).collect();
        let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
        write(&folder.join(files[0]), &idx(&[count, 28, 28], &pixels));
        let labels = gzip(&idx(&[count], &labels));
        write(&folder.join(format!("{}.gz", files[1])), &labels);
    }
}

#[test]
fn mnist_loads_digits_from_a_folder() {
    let dir = tempdir().unwrap();
    write_mnist(dir.path(), 12, 5);
    let split = load("mnist", Some(dir.path())).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (12, 5));
    assert_eq!(split.train.name(), "mnist");
    assert_eq!(split.train.classes()[7], "7");
    assert_eq!(split.train.labels()[11], 1);
    assert_eq!(split.test.image(1).unwrap()[0], (784 % 251) as u8);
}

#[test]
fn file_names_with_a_dot_are_found_too() {
    let dir = tempdir().unwrap();
    write_mnist(dir.path(), 3, 3);
    let dotted = dir.path().join("train-images.idx3-ubyte");
    std::fs::rename(dir.path().join(mnist::FILES[0]), dotted).unwrap();
    assert_eq!(load("mnist", Some(dir.path())).unwrap().train.len(), 3);
}

#[test]
fn images_in_place_of_labels_are_told_by_their_magic_number() {
    let dir = tempdir().unwrap();
    write_mnist(dir.path(), 3, 3);
    let labels = dir.path().join(format!("{}.gz", mnist::FILES[3]));
    write(&labels, &idx(&[3, 28, 28], &[0; 3 * 784]));
    let error = load("mnist", Some(dir.path())).unwrap_err();
    assert_says(
        &error,
        &[labels.to_str().unwrap(), "0x00000803", "0x00000801"],
    );
}

#[test]
fn given_folder_comes_before_the_systems_and_that_before_the_cache() {
    let dir = tempdir().unwrap();
    let [given, system, cache] = ["given", "system", "cache"].map(|name| dir.path().join(name));
    let train_len = |data_dir: Option<&Path>| {
        let loader = Loader::new("mnist").data_dir(data_dir);
        let split = loader.system_dir(&system).cache_dir(&cache).load();
        split.map(|split| split.train.len())
    };
    write_mnist(&given, 1, 1);
    assert!(matches!(
        train_len(None),
        Err(DataError::NotInstalled { .. })
    ));
    write_mnist(&cache.join("mnist"), 3, 1);
    assert_eq!(train_len(None).unwrap(), 3);
    write_mnist(&system.join("mnist"), 2, 1);
    assert_eq!(train_len(None).unwrap(), 2);
    assert_eq!(train_len(Some(&given)).unwrap(), 1);
    // A place without all files is passed over, but not the folder given.
    std::fs::remove_file(system.join("mnist").join(mnist::FILES[0])).unwrap();
    assert_eq!(train_len(None).unwrap(), 3);
    std::fs::remove_file(given.join(mnist::FILES[0])).unwrap();
    let error = train_len(Some(&given)).unwrap_err();
    assert_says(&error, &[given.to_str().unwrap(), mnist::FILES[0]]);
}

#[test]
fn set_found_nowhere_names_the_places_the_files_and_where_they_are_published() {
    let dir = tempdir().unwrap();
    for (name, parts) in [
        (
            "mnist",
            ["t10k-labels-idx1-ubyte", "https://", "mnist in a"],
        ),
        (
            "cifar10",
            ["data_batch_1.bin", "cifar-10-binary.tar.gz", "~kriz"],
        ),
        (
            "fashion-mnist",
            [
                "t10k-labels-idx1-ubyte",
                "zalandoresearch",
                "apt-get install",
            ],
        ),
    ] {
        let loader = Loader::new(name).system_dir(dir.path().join("system"));
        let error = loader.cache_dir(dir.path().join("cache")).load();
        let error = error.unwrap_err();
        let places = ["system", "cache"].map(|place| dir.path().join(place).join(name));
        assert_says(&error, &parts);
        assert_says(&error, &places.each_ref().map(|p| p.to_str().unwrap()));
        assert_says(&error, &[name, "--data-dir"]);
    }
}

#[test]
fn outlines_are_known_without_files() {
    for (name, len, image, classes) in [
        ("mnist", 60_000, [1, 28, 28], 10),
        ("fashion-mnist", 60_000, [1, 28, 28], 10),
        ("kmnist", 60_000, [1, 28, 28], 10),
        ("emnist-balanced", 112_800, [1, 28, 28], 47),
        ("emnist-byclass", 697_932, [1, 28, 28], 62),
        ("emnist-bymerge", 697_932, [1, 28, 28], 47),
        ("emnist-digits", 240_000, [1, 28, 28], 10),
        ("emnist-letters", 124_800, [1, 28, 28], 26),
        ("emnist-mnist", 60_000, [1, 28, 28], 10),
        ("cifar10", 50_000, [3, 32, 32], 10),
        ("cifar100", 50_000, [3, 32, 32], 100),
        ("cifar100-coarse", 50_000, [3, 32, 32], 20),
        ("svhn", 73_257, [3, 32, 32], 10),
        ("synthetic", 6_000, [1, 28, 28], 10),
    ] {
        let outline = outline(name).unwrap();
        assert_eq!((outline.len, outline.image), (len, image), "{name}");
        assert_eq!(outline.classes, classes, "{name}");
    }
    for name in ["folder", "idx"] {
        let error = outline(name).unwrap_err();
        assert_says(&error, &[&format!("`{name}`"), "--data-dir"]);
    }
}
