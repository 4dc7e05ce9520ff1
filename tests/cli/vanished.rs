//! Pictures that go away, or bad, between the listing of a set and the moment that they are wanted.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nin_wgpu::checkpoint;
use serde_json::Value;

use crate::programs::{
    assert_says, contents, example, metrics, new_folder, ok, refused, run, train_on, write_classes,
};

fn resume(out: &Path) -> Command {
    let mut command = example("train");
    command.args(["--device", "cpu", "--cache", "off", "--resume"]);
    command.arg(out);
    command
}

/// 32 pictures to train on, that is four steps an epoch, and 8 for each of the other parts.
fn write_parts(data: &Path, others: &[&str]) {
    write_classes(&data.join("train"), 16);
    for part in others {
        write_classes(&data.join(part), 4);
    }
}

/// The step that a run's last checkpoint is of.
fn saved_step(out: &Path) -> u64 {
    let last = out.join("last.safetensors");
    let (_, metadata) = checkpoint::load_trained(&last).expect("whole");
    metadata.step
}

#[test]
fn a_run_goes_on_only_with_the_pictures_that_it_began_with() {
    let folder = new_folder();
    let data = folder.path().join("data");
    write_classes(&data, 20);
    for (name, limits) in [
        ("all", &[][..]),
        ("few", &["--limit-train", "16", "--limit-test", "4"]),
    ] {
        let out = folder.path().join(name);
        let mut command = train_on(&data, &out);
        ok(command
            .args(limits)
            .args(["--epochs", "2", "--max-steps", "1"]));
        let picture = data.join("left/7.png");
        let away = folder.path().join("away.png");
        std::fs::rename(&picture, &away).expect("moved");
        let before = contents(&out);
        let error = refused(&mut resume(&out));
        assert_says(&error, &["resume", "use the same data"]);
        // As many, but another one: which are tested on follows from the names.
        let other = data.join("left/another.png");
        std::fs::copy(&away, &other).expect("copied");
        let error = refused(&mut resume(&out));
        assert_says(&error, &["resume", "use the same data"]);
        assert!(contents(&out) == before, "the run changed");

        std::fs::remove_file(&other).expect("removed");
        std::fs::rename(&away, &picture).expect("moved");
        assert_says(&ok(&mut resume(&out)), &["resumed after step 1"]);
    }
}

/// A streamed run that would go on for days.
struct Running {
    child: Child,
    out: PathBuf,
    started: Instant,
}

impl Running {
    fn start(data: &Path, out: &Path, on_bad: &str) -> Self {
        let mut command = train_on(data, out);
        let flags = "--data-home stream --prefetch 1 --epochs 1000000 --quiet --on-bad";
        command.args(flags.split_whitespace()).arg(on_bad);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self {
            child: command.spawn().expect("starts"),
            out: out.into(),
            started: Instant::now(),
        }
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        while !is_so() {
            // Not how fast it is, but that this test ends.
            assert!(self.started.elapsed() < Duration::from_secs(300), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn epochs(&self) -> usize {
        let text = std::fs::read_to_string(self.out.join("metrics.jsonl"));
        let text = text.unwrap_or_default();
        text.matches("\"kind\":\"epoch\"").count()
    }

    fn end(self) -> Output {
        self.child.wait_with_output().expect("ends")
    }
}

#[test]
fn a_picture_that_goes_away_ends_a_streamed_run_by_name_and_nothing_trained_is_lost() {
    let folder = new_folder();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    write_parts(&data, &["test"]);
    let running = Running::start(&data, &out, "stop");
    running.wait_until("no epoch", || running.epochs() >= 1);
    let (picture, away) = (data.join("train/left/3.png"), folder.path().join("away"));
    std::fs::rename(&picture, &away).expect("moved");
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(1));
    let error = String::from_utf8(ended.stderr).expect("UTF-8");
    let errors = error.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{error}");
    assert!(!error.contains("panicked"), "{error}");
    let named = format!("cannot read {}", picture.display());
    assert_says(&error, &[&named, "check the path"]);

    let step = saved_step(&out);
    assert!(step >= 4, "{step}");
    // Still away: refused by number, and the run stays as it is.
    let saved = std::fs::read(out.join("last.safetensors")).expect("written");
    assert_says(&refused(&mut resume(&out)), &["use the same data"]);
    assert!(std::fs::read(out.join("last.safetensors")).expect("there") == saved);
    std::fs::rename(&away, &picture).expect("moved");
    let until = (step + 3).to_string();
    let text = ok(resume(&out).args(["--max-steps", &until]));
    assert_says(&text, &[&format!("resumed after step {step}")]);
    assert_eq!(saved_step(&out), step + 3);
}

#[cfg(unix)]
#[test]
fn a_streamed_run_goes_on_without_a_picture_that_goes_away_and_lists_it() {
    let folder = new_folder();
    let (data, out) = (folder.path().join("data"), folder.path().join("run"));
    write_parts(&data, &["test"]);
    let running = Running::start(&data, &out, "skip");
    running.wait_until("no epoch", || running.epochs() >= 1);
    let picture = data.join("train/left/3.png");
    std::fs::remove_file(&picture).expect("removed");
    let list = out.join("bad-pictures.txt");
    running.wait_until("not listed", || list.exists());
    let until = running.epochs() + 2;
    running.wait_until("it does not go on", || running.epochs() >= until);
    let mut kill = Command::new("kill");
    kill.args(["-INT", &running.child.id().to_string()]);
    assert!(kill.status().expect("kill runs").success());
    let ended = running.end();
    assert_eq!(ended.status.code(), Some(130));
    let warnings = String::from_utf8(ended.stderr).expect("UTF-8");
    let named = picture.display().to_string();
    assert_says(&warnings, &["warning: left out", &named]);
    let summary = String::from_utf8(ended.stdout).expect("UTF-8");
    assert_says(
        &summary,
        &["could not be read", &list.display().to_string()],
    );
    let list = std::fs::read_to_string(list).expect("written");
    assert_eq!(list.lines().count(), 1, "{list}");
    assert_says(&list, &[&named, "cannot read"]);
    assert!(saved_step(&out) >= 8, "{}", saved_step(&out));
}

#[test]
fn a_bad_picture_to_test_on_ends_a_streamed_run_and_the_epoch_is_kept_to_be_tested() {
    let folder = new_folder();
    let data = folder.path().join("data");
    for epochs in [1, 2] {
        let [whole, out] =
            ["whole", "run"].map(|name| folder.path().join(format!("{name}{epochs}")));
        let train = |out: &Path| {
            let mut command = train_on(&data, out);
            command.args(["--data-home", "stream", "--epochs", &epochs.to_string()]);
            command
        };
        write_parts(&data, &["test"]);
        ok(&mut train(&whole));
        let picture = data.join("test/left/3.png");
        let good = std::fs::read(&picture).expect("readable");
        std::fs::write(&picture, "text").expect("written");
        let error = refused(&mut train(&out));
        assert_says(&error, &["cannot decode", "test/left/3.png"]);
        assert_eq!(saved_step(&out), 4);
        assert_eq!(metrics(&out, "epoch").len(), 0);
        // Mended, it goes on as if nothing had been.
        std::fs::write(&picture, good).expect("written");
        assert_says(&ok(&mut resume(&out)), &["resumed after step 4"]);
        let tested = |run: &Path| {
            let lines = metrics(run, "epoch");
            let of = |line: &Value| (line["epoch"].clone(), line["test_accuracy"].clone());
            lines.iter().map(of).collect::<Vec<_>>()
        };
        assert_eq!(tested(&out).len(), epochs);
        assert_eq!(tested(&out), tested(&whole));
        for name in ["last.safetensors", "best.safetensors"] {
            let read = |run: &Path| std::fs::read(run.join(name)).expect("written");
            assert!(read(&out) == read(&whole), "{name} differs");
        }
    }
}

#[test]
fn what_is_left_out_of_any_part_is_told_of_and_listed() {
    let folder = new_folder();
    let data = folder.path().join("data");
    write_parts(&data, &["val", "test"]);
    let bad = ["train/left/3.png", "val/right/1.png", "test/left/2.png"];
    for name in bad {
        std::fs::write(data.join(name), "text").expect("written");
    }
    for home in ["resident", "stream"] {
        let out = folder.path().join(home);
        let mut command = train_on(&data, &out);
        let ended = run(command.args(["--on-bad", "skip", "--data-home", home]));
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(metrics(&out, "test").len(), 1);
        let list = std::fs::read_to_string(out.join("bad-pictures.txt")).expect("written");
        for name in bad {
            assert_says(&ended.stderr, &["warning: left out", name]);
            assert_says(&list, &[name]);
        }
        assert_eq!(list.lines().count(), bad.len(), "{home}: {list}");
    }
}
