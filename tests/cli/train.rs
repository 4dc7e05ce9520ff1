//! What `train` writes and prints.

use serde_json::Value;

use crate::programs::{
    assert_says, config, contents, example, image, metrics, new_folder, ok, refused, run,
    short_run, trained, write_classes,
};

#[test]
fn train_prints_what_it_does_and_what_came_of_it() {
    let folder = new_folder();
    let text = ok(short_run(folder.path()).args(["--log-every", "1"]));
    assert_says(
        &text,
        &[
            "model    nin-small (",
            "device   CPU, ",
            "data     synthetic: 96 training and 40 test images, 10 classes",
            "recipe   batch 32, 2 epochs, learning rate 0.002 (cosine), 30 steps of warm-up, seed 1",
            "conv.0.0",
            "35750",
            "epoch  1  step      1  loss ",
            "test accuracy",
            "steps    6 in ",
            "best     epoch ",
            "next     cargo run --release --example classify -- --model ",
        ],
    );
    let out = folder.path().display();
    let names = "best.safetensors, last.safetensors, curve.svg, metrics.jsonl";
    assert_says(&text, &[&format!("saved    {out}/: {names}\n")]);

    let quiet = run(short_run(&folder.path().join("quiet")).arg("--quiet"));
    assert!(
        quiet.stdout.starts_with("\nsteps    6 in "),
        "{}",
        quiet.stdout
    );
    assert_eq!(quiet.stderr, "");
}

#[test]
fn train_writes_metrics_checkpoints_and_configuration() {
    let steps = metrics(trained(), "step");
    let numbers: Vec<_> = steps.iter().map(|line| line["step"].as_u64()).collect();
    // Every second step, and the last of each epoch.
    assert_eq!(numbers, [2, 3, 4, 6].map(Some));
    let has = |line: &Value, keys: &[&str]| {
        for key in keys {
            assert!(line[key].is_number(), "{key} in {line}");
        }
    };
    for line in &steps {
        has(line, &["epoch", "step", "loss", "accuracy", "seconds"]);
    }
    let epochs = metrics(trained(), "epoch");
    assert_eq!(epochs.len(), 2);
    for line in &epochs {
        has(line, &["epoch", "train_loss", "train_accuracy", "seconds"]);
        has(line, &["test_accuracy"]);
        assert!(line.get("val_accuracy").is_none(), "{line}");
    }
    let config = config(trained());
    assert_eq!(config["model"], "nin-small");
    assert_eq!(config["batch_size"], 32);
    let files = contents(trained());
    let names: Vec<_> = files.keys().filter_map(|path| path.file_name()).collect();
    let want = [
        ".lock",
        "best.safetensors",
        "config.json",
        "curve.svg",
        "last.safetensors",
        "metrics.jsonl",
        "resume.safetensors",
    ];
    assert_eq!(names, want, "all that is named, and no temporary file");
    for (path, bytes) in files {
        let is_checkpoint = path
            .extension()
            .is_some_and(|ending| ending == "safetensors");
        assert!(!is_checkpoint || bytes.len() > 4 * 35_750, "{path:?}");
    }
}

#[test]
fn train_draws_the_curve_of_its_run() {
    let svg = std::fs::read_to_string(trained().join("curve.svg")).expect("written");
    assert_says(
        &svg,
        &[
            "nin-small on synthetic",
            "training loss",
            "training accuracy",
            "test accuracy",
            "step",
        ],
    );
}

#[test]
fn dump_holds_the_logits_and_every_gradient_of_the_first_step() {
    let folder = new_folder();
    let dump = folder.path().join("dump.safetensors");
    ok(short_run(folder.path())
        .args(["--max-steps", "1", "--dump"])
        .arg(&dump));
    let (tensors, _) = nin_wgpu::checkpoint::load(&dump).expect("a whole file");
    let names: Vec<_> = tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), 18 + 1, "{names:?}");
    for name in ["logits", "conv.0.0.weight", "conv.4.4.bias"] {
        assert!(names.contains(&name), "{names:?}");
    }
    for (name, tensor) in &tensors {
        assert!(tensor.data.iter().any(|&x| x != 0.0), "{name} is zero");
    }
}

#[test]
fn a_checkpoint_can_be_trained_on() {
    let folder = new_folder();
    let best = trained().join("best.safetensors");
    let text = ok(short_run(folder.path())
        .args(["--max-steps", "2", "--init"])
        .arg(&best));
    assert_says(&text, &["steps    2 in "]);
}

#[test]
fn a_folder_that_holds_a_run_is_refused_and_stays_as_it_is() {
    let before = contents(trained());
    let error = refused(&mut short_run(trained()));
    assert_says(&error, &["--out", "holds a run already", "--resume"]);
    assert_says(&error, &[&trained().display().to_string()]);
    assert!(contents(trained()) == before, "a file changed");
}

#[test]
fn a_default_folder_that_holds_a_run_is_left_and_the_next_one_numbered() {
    let folder = new_folder();
    let train = || {
        let mut command = example("train");
        command.current_dir(folder.path());
        let flags =
            "--dataset synthetic --model nin-small --device cpu --limit-test 20 --max-steps 1";
        ok(command.args(flags.split_whitespace()))
    };
    let runs = folder.path().join("runs");
    for name in [
        "nin-small-synthetic",
        "nin-small-synthetic-2",
        "nin-small-synthetic-3",
    ] {
        let before = if runs.exists() {
            contents(&runs)
        } else {
            Default::default()
        };
        let text = train();
        assert_says(&text, &[&format!("folder   runs/{name}\n")]);
        assert!(runs.join(name).join("best.safetensors").exists());
        let mut after = contents(&runs);
        after.retain(|path, _| !path.starts_with(runs.join(name)));
        assert!(after == before, "a file of an earlier run changed");
    }
}

#[test]
fn output_that_is_no_terminal_is_plain_lines_with_and_without_no_color() {
    let folder = new_folder();
    for (name, no_color) in [("plain", false), ("no-color", true)] {
        let out = folder.path().join(name);
        for command in [
            &mut short_run(&out),
            example("classify")
                .args(["--device", "cpu", "--model"])
                .arg(out.join("best.safetensors"))
                .arg(image()),
            example("train").arg("--help"),
            example("train").args(["--lr", "x"]),
        ] {
            command.env_remove("NO_COLOR");
            if no_color {
                command.env("NO_COLOR", "1");
            }
            let ended = run(command);
            for text in [&ended.stdout, &ended.stderr] {
                // Neither colour nor a bar that draws over itself.
                assert!(!text.contains(['\x1b', '\r']), "{command:?}: {text:?}");
            }
            assert!(!ended.stdout.is_empty() || !ended.stderr.is_empty());
        }
    }
}

#[test]
fn help_shows_groups_defaults_and_examples() {
    let train = ok(example("train").arg("--help"));
    assert_says(
        &train,
        &[
            "What to train:",
            "Where to run:",
            "How to train:",
            "What to write:",
        ],
    );
    assert_says(
        &train,
        &[
            "[default: fashion-mnist]",
            "[default: auto]",
            "[default: 100]",
            "[default: 1]",
        ],
    );
    let classify = ok(example("classify").arg("--help"));
    assert_says(&classify, &["Output:", "[default: 3]", "[default: auto]"]);
    for (name, help) in [("train", train), ("classify", classify)] {
        let (_, examples) = help.split_once("\nExamples:\n").expect("examples");
        let command = format!("cargo run --release --example {name}");
        assert!(examples.matches(&command).count() >= 2, "{help}");
    }
}

#[test]
fn the_plan_of_a_folder_of_pictures_is_printed() {
    let folder = new_folder();
    write_classes(folder.path(), 8);
    let mut command = example("train");
    command.args(["--plan", "--model", "nin-small", "--dataset"]);
    let text = ok(command.arg(folder.path()).args(["--batch-size", "4"]));
    assert_says(last_line(&text), &[" dispatches, ", " GFLOP"]);
}

fn last_line(text: &str) -> &str {
    text.lines().last().expect("not empty")
}
