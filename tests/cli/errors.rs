//! What can be wrong with flags, files and devices: each is refused with one message that names it and the mend.

use std::path::{Path, PathBuf};

use nin_wgpu::checkpoint::{self, Metadata};

use crate::made::{Kind, black_png};
use crate::programs::{
    assert_says, classify, classify_with, contents, example, image, named_bad, new_folder, ok,
    refused, short_run, trained, without_drivers, write_classes,
};

#[test]
fn bad_flags_are_refused_with_one_message_that_names_the_mend() {
    let folder = new_folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").expect("written");
    let (file, below) = (
        file.display().to_string(),
        file.join("run").display().to_string(),
    );
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--model", "resnet"],
            &["unknown model `resnet`", "nin-small"],
        ),
        (
            &["--dataset", "imagenet"],
            &[
                "--dataset",
                "unknown data set `imagenet`",
                "fashion-mnist",
                "or a folder",
            ],
        ),
        (
            &["--device", "cuda"],
            &["unknown device `cuda`", "software or cpu"],
        ),
        (
            &["--device", "gpu:9"],
            &[
                "--device gpu:9",
                "no adapter gpu:9 found",
                "this machine has",
                "--device cpu",
            ],
        ),
        (
            &["--batch-size", "0"],
            &["'0'", "--batch-size", "at least 1"],
        ),
        (
            &["--batch-size", "-4"],
            &["'-4'", "--batch-size", "at least 1"],
        ),
        (
            &["--batch-size", "97"],
            &[
                "a batch of 97 is larger than the 96 training images",
                "smaller --batch-size",
            ],
        ),
        (&["--epochs", "0"], &["'0'", "--epochs", "at least 1"]),
        (
            &["--epochs", "two"],
            &["'two'", "--epochs", "a whole number"],
        ),
        (&["--max-steps", "0"], &["'0'", "--max-steps", "at least 1"]),
        (&["--log-every", "0"], &["'0'", "--log-every", "at least 1"]),
        (&["--patience", "0"], &["'0'", "--patience", "at least 1"]),
        (
            &["--limit-train", "0"],
            &["'0'", "--limit-train", "at least 1"],
        ),
        (&["--lr", "NaN"], &["'NaN'", "--lr", "a number above 0"]),
        (&["--lr", "inf"], &["'inf'", "--lr", "a number above 0"]),
        (&["--lr", "-0.1"], &["'-0.1'", "--lr", "a number above 0"]),
        (&["--lr=-0.1"], &["'-0.1'", "--lr", "a number above 0"]),
        (&["--lr", "fast"], &["'fast'", "--lr", "such as 0.001"]),
        (
            &["--val-split", "1"],
            &["'1'", "--val-split", "between 0 and 1"],
        ),
        (
            &["--val-split", "-0.1"],
            &["'-0.1'", "--val-split", "between 0 and 1"],
        ),
        (
            &["--label-smoothing", "1"],
            &["'1'", "--label-smoothing", "below 1"],
        ),
        (
            &["--label-smoothing", "-0.1"],
            &["'-0.1'", "--label-smoothing", "at least 0"],
        ),
        (
            &["--class-weights", "1,-2"],
            &["'1,-2'", "--class-weights", "balanced"],
        ),
        (
            &["--class-weights", "1,2"],
            &["--class-weights: 2 class weights for", "one for each"],
        ),
        (
            &["--data-dir", "/nonexistent"],
            &[
                "`synthetic` is not read from files",
                "/nonexistent",
                "leave out",
            ],
        ),
        (
            &["--dataset", "fashion-mnist", "--data-dir", "/nonexistent"],
            &["data folder /nonexistent does not exist", "check the path"],
        ),
        (
            &["--init", "/nonexistent.safetensors"],
            &["--init: cannot read checkpoint /nonexistent.safetensors, check the path"],
        ),
        (
            &["--out", &file],
            &["--out: cannot write", &file, "it is a file, name a folder"],
        ),
        (
            &["--out", &below],
            &[
                "--out: cannot write",
                &below,
                "a part of the path is a file",
            ],
        ),
    ];
    for (flags, parts) in cases {
        let mut command = short_run(&folder.path().join("run"));
        assert_says(&refused(command.args(*flags)), parts);
    }
    let left = contents(folder.path());
    assert!(
        left.into_iter().eq([(file.into(), b"mine".to_vec())]),
        "something was written"
    );
}

#[test]
fn without_a_driver_the_plan_is_printed_and_the_cpu_trains() {
    let mut plan = example("train");
    let text = ok(without_drivers(plan.args(["--model", "nin", "--plan"])));
    let last = text.lines().last().expect("not empty");
    assert!(
        last.contains(" dispatches, ") && last.contains(" GFLOP"),
        "{last}"
    );
    let on_cpu = ["--model", "nin", "--device", "cpu", "--plan"];
    let fast = ok(without_drivers(example("train").args(on_cpu)));
    assert_says(
        &fast,
        &[
            "conv2d.wgrad",
            "winograd F(3,5)",
            " MB (values ",
            ", scratch of ",
        ],
    );
    let precise = ok(without_drivers(
        example("train").args(on_cpu).arg("--precise"),
    ));
    assert!(!precise.contains("winograd"), "{precise}");

    let folder = new_folder();
    let text = ok(without_drivers(
        short_run(folder.path()).args(["--device", "auto"]),
    ));
    assert_says(&text, &["device   CPU, "]);
    for device in ["gpu", "software"] {
        let error = refused(without_drivers(example("train").args(["--device", device])));
        let flag = format!("--device {device}: no ");
        assert_says(
            &error,
            &[&flag, "no adapter at all", "install", "`--device cpu`"],
        );
    }
}

#[test]
fn bad_pictures_are_refused_with_one_message_that_names_the_file() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text.png"), "not a picture").expect("written");
    std::fs::write(path("empty.png"), "").expect("written");
    std::fs::write(path("huge.png"), black_png(20_000, 20_000, Kind::Grey, 1)).expect("written");
    std::fs::create_dir(path("folder")).expect("made");
    assert_eq!(
        image::image_dimensions(path("huge.png")).ok(),
        Some((20_000, 20_000))
    );
    let before = contents(folder.path());
    for (name, parts) in [
        ("missing.png", &["cannot read", "check the path"][..]),
        ("text.png", &["cannot decode", "want a whole png"]),
        ("empty.png", &["cannot decode", "want a whole png"]),
        (
            "huge.png",
            &["20000x20000 pixels", "1 to 16384", "scale it first"],
        ),
        (
            "folder",
            &["holds no pictures", "want files that end in .png"],
        ),
    ] {
        let mut command = classify();
        command.arg(image()).arg(path(name));
        let error = match name {
            // Before a picture is looked at.
            "folder" => refused(&mut command),
            _ => named_bad(&mut command),
        };
        assert_says(&error, parts);
        assert_says(&error, &[&path(name).display().to_string()]);
    }
    assert!(contents(folder.path()) == before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_huge_picture_takes_no_memory() {
    let folder = new_folder();
    let path = folder.path().join("huge.png");
    std::fs::write(&path, black_png(20_000, 20_000, Kind::Grey, 1)).expect("written");
    // The pixels alone would take 400 MB, a byte each.
    let mut limited = std::process::Command::new("sh");
    limited.args(["-c", "ulimit -v 300000; exec \"$0\" \"$@\""]);
    let classify = classify();
    limited
        .arg(classify.get_program())
        .args(classify.get_args());
    assert_says(&named_bad(limited.arg(path)), &["20000x20000 pixels"]);
}

#[test]
fn bad_data_is_refused_with_one_message_that_names_the_file_or_folder() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    let idx = [
        "train-images-idx3",
        "train-labels-idx1",
        "t10k-images-idx3",
        "t10k-labels-idx1",
    ];
    std::fs::create_dir(path("zero")).expect("made");
    for name in idx {
        std::fs::write(path("zero").join(format!("{name}-ubyte.gz")), "").expect("written");
    }
    write_classes(&path("unknown/train"), 2);
    write_classes(&path("unknown/test"), 2);
    write_classes(&path("unknown/test/other"), 1);
    write_classes(&path("empty-class"), 2);
    std::fs::create_dir(path("empty-class/other")).expect("made");
    std::fs::create_dir(path("empty")).expect("made");
    let before = contents(folder.path());
    for (flag, name, culprit, parts) in [
        (
            "--data-dir",
            "zero",
            "zero/train-images-idx3-ubyte.gz",
            &["holds 0 bytes", "get it anew"][..],
        ),
        (
            "--data-dir",
            "empty",
            "empty",
            &["lacks train-images-idx3-ubyte", "want all of"],
        ),
        (
            "--dataset",
            "unknown",
            "unknown/test/other",
            &["no like in", "want one of: left, right"],
        ),
        (
            "--dataset",
            "empty-class",
            "empty-class/other",
            &["holds no pictures", "fill or remove it"],
        ),
        (
            "--dataset",
            "empty",
            "empty",
            &["has 0 folders", "want 2 to 65,536", "pets/cat/1.jpg"],
        ),
        (
            "--dataset",
            "missing",
            "missing",
            &["--dataset", "or a folder of pictures"],
        ),
    ] {
        let mut command = example("train");
        command.args(["--device", "cpu", "--out"]).arg(path("run"));
        let error = refused(command.arg(flag).arg(path(name)));
        assert_says(&error, parts);
        assert_says(&error, &[&path(culprit).display().to_string()]);
    }
    assert!(contents(folder.path()) == before, "something was written");
}

/// A copy of the trained network whose metadata is changed.
fn disguised(path: &Path, change: impl Fn(&mut Metadata)) -> PathBuf {
    let (parameters, mut metadata) =
        checkpoint::load_trained(&trained().join("best.safetensors")).expect("whole");
    change(&mut metadata);
    checkpoint::save(path, &parameters, Some(&metadata)).expect("written");
    path.to_owned()
}

#[test]
fn bad_checkpoints_are_refused_by_classify() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    let whole = std::fs::read(trained().join("best.safetensors")).expect("readable");
    std::fs::write(path("half"), &whole[..whole.len() / 2]).expect("written");
    let (parameters, _) = checkpoint::load(&trained().join("best.safetensors")).expect("whole");
    checkpoint::save(&path("nameless"), &parameters, None).expect("written");
    disguised(&path("unknown"), |of| of.model = "resnet".into());
    disguised(&path("other"), |of| of.model = "nin-paper".into());
    disguised(&path("classes"), |of| of.classes.truncate(3));
    disguised(&path("colour"), |of| of.image[0] = 3);
    for (name, parts) in [
        ("missing", &["cannot read checkpoint", "check the path"][..]),
        ("half", &["is not a whole safetensors file", "copy it anew"]),
        (
            "nameless",
            &[
                "does not say which model",
                "a checkpoint that `train` wrote",
            ],
        ),
        ("unknown", &["unknown model `resnet`", "use one of nin,"]),
        (
            "other",
            &[
                "of nin-paper",
                "conv.0.0.weight",
                "is 32x1x5x5",
                "needs 192x1x5x5",
            ],
        ),
        (
            "classes",
            &["with 3 classes", "is 10x64x3x3", "needs 3x64x3x3"],
        ),
        ("colour", &["is 32x1x5x5", "needs 32x3x5x5"]),
    ] {
        let error = refused(classify_with(&path(name)).arg(image()));
        assert_says(&error, parts);
        assert_says(&error, &[&path(name).display().to_string()]);
    }
}

#[test]
fn a_checkpoint_of_another_network_is_refused_by_init_which_names_both() {
    let folder = new_folder();
    let out = folder.path().join("run");
    let best = trained().join("best.safetensors");
    let mut command = short_run(&out);
    command.args(["--batch-size", "8", "--model", "nin-paper", "--init"]);
    let error = refused(command.arg(&best));
    assert_says(
        &error,
        &[
            "--init: the file holds nin-small for 10 classes of 1x28x28 pictures, but nin-paper for 10 classes",
            &best.display().to_string(),
            "`conv.0.0.weight` is 32x1x5x5",
            "needs 192x1x5x5",
        ],
    );
    assert!(!out.exists());
}
