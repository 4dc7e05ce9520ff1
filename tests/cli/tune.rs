//! `train --tune`.

use std::path::Path;

use std::process::Command;

use serde_json::Value;

use crate::parts::assert_same;
use crate::programs::{assert_says, example, metrics, new_folder, ok, run, short_run};

/// Runs one step with the cache folder in `home`.
fn tuned(home: &Path, tune: &str) -> String {
    let mut command = short_run(&home.join(tune));
    command.args(["--device", "gpu:0", "--max-steps", "1", "--tune", tune]);
    ok(command
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home.join("cache")))
}

#[test]
fn full_prints_and_keeps_what_it_measured_and_cached_measures_nothing_again() {
    if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
        return;
    }
    let home = new_folder();
    let text = tuned(home.path(), "full");
    assert_says(
        &text,
        &["algorithm", "forward", "dgrad", "wgrad", "direct", " <\n"],
    );
    let folder = dirs_of(home.path());
    let files: Vec<_> = folder
        .read_dir()
        .expect("made")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let kept = std::fs::read_to_string(&files[0]).expect("readable");
    assert_says(&kept, &["adapter", "fastest", "geometry"]);

    let text = tuned(home.path(), "cached");
    assert!(!text.contains("algorithm"), "{text}");
    assert_eq!(std::fs::read_to_string(&files[0]).expect("readable"), kept);
    let losses = |run: &str| metrics(&home.path().join(run), "step")[0]["loss"].clone();
    assert_eq!(
        losses("full"),
        losses("cached"),
        "both take the kernels that were measured"
    );
}

/// Where the user's cache folder is, given their home.
fn dirs_of(home: &Path) -> std::path::PathBuf {
    let cache = if cfg!(target_os = "macos") {
        "Library/Caches"
    } else {
        "cache"
    };
    home.join(cache).join("nin-wgpu/tune")
}

#[test]
fn the_kernels_belong_to_the_run_whatever_is_measured_meanwhile() {
    if std::env::var("NIN_TEST_GPU").is_ok_and(|value| value == "off") {
        return;
    }
    let home = new_folder();
    tuned(home.path(), "full");
    let [one, parts] = ["one", "parts"].map(|name| home.path().join(name));
    let on = |command: &mut Command| {
        command.args(["--device", "gpu:0"]);
        command.env("HOME", home.path());
        run(command.env("XDG_CACHE_HOME", home.path().join("cache")))
    };
    let begin = |out: &Path, flags: &[&str]| {
        let ended = on(short_run(out).args(flags));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    };
    begin(&one, &[]);
    begin(&parts, &["--max-steps", "2"]);
    let file = dirs_of(home.path()).read_dir().expect("made").next();
    edit(&file.expect("a file").expect("readable").path(), |json| {
        for entry in json["fastest"].as_array_mut().expect("a list") {
            entry["algorithm"] = "naive".into();
        }
    });
    // What a run takes that begins now, so that the test is of something.
    let other = home.path().join("other");
    begin(&other, &[]);
    let last = |run: &Path| std::fs::read(run.join("last.safetensors")).expect("written");
    assert!(last(&other) != last(&one), "the edited cache has no effect");

    let goes_on = |flags: &[&str]| {
        let mut command = example("train");
        let ended = on(command.args(flags).arg("--resume").arg(&parts));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stderr
    };
    assert_eq!(goes_on(&["--max-steps", "4"]), "");
    edit(&parts.join("kernels.json"), |json| {
        json["shaders"] = "0".into();
    });
    let kept = std::fs::read(parts.join("kernels.json")).expect("written");
    let copy = home.path().join("copy");
    copy_files(&parts, &copy);
    let warning = goes_on(&[]);
    assert_says(
        &warning,
        &[
            "warning: the kernels that the run began with",
            "another version",
        ],
    );
    let now = std::fs::read(parts.join("kernels.json")).expect("written");
    assert!(now != kept, "the new ones are the run's");

    // With its own kernels, it is the run in one.
    edit(&copy.join("kernels.json"), |json| {
        let own = std::fs::read(one.join("kernels.json")).expect("written");
        *json = serde_json::from_slice(&own).expect("JSON");
    });
    let mut command = example("train");
    let ended = on(command.arg("--resume").arg(&copy));
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    assert_same(&copy, &one);
}

fn edit(path: &Path, change: impl Fn(&mut Value)) {
    let mut json = serde_json::from_slice(&std::fs::read(path).expect("written")).expect("JSON");
    change(&mut json);
    std::fs::write(path, json.to_string()).expect("written");
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("made");
    for entry in from.read_dir().expect("readable") {
        let path = entry.expect("readable").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}
