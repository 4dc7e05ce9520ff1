//! Several `train` at once: each has a folder of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nin_wgpu::checkpoint;

use crate::programs::{assert_says, contents, example, new_folder, ok, refused, short_run};

fn quiet(command: &mut Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("starts")
}

/// Waits until a training has written to its folder.
fn wait_for(path: &Path) {
    let started = Instant::now();
    while !path.exists() {
        // Not how fast it is, but that this test ends.
        assert!(started.elapsed() < Duration::from_secs(300), "no {path:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn trainings_that_start_together_without_a_folder_each_find_one() {
    let folder = new_folder();
    let flags = "--dataset synthetic --model nin-small --device cpu --limit-train 64 --limit-test 8 --batch-size 32 \
                 --epochs 1";
    let start = |_| {
        let mut command = example("train");
        command
            .args(flags.split_whitespace())
            .current_dir(folder.path());
        quiet(&mut command)
    };
    let children: Vec<Child> = (0..3).map(start).collect();
    for child in children {
        let ended = child.wait_with_output().expect("ends");
        let error = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success(), "{error}");
    }
    let runs = folder.path().join("runs");
    for name in ["", "-2", "-3"] {
        let run = runs.join(format!("nin-small-synthetic{name}"));
        let (_, saved) = checkpoint::load_trained(&run.join("best.safetensors")).expect("whole");
        assert_eq!(saved.step, 2, "{}", run.display());
    }
    assert_eq!(std::fs::read_dir(runs).expect("made").count(), 3);
}

#[test]
fn a_folder_that_is_trained_in_is_refused_until_that_training_ends_however_it_does() {
    let folder = new_folder();
    let out = folder.path().join("run");
    let flags = ["--epochs", "1000000", "--checkpoint-every", "1"];
    let mut running = quiet(short_run(&out).args(flags));
    wait_for(&out.join("resume.safetensors"));
    let named = out.display().to_string();
    let says = [&*named, "in use by another training", "another folder"];
    let error = refused(&mut short_run(&out));
    assert_says(&error, &says);
    assert_says(&error, &["--out"]);
    let mut resume = example("train");
    resume.args(["--device", "cpu", "--max-steps", "1", "--resume"]);
    let error = refused(resume.arg(&out));
    assert_says(&error, &says);
    assert_says(&error, &["--resume"]);
    // Killed, it has no last word.
    running.kill().expect("was running");
    running.wait().expect("ends");
    ok(&mut resume);
    let before = contents(&out);
    assert_says(&refused(&mut short_run(&out)), &["holds a run already"]);
    assert!(contents(&out) == before);
}
