//! Files that cannot be written: found out before the work, or at the least without a loss.

use crate::parts::assert_same;
use crate::programs::{
    assert_says, classify, contents, example, image, new_folder, ok, refused, run, short_run,
};

#[test]
fn what_cannot_be_written_is_refused_before_the_work() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("folder.png")).expect("made");
    std::fs::write(path("file"), "mine").expect("written");
    let before = contents(folder.path());
    for (name, mend) in [
        ("missing/out.png", "make its folder first"),
        ("folder.png", "it is a folder, name a file"),
        ("file/out.png", "a part of the path is a file"),
    ] {
        let named = format!("cannot write {}, {mend}", path(name).display());
        for flag in ["--export", "--dump"] {
            let mut train = short_run(&path("run"));
            let ended = run(train.arg(flag).arg(path(name)));
            assert_eq!(ended.stdout, "", "it began to train");
            assert_says(&ended.stderr, &[&format!("error: {flag}: {named}")]);
        }
        for flag in ["--heatmap", "--maps"] {
            let mut classify = classify();
            let error = refused(classify.arg(image()).arg(flag).arg(path(name)));
            assert_says(&error, &[&format!("error: {flag}: {named}")]);
        }
    }
    assert!(contents(folder.path()) == before, "something was written");
}

/// A file that takes no byte. By a link, since a program that replaced it would harm the machine.
#[cfg(target_os = "linux")]
fn full(path: &std::path::Path) {
    std::os::unix::fs::symlink("/dev/full", path).expect("made");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_takes_nothing_that_was_saved() {
    let folder = new_folder();
    let path = |name: &str| folder.path().join(name);
    for name in ["full.safetensors", "full.png"] {
        full(&path(name));
    }
    let said = ["free some space", "No space left on device"];
    let error = refused(
        short_run(&path("run"))
            .arg("--export")
            .arg(path("full.safetensors")),
    );
    assert_says(&error, &said);
    assert_says(&error, &["--export", "full.safetensors", "--resume"]);
    assert!(
        path("run").join("best.safetensors").exists(),
        "the run is saved"
    );

    let mut classify = classify();
    classify.arg("--json").arg(image()).arg("--heatmap");
    let error = refused(classify.arg(path("full.png")));
    assert_says(&error, &said);
    assert_says(&error, &["--heatmap", "full.png"]);
    assert!(
        path("full.png").is_symlink(),
        "the device was replaced by a file"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_training_goes_on_while_its_disk_is_full_and_ends_well_if_that_is_over() {
    let folder = new_folder();
    let whole = folder.path().join("whole");
    ok(&mut short_run(&whole));
    for (name, code) in [("last.safetensors.partial", 0), ("metrics.jsonl", 1)] {
        let out = folder.path().join(format!("run of {name}"));
        std::fs::create_dir(&out).expect("made");
        full(&out.join(name));
        let ended = run(&mut short_run(&out));
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        let named = name.trim_end_matches(".partial");
        let warning = format!("warning: cannot write {}", out.join(named).display());
        assert_says(
            &ended.stderr,
            &[&warning, "goes on", "No space left on device"],
        );
        match code {
            0 => {
                assert_says(&ended.stderr, &["all is saved again"]);
                assert_same(&out, &whole);
            }
            _ => assert_says(
                &ended.stderr,
                &[
                    "error: the end of the run could not be saved: cannot write",
                    "free some space",
                ],
            ),
        }
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    }
}

/// A training on whose folder something falls.
#[cfg(unix)]
struct Running {
    child: std::process::Child,
    metrics: std::path::PathBuf,
}

#[cfg(unix)]
impl Running {
    fn start(out: &std::path::Path) -> Self {
        let mut train = short_run(out);
        train.args([
            "--epochs",
            "1000000",
            "--log-every",
            "1",
            "--batch-size",
            "8",
        ]);
        let pipe = std::process::Stdio::piped;
        let child = train.stdout(pipe()).stderr(pipe()).spawn().expect("starts");
        let metrics = out.join("metrics.jsonl");
        let this = Self { child, metrics };
        this.wait_for_lines(2);
        this
    }

    fn wait_for_lines(&self, count: usize) {
        let started = std::time::Instant::now();
        let lines =
            || std::fs::read_to_string(&self.metrics).map_or(0, |text| text.lines().count());
        while lines() < count {
            // Not how fast it is, but that this test ends.
            assert!(started.elapsed().as_secs() < 300, "no lines");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Exit code and warnings after Ctrl-C.
    fn stop(self) -> (Option<i32>, String) {
        let mut kill = std::process::Command::new("kill");
        kill.args(["-INT", &self.child.id().to_string()]);
        assert!(kill.status().expect("kill runs").success());
        let ended = self.child.wait_with_output().expect("ends");
        let text = String::from_utf8(ended.stderr).expect("UTF-8");
        assert!(!text.contains("panicked"), "{text}");
        (ended.status.code(), text)
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_is_removed_while_training_is_made_again() {
    let folder = new_folder();
    let out = folder.path().join("run");
    let running = Running::start(&out);
    // At once: what is removed file by file may get a new one meanwhile.
    let away = folder.path().join("away");
    std::fs::rename(&out, &away).expect("moved");
    std::fs::remove_dir_all(&away).expect("removed");
    running.wait_for_lines(2);
    let (code, text) = running.stop();
    assert_eq!(code, Some(130), "{text}");
    let named = out.display().to_string();
    assert_says(
        &text,
        &["warning: ", &named, "was removed", "all is saved again"],
    );
    assert!(out.join("config.json").exists());
    let mut resume = example("train");
    resume.args(["--device", "cpu", "--max-steps", "1", "--resume"]);
    assert_says(&ok(resume.arg(&out)), &["resumed after step"]);
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_ends_a_training_with_one_error_only_if_it_stays_so() {
    let folder = new_folder();
    let (out, away) = (folder.path().join("run"), folder.path().join("away"));
    for stays in [false, true] {
        let running = Running::start(&out);
        std::fs::rename(&out, &away).expect("moved");
        std::fs::write(&out, "in the way").expect("written");
        // Some steps, which leave no trace.
        std::thread::sleep(std::time::Duration::from_millis(300));
        if !stays {
            std::fs::remove_file(&out).expect("removed");
            running.wait_for_lines(2);
        }
        let (code, text) = running.stop();
        let named = out.display().to_string();
        assert_says(
            &text,
            &["warning: cannot write ", &named, "the training goes on"],
        );
        let errors = text.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), usize::from(stays), "{text}");
        assert_eq!(code, Some(if stays { 1 } else { 130 }), "{text}");
        if !stays {
            std::fs::remove_dir_all(&out).expect("removed");
            std::fs::remove_dir_all(&away).expect("removed");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_checkpoint_that_does_not_fit_leaves_the_one_before() {
    use std::process::Command;

    let folder = new_folder();
    let out = folder.path().join("run");
    ok(short_run(&out).args(["--max-steps", "2"]));
    let mut before = contents(&out);
    // No file may grow beyond 100 blocks, less than a checkpoint; without the trap that would be the end at once.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$0\" \"$@\""]);
    let train = short_run(&out);
    limited
        .arg(train.get_program())
        .args(["--device", "cpu", "--resume"]);
    let ended = run(limited.arg(&out));
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_says(
        &ended.stderr,
        &[
            "warning: cannot write ",
            "the training goes on",
            "error: the end of the run could not be saved",
            ".safetensors",
            "free some space",
        ],
    );
    let mut after = contents(&out);
    for files in [&mut before, &mut after] {
        // These two are of the steps since.
        files.retain(|path, _| !path.ends_with("metrics.jsonl") && !path.ends_with("curve.svg"));
    }
    assert!(
        after == before,
        "a checkpoint changed, or a part of one is left"
    );
}
