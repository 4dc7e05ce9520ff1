//! Options of `train`: what it trains on, how it goes on, and what it exports.

use std::path::Path;

use crate::programs::{
    assert_says, classify_with, config, image, json, metrics, new_folder, ok, refused, short_run,
    trained, write_classes,
};

#[test]
fn a_validation_split_chooses_the_epoch_and_the_test_comes_last() {
    let folder = new_folder();
    let text = ok(short_run(folder.path()).args(["--val-split", "0.25", "--batch-size", "24"]));
    assert_says(&text, &["72 training, 24 validation and 40 test images"]);
    let epochs = metrics(folder.path(), "epoch");
    assert_eq!(epochs.len(), 2);
    for line in epochs {
        assert!(line["val_accuracy"].is_number(), "{line}");
        assert!(line.get("test_accuracy").is_none(), "{line}");
    }
    let test = metrics(folder.path(), "test");
    assert_eq!(test.len(), 1);
    let accuracy = test[0]["test_accuracy"].as_f64().expect("a number");
    let all = std::fs::read_to_string(folder.path().join("metrics.jsonl")).expect("written");
    let last = all.lines().last().expect("not empty");
    assert!(last.starts_with(r#"{"kind":"test","#), "{last}");
    let best = text
        .lines()
        .find(|line| line.starts_with("best     epoch "));
    let tested = format!(", test accuracy {:.2} %", 100.0 * accuracy);
    assert_says(
        best.expect("a summary"),
        &[": validation accuracy ", &tested],
    );
}

#[test]
fn patience_stops_a_run_that_gets_no_better() {
    let folder = new_folder();
    // Too small a rate to change any answer.
    let flags = ["--patience", "1", "--epochs", "9", "--lr", "1e-12"];
    let text = ok(short_run(folder.path()).args(flags));
    assert_says(
        &text,
        &[
            "stopped early: no better accuracy since epoch 1",
            "steps    6 in ",
            "next     ",
        ],
    );
    assert_eq!(metrics(folder.path(), "epoch").len(), 2);
}

#[test]
fn augmentation_is_chosen_by_flag_and_changes_the_run() {
    let folder = new_folder();
    // Mirrored gratings are gratings of another class, so `--augment` alone only moves them.
    for (name, flags, said, flip) in [
        ("auto", &["--augment"][..], "by up to 3 pixels\n", false),
        ("crop", &["--augment", "crop"], "by up to 3 pixels\n", false),
        (
            "both",
            &["--augment", "both"],
            "by up to 3 pixels, half of them mirrored\n",
            true,
        ),
    ] {
        let out = folder.path().join(name);
        let text = ok(short_run(&out).args(flags));
        assert_says(&text, &[&format!("augment  images moved {said}")]);
        let augment = &config(&out)["augment"];
        assert_eq!(
            (&augment["crop"], &augment["flip"]),
            (&3.into(), &flip.into())
        );
    }
    let last = |run: &Path| std::fs::read(run.join("last.safetensors")).expect("written");
    let [auto, crop, both] = ["auto", "crop", "both"].map(|name| last(&folder.path().join(name)));
    assert!(auto == crop && crop != both && crop != last(trained()));
    let error = refused(short_run(&folder.path().join("no")).args(["--augment", "spin"]));
    assert_says(
        &error,
        &["'spin'", "--augment", "none, auto, crop, flip, both"],
    );
}

#[test]
fn the_schedule_is_chosen_by_flag_and_changes_the_run() {
    let folder = new_folder();
    let last = ["constant", "cosine"].map(|name| {
        let out = folder.path().join(name);
        let text = ok(short_run(&out).args(["--warmup", "0", "--schedule", name]));
        assert_says(&text, &[&format!("learning rate 0.002 ({name}), 0 steps")]);
        assert_eq!(config(&out)["schedule"], name);
        std::fs::read(out.join("last.safetensors")).expect("written")
    });
    assert!(last[0] != last[1]);
    let error = refused(short_run(&folder.path().join("no")).args(["--schedule", "steps"]));
    assert_says(&error, &["'steps'", "--schedule", "constant, cosine"]);
}

#[test]
fn an_export_is_half_the_size_and_classifies() {
    let folder = new_folder();
    let (out, half) = (
        folder.path().join("run"),
        folder.path().join("half.safetensors"),
    );
    let text = ok(short_run(&out).arg("--export").arg(&half));
    assert_says(&text, &[&format!("{}, in 16-bit floats\n", half.display())]);
    let best = out.join("best.safetensors");
    let size = |path: &Path| path.metadata().expect("written").len();
    // The headers have a few digits more and less.
    let saved = size(&best) - size(&half);
    assert!((71_500..71_600).contains(&saved), "{saved}");
    let probability = |model| {
        let line = json(classify_with(model).arg(image())).remove(0);
        line["top"][0]["probability"].as_f64().expect("a number")
    };
    let (whole, rounded) = (probability(&best), probability(&half));
    assert!((whole - rounded).abs() < 1e-3, "{whole} {rounded}");
}

#[test]
fn a_folder_of_pictures_is_trained_on_and_its_classes_are_named() {
    let folder = new_folder();
    let (data, out) = (folder.path().join("halves"), folder.path().join("run"));
    write_classes(&data, 20);
    let mut command = short_run(&out);
    let flags = ["--batch-size", "8", "--epochs", "4", "--warmup", "0"];
    let text = ok(command.args(flags).arg("--dataset").arg(&data));
    assert_says(
        &text,
        &["data     folder: 32 training and 8 test images, 2 classes"],
    );
    let recorded = config(&out);
    assert_eq!(recorded["dataset"], "folder");
    assert_eq!(recorded["data_dir"].as_str(), data.to_str());
    let model = out.join("best.safetensors");
    for class in ["left", "right"] {
        let picture = data.join(class).join("0.png");
        let line = json(classify_with(&model).arg(picture)).remove(0);
        assert_eq!(line["top"][0]["class"], class, "{line}");
        assert_eq!(line["top"].as_array().map(Vec::len), Some(2));
    }
}
