//! Sets of pictures that are made up in an unusual way: each trains, or says what is the matter and which flag mends it.

use std::path::Path;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use nin_wgpu::checkpoint;

use crate::made::{photo, save};
use crate::programs::{
    assert_says, classify_with, example, json, metrics, new_folder, ok, refused, train_on,
};

/// Grey pictures of one class, stored in grey.
fn write_greys(folder: &Path, side: u32, count: u8) {
    for i in 0..count {
        let picture = GrayImage::from_fn(side, side, |x, y| Luma([i + (x * 3 + y * 5) as u8]));
        save(picture, &folder.join(format!("{i}.png")), ImageFormat::Png);
    }
}

#[test]
fn colour_in_a_few_pictures_makes_a_set_in_colour_whatever_the_seed() {
    let folder = new_folder();
    let data = folder.path().join("data");
    // Stored in colour, and grey all the same.
    for (class, count) in [("some", 95), ("more", 90)] {
        for i in 0..count {
            let picture = RgbImage::from_pixel(28, 28, Rgb([30 + i % 26; 3]));
            let path = data.join(format!("{class}/{i}.png"));
            save(picture, &path, ImageFormat::Png);
        }
    }
    let said = |seed: &str, name: &str| {
        let out = folder.path().join(format!("{name} {seed}"));
        ok(train_on(&data, &out).args(["--max-steps", "1", "--seed", seed]))
    };
    for seed in ["1", "2"] {
        assert_says(&said(seed, "grey"), &["pictures of 28x28, grey"]);
    }
    for i in 0..5 {
        let picture = RgbImage::from_pixel(28, 28, Rgb([200, 0, 0]));
        let path = data.join(format!("more/red {i}.png"));
        save(picture, &path, ImageFormat::Png);
    }
    for seed in ["1", "2"] {
        assert_says(&said(seed, "colour"), &["pictures of 28x28, in colour"]);
        let best = folder
            .path()
            .join(format!("colour {seed}/best.safetensors"));
        let (_, metadata) = checkpoint::load_trained(&best).expect("whole");
        assert_eq!(metadata.image, [3, 28, 28]);
    }
}

#[test]
fn a_rare_class_is_on_each_side_of_a_split_and_one_that_cannot_be_is_told_of() {
    let folder = new_folder();
    let data = folder.path().join("data");
    for (class, count) in [("a", 95), ("b", 95), ("rare", 3)] {
        write_greys(&data.join(class), 28, count);
    }
    let said = |flags: &str| {
        let out = folder.path().join(flags);
        let mut command = train_on(&data, &out);
        ok(command
            .args(flags.split_whitespace())
            .args(["--max-steps", "1"]))
    };
    for seed in ["1", "2", "3"] {
        // Of three one is left to test on ...
        assert_says(
            &said(&format!("--seed {seed}")),
            &["154 training and 39 test images", "classes of 2 (rare)"],
        );
        // ... and of the two others one to choose the best epoch by.
        assert_says(
            &said(&format!("--val-split 0.5 --seed {seed}")),
            &[
                "77 training, 77 validation and 39 test images",
                "classes of 1 (rare)",
            ],
        );
    }
    std::fs::remove_file(data.join("rare/0.png")).expect("removed");
    assert_says(
        &said("--val-split 0.5 --batch-size 4"),
        &[
            "76 training, 77 validation and 39 test images",
            "no picture of 1 class: rare",
        ],
    );
    std::fs::remove_file(data.join("rare/1.png")).expect("removed");
    assert_says(
        &said("--batch-size 2"),
        &["1 class with 1 picture only", "not tested: rare"],
    );
}

#[test]
fn pictures_that_are_too_small_for_a_network_train_with_the_flag_that_the_message_names() {
    let folder = new_folder();
    let data = folder.path().join("data");
    for class in ["a", "b"] {
        write_greys(&data.join(class), 8, 20);
    }
    let error = refused(&mut train_on(&data, &folder.path().join("none")));
    assert_says(&error, &["8x8 pictures", "a larger image"]);
    assert!(!folder.path().join("none").exists());
    let (_, mend) = error.split_once("(--image-size ").expect("a flag");
    let (size, _) = mend.split_once(' ').expect("a value");
    let mut command = train_on(&data, &folder.path().join("run"));
    let text = ok(command.args(["--image-size", size]));
    assert_says(&text, &["pictures of 28x28, grey", "test accuracy"]);
}

#[test]
fn a_channel_that_never_changes_trains_to_a_finite_loss_when_normalised() {
    let folder = new_folder();
    let data = folder.path().join("data");
    for (class, base) in [("dim", 40), ("lit", 160)] {
        for i in 0..40 {
            let picture = RgbImage::from_fn(28, 28, |x, y| {
                let grain = ((x * 7 + y * 13 + i * 31) % 41) as u8;
                Rgb([base + grain, base + 40 - grain, 0])
            });
            let path = data.join(format!("{class}/{i}.png"));
            save(picture, &path, ImageFormat::Png);
        }
    }
    let out = folder.path().join("run");
    let mut command = train_on(&data, &out);
    let text = ok(command.args(["--normalize", "--epochs", "3", "--log-every", "1"]));
    assert_says(&text, &["in colour", "steps    24 in "]);
    let steps = metrics(&out, "step");
    assert_eq!(steps.len(), 24);
    for line in &steps {
        // What is no number is written as null.
        let loss = line["loss"].as_f64().expect("a number");
        assert!(loss.is_finite() && loss < 20.0, "{line}");
    }
    let (_, metadata) = checkpoint::load_trained(&out.join("best.safetensors")).expect("whole");
    let [(_, red), _, (blue, _)] = metadata.normalize[..] else {
        panic!("{:?}", metadata.normalize);
    };
    assert!(red > 0.0 && blue == 0.0, "{:?}", metadata.normalize);
    // And it is of use.
    let mut classify = classify_with(&out.join("best.safetensors"));
    for answer in json(classify.arg(data.join("lit"))) {
        assert!(answer["top"][0]["probability"].is_number(), "{answer}");
        assert_eq!(answer["top"][0]["class"], "lit", "{answer}");
    }
}

#[test]
fn a_checkpoint_to_start_from_brings_its_normalisation_and_that_is_said() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    for (set, base) in [("first", 0), ("second", 40)] {
        for class in ["cat", "dog"] {
            for i in 0..12 {
                let file = path(set).join(format!("{class}/{i}.png"));
                save(photo(28, 28, base + i), &file, ImageFormat::Png);
            }
        }
    }
    let normalised_by = |run: &str| {
        let last = path(run).join("last.safetensors");
        let (_, metadata) = checkpoint::load_trained(&last).expect("whole");
        metadata.normalize
    };
    ok(train_on(&path("first"), &path("init")).arg("--normalize"));
    let of_init = normalised_by("init");
    assert!(of_init.iter().all(|&of| of != (0.0, 1.0)), "{of_init:?}");
    let file = path("init").join("best.safetensors");
    let named = file.display().to_string();

    let mut command = train_on(&path("second"), &path("kept"));
    let text = ok(command.arg("--init").arg(&file));
    assert_says(
        &text,
        &["input normalised as that of", &named, "--normalize"],
    );
    assert_eq!(normalised_by("kept"), of_init);

    let mut command = train_on(&path("second"), &path("own"));
    let text = ok(command.arg("--normalize").arg("--init").arg(&file));
    assert_says(&text, &["input normalised by", "was trained with", &named]);
    assert_ne!(normalised_by("own"), of_init);

    // A run that is stopped and taken up keeps it too.
    let mut command = train_on(&path("second"), &path("again"));
    let command = command.args(["--max-steps", "1"]);
    ok(command.arg("--init").arg(&file));
    let mut resume = example("train");
    resume.args(["--device", "cpu", "--cache", "off", "--resume"]);
    assert_says(&ok(resume.arg(path("again"))), &["resumed after step 1"]);
    assert_eq!(normalised_by("again"), of_init);
    let read = |run: &str| std::fs::read(path(run).join("last.safetensors")).expect("written");
    assert!(read("again") == read("kept"), "it trained on other pixels");
}

#[test]
fn a_table_may_have_as_many_labels_as_can_be_told_apart_and_no_more() {
    let folder = new_folder();
    let table = folder.path().join("table.csv");
    let write = |labels: u32| {
        let lines = (0..labels).map(|i| format!("{i}.png,label {i}\n"));
        let text: String = std::iter::once("path,label\n".to_owned())
            .chain(lines)
            .collect();
        std::fs::write(&table, text).expect("written");
        refused(&mut train_on(&table, &folder.path().join("run")))
    };
    let named = table.display().to_string();
    assert_says(
        &write(65_537),
        &[&named, "65537 different labels", "want 2 to 65,536"],
    );
    // As many as there can be are no fault; that no picture is there is one.
    let error = write(65_536);
    assert_says(
        &error,
        &[&named, "line 2: ", "0.png is not there", "65535 more"],
    );
    assert!(!folder.path().join("run").exists());
}
