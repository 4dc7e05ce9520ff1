//! Files that cannot be written: found out before the work, or at the least without a loss.

use crate::programs::{
    assert_says, classify, contents, image, new_folder, refused, run, short_run,
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

    // The metrics, and a checkpoint, which is written beside its place first.
    for name in ["metrics.jsonl", "last.safetensors.partial"] {
        let out = folder.path().join(format!("run of {name}"));
        std::fs::create_dir(&out).expect("made");
        full(&out.join(name));
        let error = refused(&mut short_run(&out));
        assert_says(&error, &said);
        assert_says(
            &error,
            &["cannot write ", name.trim_end_matches(".partial")],
        );
    }
}

#[cfg(unix)]
#[test]
fn a_checkpoint_that_does_not_fit_leaves_the_one_before() {
    use crate::programs::ok;
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
    let error = refused(limited.arg(&out));
    assert_says(
        &error,
        &["cannot write ", "last.safetensors", "free some space"],
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
