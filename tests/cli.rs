//! The programs as a user meets them: what they write, what they print, and how they refuse.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

/// An example, as built beside this test.
fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps");
    let path = profile
        .join("examples")
        .join(name)
        .with_extension(std::env::consts::EXE_EXTENSION);
    assert!(
        path.exists(),
        "{} is missing: run `cargo build --release --examples` first",
        path.display()
    );
    let mut command = Command::new(path);
    command
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUST_BACKTRACE");
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program starts")
}

/// Stdout of a run that must succeed.
fn ok(command: &mut Command) -> String {
    let output = run(command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {stderr}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// A short training on the synthetic set.
fn short_run(out: &Path) -> Command {
    let mut command = example("train");
    command.args([
        "--dataset",
        "synthetic",
        "--model",
        "nin-small",
        "--device",
        "cpu",
        "--batch-size",
        "16",
    ]);
    command.args([
        "--limit-train",
        "96",
        "--limit-test",
        "40",
        "--epochs",
        "2",
        "--log-every",
        "2",
        "--out",
    ]);
    command.arg(out);
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn image() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images/ankle_boot.png")
}

#[test]
fn train_writes_metrics_checkpoints_and_configuration() {
    let folder = folder();
    let text = ok(&mut short_run(folder.path()));
    for part in [
        "layer",
        "conv.0.0",
        "35750",
        "epoch  1",
        "test accuracy",
        "next: cargo run",
    ] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    let metrics = std::fs::read_to_string(folder.path().join("metrics.jsonl")).expect("written");
    let lines: Vec<Value> = metrics
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let steps: Vec<_> = lines.iter().filter(|line| line["kind"] == "step").collect();
    let epochs: Vec<_> = lines
        .iter()
        .filter(|line| line["kind"] == "epoch")
        .collect();
    let numbers: Vec<_> = steps.iter().map(|line| line["step"].as_u64()).collect();
    assert_eq!(numbers, [2, 4, 6, 8, 10, 12].map(Some));
    for line in steps {
        for key in ["epoch", "step", "loss", "accuracy", "seconds"] {
            assert!(line[key].is_number(), "{key} in {line}");
        }
    }
    assert_eq!(epochs.len(), 2);
    for line in epochs {
        for key in [
            "epoch",
            "train_loss",
            "train_accuracy",
            "test_accuracy",
            "seconds",
        ] {
            assert!(line[key].is_number(), "{key} in {line}");
        }
    }
    assert!(
        metrics.starts_with(r#"{"kind":"step","epoch":1,"step":2,"loss":"#),
        "{metrics}"
    );
    let config = std::fs::read(folder.path().join("config.json")).expect("written");
    let config: Value = serde_json::from_slice(&config).expect("JSON");
    assert_eq!(
        (&config["model"], &config["batch_size"]),
        (&"nin-small".into(), &16.into())
    );
    for name in ["last.safetensors", "best.safetensors", "resume.safetensors"] {
        assert!(
            folder.path().join(name).metadata().expect("written").len() > 4 * 35_750,
            "{name}"
        );
    }
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .expect("readable")
        .collect();
    assert_eq!(names.len(), 6, "no temporary file is left: {names:?}");
}

#[test]
fn dump_holds_the_logits_and_every_gradient_of_the_first_step() {
    let folder = folder();
    let dump = folder.path().join("dump.safetensors");
    ok(short_run(folder.path())
        .args(["--max-steps", "1", "--dump"])
        .arg(&dump));
    let (tensors, _) = nin_wgpu::checkpoint::load(&dump).expect("a whole file");
    let names: Vec<_> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 18 + 1, "{names:?}");
    assert!(
        names.contains(&"logits")
            && names.contains(&"conv.0.0.weight")
            && names.contains(&"conv.4.4.bias")
    );
    for (name, tensor) in &tensors {
        assert!(tensor.data.iter().any(|&x| x != 0.0), "{name} is zero");
    }
}

#[test]
fn a_checkpoint_can_be_trained_on_and_classifies_pictures() {
    let folder = folder();
    ok(&mut short_run(folder.path()));
    let best = folder.path().join("best.safetensors");
    let again = folder.path().join("again");
    let text = ok(short_run(&again)
        .args(["--max-steps", "2", "--init"])
        .arg(&best));
    assert!(text.contains("2 steps"), "{text}");

    let text = ok(example("classify")
        .args(["--device", "cpu", "--top", "2", "--model"])
        .arg(&best)
        .arg(image()));
    assert_eq!(text.lines().count(), 3, "{text}");
    let text = ok(example("classify")
        .args(["--device", "cpu", "--json", "--model"])
        .arg(&best)
        .args([image(), image()]));
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let top = line["top"].as_array().expect("a list");
        assert_eq!(top.len(), 3);
        assert!(
            top[0]["probability"].as_f64() >= top[1]["probability"].as_f64(),
            "{line}"
        );
    }
    assert_eq!(text.lines().count(), 2);
}

#[test]
fn classify_finds_the_newest_run_by_itself() {
    let folder = folder();
    let error = refused(
        example("classify")
            .current_dir(folder.path())
            .args(["--device", "cpu"])
            .arg(image()),
    );
    assert!(error.contains("no checkpoint in runs/"), "{error}");
    ok(&mut short_run(&folder.path().join("runs/first")));
    let text = ok(example("classify")
        .current_dir(folder.path())
        .args(["--device", "cpu"])
        .arg(image()));
    assert!(text.contains('%'), "{text}");
}

/// A machine without any driver.
fn without_drivers(command: &mut Command) -> &mut Command {
    command
        .env("VK_DRIVER_FILES", "/nonexistent.json")
        .env("VK_ICD_FILENAMES", "/nonexistent.json")
        .env("WGPU_BACKEND", "vulkan")
}

#[test]
fn without_a_driver_the_plan_is_printed_and_the_cpu_trains() {
    let text = ok(without_drivers(
        example("train").args(["--model", "nin", "--plan"]),
    ));
    let last = text.lines().last().expect("not empty");
    assert!(
        last.contains(" dispatches, ") && last.ends_with(" GFLOP"),
        "{last}"
    );
    let folder = folder();
    let text = ok(without_drivers(short_run(folder.path()).args([
        "--max-steps",
        "1",
        "--device",
        "cpu",
    ])));
    assert!(text.contains("CPU"), "{text}");
    let error = refused(without_drivers(example("train").args(["--device", "gpu"])));
    assert!(
        error.contains("--device gpu") && error.contains("no hardware GPU found"),
        "{error}"
    );
}

/// Stderr of a run that must fail in an orderly way.
fn refused(command: &mut Command) -> String {
    let output = run(command);
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(
        matches!(output.status.code(), Some(1 | 2)),
        "{command:?} ended with {:?}: {stderr}",
        output.status
    );
    assert!(
        stderr.starts_with("error: ") && !stderr.contains("panicked"),
        "{stderr}"
    );
    stderr
}

#[test]
fn bad_flags_are_refused_with_one_message_that_names_the_mend() {
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["--model", "resnet"],
            &["unknown model `resnet`", "nin-small"],
        ),
        (
            &["--dataset", "imagenet"],
            &["unknown data set `imagenet`", "fashion-mnist"],
        ),
        (
            &["--device", "cuda"],
            &["unknown device `cuda`", "software or cpu"],
        ),
        (
            &["--device", "gpu:99"],
            &["--device gpu:99", "no adapter gpu:99 found"],
        ),
        (&["--batch-size", "0"], &["batch size is 0", "at least 1"]),
        (
            &["--batch-size", "7000"],
            &["batch of 7000 is larger than the 6000 training images"],
        ),
        (&["--epochs", "0"], &["epochs is 0"]),
        (&["--log-every", "0"], &["log interval is 0"]),
        (&["--lr", "NaN"], &["learning rate is NaN"]),
        (&["--lr=-0.1"], &["learning rate is -0.1"]),
        (&["--limit-train", "0"], &["--limit-train", "at least 1"]),
        (&["--data-dir", "/nonexistent"], &["folder"]),
        (
            &["--init", "/nonexistent.safetensors"],
            &["--init", "cannot read checkpoint /nonexistent.safetensors"],
        ),
        (
            &["--out", "/dev/null/run"],
            &["--out", "cannot write /dev/null/run"],
        ),
    ];
    for (flags, parts) in cases {
        let mut command = example("train");
        if !flags.contains(&"--dataset") {
            command.args(["--dataset", "synthetic"]);
        }
        if !flags.contains(&"--device") {
            command.args(["--device", "cpu"]);
        }
        let error = refused(command.args(["--max-steps", "1"]).args(*flags));
        for part in *parts {
            assert!(
                error.contains(part),
                "{flags:?}: {part:?} is missing in: {error}"
            );
        }
    }
}

#[test]
fn bad_files_are_refused_with_one_message_that_names_the_file() {
    let folder = folder();
    ok(short_run(folder.path()).args(["--max-steps", "1"]));
    let good = folder.path().join("last.safetensors");
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let bytes = std::fs::read(&good).expect("readable");
    let truncated = write("truncated.safetensors", &bytes[..bytes.len() / 2]);
    let text = write("text.png", b"not a picture");
    let empty = write("empty.png", b"");
    let classify = |model: &Path, image: &Path| {
        refused(
            example("classify")
                .args(["--device", "cpu", "--model"])
                .arg(model)
                .arg(image),
        )
    };
    let missing = folder.path().join("missing.png");
    for (model, image, named) in [
        (&good, &missing, "missing.png"),
        (&good, &text, "text.png"),
        (&good, &empty, "empty.png"),
        (&truncated, &image(), "truncated.safetensors"),
        (&missing, &image(), "missing.png"),
    ] {
        let error = classify(model, image);
        assert!(error.contains(named), "{named} is not named in: {error}");
    }
    let mut other = short_run(&folder.path().join("other"));
    let error = refused(other.args(["--model", "nin-paper", "--init"]).arg(&good));
    assert!(
        error.contains("last.safetensors") && error.contains("conv.0.0.weight"),
        "{error}"
    );
}
