//! Folders of pictures: shapes, parts, and what is wrong with them.

use std::fs;
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma, Rgb, RgbImage};
use nin_wgpu::data::image_file::Invert;
use nin_wgpu::data::{DataError, Dataset, Loader, load};
use tempfile::{TempDir, tempdir};

use crate::{assert_says, write};

/// Saves a grey picture of one value.
fn grey(path: PathBuf, width: u32, height: u32, value: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let picture = GrayImage::from_pixel(width, height, Luma([value]));
    picture.save(path).unwrap();
}

/// Classes `a` and `b`; each picture has its own value: 0, 1, … and 100, 101, ….
fn two_classes(a: u8, b: u8) -> TempDir {
    let dir = tempdir().unwrap();
    for (class, first, count) in [("a", 0, a), ("b", 100, b)] {
        for i in 0..count {
            let path = dir.path().join(class).join(format!("{i:02}.png"));
            grey(path, 8, 6, first + i);
        }
    }
    dir
}

/// The value of each picture, in order.
fn values(set: &Dataset) -> Vec<u8> {
    (0..set.len()).map(|i| set.image(i).unwrap()[0]).collect()
}

fn shape(set: &Dataset) -> [usize; 3] {
    [set.channels(), set.height(), set.width()]
}

#[test]
fn each_class_is_split_by_seed_without_loss() {
    let dir = two_classes(10, 5);
    let split = load("folder", Some(dir.path())).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (12, 3));
    assert_eq!(split.train.classes(), ["a", "b"]);
    assert_eq!(shape(&split.train), [1, 6, 8]);
    let count_b = split.test.labels().iter().filter(|&&l| l == 1).count();
    assert_eq!(count_b, 1, "a fifth of each class");
    for set in [&split.train, &split.test] {
        for (value, label) in values(set).into_iter().zip(set.labels()) {
            assert_eq!(label, u16::from(value >= 100));
        }
    }
    let mut all = [values(&split.train), values(&split.test)].concat();
    all.sort_unstable();
    assert_eq!(all, (0..10).chain(100..105).collect::<Vec<u8>>());
}

#[test]
fn same_seed_gives_the_same_parts_and_another_seed_others() {
    let dir = two_classes(20, 20);
    let order = |seed| {
        let loader = Loader::new("folder").data_dir(Some(dir.path()));
        let split = loader.seed(seed).load().unwrap();
        (values(&split.train), values(&split.test))
    };
    let (train, test) = order(7);
    assert_eq!(order(7), (train.clone(), test.clone()));
    let (other_train, mut other_test) = order(8);
    assert_ne!(train, other_train);
    let mut test = test;
    test.sort_unstable();
    other_test.sort_unstable();
    assert_ne!(test, other_test);
    assert!(
        train[..16].iter().any(|&v| v < 100) && train[..16].iter().any(|&v| v >= 100),
        "a leading part holds both classes: {train:?}"
    );
}

#[test]
fn train_and_test_folders_are_kept_as_they_lie() {
    let dir = tempdir().unwrap();
    for (path, value) in [
        ("train/cat/1.png", 10),
        ("train/dog/1.png", 20),
        ("train/dog/2.png", 21),
        ("test/dog/1.png", 22),
        ("valid/cat/1.png", 99),
    ] {
        grey(dir.path().join(path), 4, 4, value);
    }
    let split = load("folder", Some(dir.path())).unwrap();
    let mut train = values(&split.train);
    train.sort_unstable();
    assert_eq!(train, [10, 20, 21]);
    assert_eq!(split.test.labels(), [1]);
    assert_eq!(split.train.classes(), ["cat", "dog"]);
    assert_eq!(split.test.classes(), ["cat", "dog"]);
}

#[test]
fn pictures_of_several_sizes_become_32_by_32_and_colour_gives_three_planes() {
    let dir = two_classes(4, 4);
    grey(dir.path().join("a/wide.png"), 50, 10, 50);
    let split = load("folder", Some(dir.path())).unwrap();
    assert_eq!(shape(&split.test), [1, 32, 32]);

    let red = RgbImage::from_pixel(8, 6, Rgb([200, 10, 20]));
    red.save(dir.path().join("b/red.png")).unwrap();
    let split = load("folder", Some(dir.path())).unwrap();
    assert_eq!(shape(&split.train), [3, 32, 32]);
}

#[test]
fn large_pictures_of_one_size_become_32_by_32() {
    let dir = tempdir().unwrap();
    for i in 0..2 {
        grey(dir.path().join(format!("a/{i}.png")), 65, 20, 1);
        grey(dir.path().join(format!("b/{i}.png")), 65, 20, 2);
    }
    let split = load("folder", Some(dir.path())).unwrap();
    assert_eq!(shape(&split.train), [1, 32, 32]);
}

#[test]
fn shape_and_inversion_can_be_asked_for() {
    let dir = two_classes(2, 2);
    let loader = Loader::new("folder").data_dir(Some(dir.path()));
    let split = loader.shape([3, 5, 7]).invert(Invert::Yes).load().unwrap();
    assert_eq!(shape(&split.train), [3, 5, 7]);
    assert!(values(&split.train).iter().all(|&value| value >= 150));
}

#[test]
fn light_and_dark_are_swapped_if_most_pictures_are_dark_on_light() {
    for (bright, swapped) in [(2, false), (3, true)] {
        let dir = two_classes(2, 0);
        for i in 0..bright {
            grey(dir.path().join(format!("b/{i}.png")), 8, 6, 250);
        }
        let split = load("folder", Some(dir.path())).unwrap();
        let values = [values(&split.train), values(&split.test)].concat();
        let dark = if swapped { 5 } else { 0 };
        assert!(
            values.contains(&dark),
            "{bright} bright of two more: {values:?}"
        );
    }
}

#[test]
fn pictures_that_are_all_grey_have_one_plane_in_every_format() {
    let dir = two_classes(0, 0);
    let path = |class: &str, i| dir.path().join(class).join(format!("{i}.jpg"));
    for (class, i) in ["a", "b"]
        .into_iter()
        .flat_map(|class| [(class, 0), (class, 1)])
    {
        grey(path(class, i), 8, 6, 90);
    }
    let split = load("folder", Some(dir.path())).unwrap();
    assert_eq!(shape(&split.train), [1, 6, 8]);
    let colours = RgbImage::from_pixel(8, 6, Rgb([200, 10, 20]));
    colours.save(path("a", 2)).unwrap();
    let split = load("folder", Some(dir.path())).unwrap();
    assert_eq!(shape(&split.train), [3, 6, 8]);
}

#[test]
fn folders_to_validate_with_are_named_where_there_are_none_to_test_on() {
    let dir = tempdir().unwrap();
    for class in ["train/a", "train/b", "train/c", "Valid/a", "Valid/b"] {
        for i in 0..2 {
            grey(dir.path().join(class).join(format!("{i}.png")), 8, 6, i);
        }
    }
    let split = load("folder", Some(dir.path())).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (6, 4));
    let notes = split.notes.join("\n");
    for says in [
        "no test/: Valid/ is what the best epoch is chosen by",
        "Valid/ has no picture of 1 class: c",
    ] {
        assert!(notes.contains(says), "{says} in {notes}");
    }
}

#[test]
fn a_table_says_which_part_a_picture_belongs_to() {
    let dir = two_classes(3, 3);
    let table = dir.path().join("table.csv");
    let sorted = |set: &Dataset| {
        let mut values = values(set);
        values.sort_unstable();
        values
    };
    let load_lines = |parts: [&str; 6]| {
        let lines = parts.iter().enumerate().map(|(i, part)| {
            let class = ["a", "b"][i % 2];
            format!("{class}/{:02}.png,{class},{part}\n", i / 2)
        });
        let text = std::iter::once("path,label,split\n".to_owned()).chain(lines);
        write(&table, text.collect::<String>().as_bytes());
        let split = Loader::at(table.to_str().unwrap()).load().unwrap();
        let val = split.val.as_ref().map(sorted);
        (sorted(&split.train), val, sorted(&split.test), split.notes)
    };
    let (train, val, test, _) = load_lines(["train", "train", "val", "val", "test", "test"]);
    assert_eq!(
        (train, val, test),
        (vec![0, 100], Some(vec![1, 101]), vec![2, 102])
    );
    let (train, val, test, _) = load_lines(["train", "train", "train", "train", "test", "test"]);
    assert_eq!(
        (train, val, test),
        (vec![0, 1, 100, 101], None, vec![2, 102])
    );
    let (_, val, test, notes) = load_lines(["train", "train", "train", "train", "val", "val"]);
    assert_eq!((val, test), (None, vec![2, 102]));
    assert!(
        notes.iter().any(|note| note.starts_with("no test lines")),
        "{notes:?}"
    );
}

#[test]
fn other_and_hidden_files_are_passed_over() {
    let dir = two_classes(2, 2);
    write(&dir.path().join("notes.txt"), b"not a class");
    write(&dir.path().join("a/labels.csv"), b"not a picture");
    write(&dir.path().join("a/.hidden.png"), b"not a picture");
    write(&dir.path().join(".cache/1.png"), b"not a picture");
    write(&dir.path().join("a/more.csv"), b"nor this");
    let split = load("folder", Some(dir.path())).unwrap();
    let notes = split.notes.join("\n");
    assert!(
        notes.contains("2 files with other endings (.csv 2), 2 hidden"),
        "{notes}"
    );
    assert_eq!(split.train.len() + split.test.len(), 4);
    assert_eq!(split.train.classes(), ["a", "b"]);
}

/// Each folder once: a link to one above would lead round for ever.
#[cfg(unix)]
#[test]
fn links_that_lead_round_in_a_circle_end() {
    use std::os::unix::fs::symlink;

    let dir = two_classes(2, 2);
    let inside = |path: &str| dir.path().join(path);
    symlink(dir.path(), inside("a/up")).unwrap();
    symlink(inside("a/itself"), inside("a/itself")).unwrap();
    symlink(inside("b"), inside("b/again")).unwrap();
    let split = load("folder", Some(dir.path())).unwrap();
    let left_out: Vec<_> = split.left_out.iter().map(|(path, _)| path).collect();
    for path in ["a/itself", "b/again"] {
        assert!(
            left_out.iter().any(|left| left.ends_with(path)),
            "{path} in {left_out:?}"
        );
    }
    assert_eq!(split.train.classes(), ["a", "b"]);
}

#[test]
fn text_named_like_a_picture_is_named() {
    let dir = two_classes(2, 2);
    let path = dir.path().join("b/note.png");
    write(&path, b"Dear diary");
    // It is found when its picture is wanted, among those of its part.
    let split = load("folder", Some(dir.path())).unwrap();
    let parts = [&split.train, &split.test].map(Dataset::images);
    let error = parts
        .into_iter()
        .find_map(Result::err)
        .expect("one is broken");
    assert!(matches!(error, DataError::Picture { .. }), "{error:?}");
    assert_says(&error, &[path.to_str().unwrap(), "cannot decode"]);
}

#[test]
fn folder_without_two_classes_says_how_many_it_has() {
    let dir = tempdir().unwrap();
    let says = |count: &str| {
        let error = load("folder", Some(dir.path())).unwrap_err();
        assert_says(
            &error,
            &[
                dir.path().to_str().unwrap(),
                count,
                "2 to 65,536",
                "pets/cat/1.jpg",
            ],
        );
    };
    says("0 folders");
    grey(dir.path().join("1.png"), 4, 4, 0);
    says("1 picture in no class folder");
    grey(dir.path().join("cat/1.png"), 4, 4, 0);
    says("1 picture in no class folder");
}

#[test]
fn class_without_pictures_is_named() {
    let dir = two_classes(2, 2);
    let empty = dir.path().join("c");
    write(&empty.join("nested/1.txt"), b"no picture");
    let error = load("folder", Some(dir.path())).unwrap_err();
    assert_says(&error, &[empty.to_str().unwrap(), "no pictures", "png"]);
}

#[test]
fn class_to_test_on_that_is_not_trained_on_is_named_with_the_known_ones() {
    let dir = tempdir().unwrap();
    for path in ["train/cat/1.png", "train/dog/1.png", "test/cow/1.png"] {
        grey(dir.path().join(path), 4, 4, 0);
    }
    let error = load("folder", Some(dir.path())).unwrap_err();
    let [cow, train] = ["test/cow", "train"].map(|path| dir.path().join(path));
    assert_says(
        &error,
        &[
            cow.to_str().unwrap(),
            train.to_str().unwrap(),
            "one of: cat, dog",
        ],
    );
    fs::remove_dir_all(cow).unwrap();
    let error = load("folder", Some(dir.path())).unwrap_err();
    assert_says(&error, &["test has no class folder"]);
}

#[test]
fn one_picture_a_class_leaves_none_to_test_on() {
    let dir = two_classes(1, 1);
    let error = load("folder", Some(dir.path())).unwrap_err();
    assert_says(
        &error,
        &[dir.path().to_str().unwrap(), "1 picture", "at least 2"],
    );
}

#[test]
fn folder_must_be_given_and_exist() {
    assert_says(&load("folder", None).unwrap_err(), &["--data-dir"]);
    let error = load("folder", Some(Path::new("/no/such/folder"))).unwrap_err();
    assert_says(&error, &["/no/such/folder", "does not exist"]);
}
