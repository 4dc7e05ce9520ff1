//! Data sets by name, and what a [`Dataset`] holds.

use std::path::Path;

use nin_wgpu::data::{DATASETS, Dataset, Split, load};

use crate::assert_says;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|k| format!("class {k}")).collect()
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
fn an_outline_counts_its_bytes() {
    let set = Dataset::new("toy", vec![0; 36], vec![0, 1, 0], [2, 2, 3], names(2)).unwrap();
    assert_eq!(set.outline().bytes(), 36);
    assert!(!set.is_empty());
}

#[test]
fn what_is_held_out_follows_from_all_bits_of_the_seed_and_leaves_one() {
    let set = |len: u8| {
        let labels = vec![0; len.into()];
        Dataset::new(
            "toy",
            (0..len).collect::<Vec<u8>>(),
            labels,
            [1, 1, 1],
            names(1),
        )
        .unwrap()
    };
    let held = |len, count, seed| {
        let split = Split::new(set(len), set(1)).hold_out(count, seed);
        let pictures = |of: &Dataset| (0..of.len()).map(|i| of.image(i).unwrap()[0]).collect();
        let val: Vec<u8> = split.val.as_ref().map_or_else(Vec::new, pictures);
        (pictures(&split.train), val)
    };
    let (train, val): (Vec<u8>, _) = held(60, 20, 7);
    assert_eq!((train.len(), val.len()), (40, 20));
    assert_eq!((train.clone(), val), held(60, 20, 7));
    for other in [8, 7 + (1 << 32), 7 + (1 << 63)] {
        assert_ne!(train, held(60, 20, other).0, "seed {other}");
    }
    assert_eq!(held(2, 5, 7).1.len(), 1);
    assert_eq!(held(1, 1, 7), (vec![0], vec![]));
    assert_eq!(held(3, 0, 7), (vec![0, 1, 2], vec![]));
}

#[test]
fn data_set_refuses_what_does_not_fit_together() {
    let new = |images: usize, labels: &[u16], shape, classes| {
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
        (new(12, &[0, 1], [1, 2, 3], 0), ["classes 0", "1 to 65,536"]),
        (
            new(12, &[0, 1], [1, 2, 3], 65_537),
            ["classes 65537", "1 to 65,536"],
        ),
    ] {
        assert_says(&result.unwrap_err(), &parts);
    }
}

#[test]
fn limit_keeps_the_first_pictures_and_at_least_one() {
    let set = Dataset::new("toy", (0..12).collect(), vec![0, 1, 0], [1, 2, 2], names(2)).unwrap();
    assert_eq!(
        set.clone().limit(2).images().unwrap(),
        (0..8).collect::<Vec<u8>>()
    );
    assert_eq!(set.clone().limit(2).labels(), [0, 1]);
    assert_eq!(set.clone().limit(99).len(), set.len());
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
