//! `compare`, and the presets beside `nin` in every form.

use serde_json::Value;

use crate::programs::{
    assert_says, classify_with, config, example, json, new_folder, ok, refused, samples, short_run,
};

#[test]
fn networks_are_put_side_by_side_in_a_table_a_file_of_numbers_and_a_plot() {
    let folder = new_folder();
    let mut command = example("compare");
    let flags = "--models lenet:0.5,nin-paper:0.05,nin-dense:0.05 --dataset synthetic --image-size 28 --limit-train 128 \
                 --limit-test 48 --epochs 2 --batch-size 16 --device cpu --out";
    command.args(flags.split_whitespace()).arg(folder.path());
    let table = ok(&mut command);
    assert_says(
        &table,
        &[
            "128 training and 48 test images, 28x28",
            "| lenet | 0.5 |",
            "| nin-paper | 0.05 |",
            "| nin-dense | 0.05 |",
        ],
    );
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("written");
    assert_eq!(read("compare.md"), table);
    let rows: Vec<Value> = serde_json::from_str(&read("compare.json")).expect("JSON");
    assert_eq!(rows.len(), 3);
    for row in &rows {
        let epochs = row["epochs"].as_array().expect("a list");
        assert_eq!(epochs.len(), 2);
        assert_eq!(epochs[1]["images"], 256);
        for number in [
            "parameters",
            "flops",
            "memory",
            "train_images_per_second",
            "infer_images_per_second",
        ] {
            assert!(row[number].as_f64().expect(number) > 0.0, "{row}");
        }
    }
    // Global average pooling has no parameters, the dense layer has.
    assert!(rows[1]["parameters"].as_u64() < rows[2]["parameters"].as_u64());
    assert_says(&read("compare.svg"), &["<svg", "lenet", "nin-dense"]);
}

#[test]
fn networks_that_do_not_exist_or_do_not_fit_are_refused() {
    let folder = new_folder();
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--models", "lenet,resnet99"],
            &["--models", "unknown model `resnet99`", "resnet18"],
        ),
        (
            &["--models", "lenet:0"],
            &["--models lenet:0", "a number above 0"],
        ),
        (
            &["--models", "lenet:wide"],
            &["--models lenet:wide", "a number above 0"],
        ),
        (&["--dropout", "1"], &["--models", "dropout", "below 1"]),
        (
            &[
                "--models",
                "alexnet:0.1",
                "--image-size",
                "28",
                "--dataset",
                "synthetic",
            ],
            &["--models alexnet", "does not fit", "larger image"],
        ),
        (
            &["--dataset", "imagenet"],
            &["--dataset", "unknown data set `imagenet`"],
        ),
    ];
    for (flags, parts) in cases {
        let mut command = example("compare");
        command
            .args(["--device", "cpu", "--out"])
            .arg(folder.path());
        assert_says(&refused(command.args(*flags)), parts);
    }
}

#[test]
fn every_preset_trains_in_a_narrow_form_and_its_checkpoint_classifies() {
    for (model, flags) in [
        ("lenet", "--width 0.5 --batch-norm"),
        ("alexnet", "--width 0.03 --image-size 64 --dropout 0"),
        ("vgg11", "--width 0.03 --image-size 32 --batch-norm"),
        ("resnet18", "--width 0.06"),
        ("nin-dense", "--width 0.05"),
    ] {
        let folder = new_folder();
        let out = folder.path().join("run");
        let mut command = short_run(&out);
        command.args(["--model", model, "--epochs", "1", "--schedule", "constant"]);
        ok(command.args(flags.split_whitespace()));
        let form = &config(&out)["form"];
        assert_eq!(
            form["batch_norm"],
            model == "resnet18" || flags.contains("--batch-norm"),
            "{model}"
        );
        assert!(form["width"].as_f64().expect("a number") < 1.0, "{model}");
        let best = out.join("best.safetensors");
        let said = json(classify_with(&best).arg(samples().join("bag.png")));
        assert_eq!(said.len(), 1, "{model}");
        // And goes on in the same form.
        let mut command = example("train");
        ok(command
            .arg("--resume")
            .arg(&out)
            .args(["--epochs", "2", "--device", "cpu"]));
    }
}

#[test]
fn forms_that_no_network_has_are_refused() {
    let folder = new_folder();
    for (flags, parts) in [
        (["--width", "0"], ["--width", "a number above 0"]),
        (["--width", "-1"], ["--width", "a number above 0"]),
        (["--dropout", "1"], ["dropout", "below 1"]),
    ] {
        let mut command = short_run(&folder.path().join("run"));
        assert_says(&refused(command.args(flags)), &parts);
    }
}
