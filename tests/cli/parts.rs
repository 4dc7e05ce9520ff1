//! A run in parts is the run in one: the same checkpoints bit for bit, and the same lines of metrics but for times.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::programs::{
    assert_says, config, contents, example, new_folder, ok, refused, run, short_run,
};

fn resume(out: &Path, flags: &[&str]) -> Command {
    let mut command = example("train");
    command.args(flags).arg("--resume").arg(out);
    command
}

/// The lines of a run's metrics without times.
fn lines(run: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).expect("written");
    let timeless = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        fields.retain(|name, _| name != "seconds" && name != "waited");
        line
    };
    text.lines().map(timeless).collect()
}

/// Compares two runs that are over.
pub(crate) fn assert_same(parts: &Path, one: &Path) {
    assert_eq!(lines(parts), lines(one));
    for name in ["last", "best", "resume"] {
        let read =
            |run: &Path| std::fs::read(run.join(format!("{name}.safetensors"))).expect("written");
        assert!(read(parts) == read(one), "{name} differs");
    }
}

/// 24 steps in two epochs, with log intervals and checkpoints that end where no epoch does.
const FLAGS: &str = "--batch-size 8 --log-every 5 --checkpoint-every 7";

fn in_parts(device: &str, flags: &str, stops: &[u64]) {
    let folder = new_folder();
    let [one, parts] = ["one", "parts"].map(|name| folder.path().join(name));
    let flags: Vec<&str> = FLAGS.split(' ').chain(flags.split_whitespace()).collect();
    let device = ["--device", device];
    ok(short_run(&one).args(&flags).args(device));
    let stop = |step: &u64| ["--max-steps".to_owned(), step.to_string()];
    let mut all = stops.iter();
    let first = all.next().expect("a stop");
    ok(short_run(&parts)
        .args(&flags)
        .args(device)
        .args(stop(first)));
    for step in all {
        ok(resume(&parts, &device).args(stop(step)));
    }
    ok(&mut resume(&parts, &device));
    assert_same(&parts, &one);
}

#[test]
fn wherever_a_run_is_stopped_its_checkpoints_and_metrics_are_those_of_one_in_one() {
    // Within an interval, at its end, at a checkpoint, at the end of an epoch, and twice in one interval.
    in_parts("cpu", "--ema 0.9", &[3, 5, 7, 12, 16, 17, 23]);
    in_parts("cpu", "--val-split 0.25 --clip-norm 0.5", &[13]);
    // Here the parts would be better than the epochs: only whole ones are compared.
    in_parts("cpu", "--lr 0.03 --warmup 0 --seed 3", &[2, 14, 16, 18, 20]);
}

#[test]
fn so_it_is_on_a_gpu_by_precise_and_checked_kernels() {
    if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
        return;
    }
    in_parts("gpu:0", "--precise --checked", &[3, 13]);
}

#[test]
fn a_run_that_began_precise_goes_on_so_and_another_does_not() {
    in_parts("cpu", "--precise", &[9]);
    let folder = new_folder();
    let [plain, precise] = ["plain", "precise"].map(|name| folder.path().join(name));
    let text = ok(short_run(&precise).args(["--precise", "--max-steps", "2"]));
    assert_says(&text, &["device   CPU", ", precise"]);
    assert_eq!(config(&precise)["precise"], true);
    ok(short_run(&plain).args(["--max-steps", "2"]));
    let weights = |run: &Path| std::fs::read(run.join("last.safetensors")).expect("written");
    assert!(
        weights(&plain) != weights(&precise),
        "the same convolutions"
    );
    let before = contents(&plain);
    let error = refused(&mut resume(&plain, &["--device", "cpu", "--precise"]));
    assert_says(&error, &["--resume", "began without --precise", "--init"]);
    assert!(contents(&plain) == before);
    assert_says(
        &ok(&mut resume(&precise, &["--device", "cpu"])),
        &[", precise"],
    );
}

#[test]
fn another_device_is_told_of() {
    let folder = new_folder();
    let out = folder.path().join("run");
    let threads = |command: &mut Command, count: &str| run(command.env("RAYON_NUM_THREADS", count));
    let begun = threads(short_run(&out).args(["--max-steps", "1"]), "1");
    assert_eq!(begun.code, Some(0), "{}", begun.stderr);
    let cpu = ["--device", "cpu", "--max-steps", "2"];
    let same = threads(&mut resume(&out, &cpu), "1");
    assert_eq!((same.code, &*same.stderr), (Some(0), ""));
    let other = threads(&mut resume(&out, &["--device", "cpu"]), "3");
    assert_eq!(other.code, Some(0));
    assert_says(&other.stderr, &["warning: the run began on CPU, 1 thread;"]);
}
