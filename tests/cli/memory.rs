//! Trainings that do not fit the memory that there is.

use std::path::Path;
use std::process::Command;

use crate::programs::{Ended, assert_says, new_folder, run, short_run};

/// `train` in batches of that many pictures, with 1.5 GB of addresses.
fn limited(out: &Path, batch: &str) -> Ended {
    let train = short_run(out);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -v 1500000; exec \"$0\" \"$@\""]);
    command.arg(train.get_program()).args(train.get_args());
    command.args([
        "--limit-train",
        "6000",
        "--limit-test",
        "100",
        "--max-steps",
        "1",
    ]);
    run(command
        .args(["--batch-size", batch])
        .env("RAYON_NUM_THREADS", "2"))
}

#[cfg(target_os = "linux")]
#[test]
fn a_batch_that_does_not_fit_is_refused_with_the_one_that_does() {
    let folder = new_folder();
    let out = folder.path().join("run");
    let refused = limited(&out, "6000");
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let text = refused.stderr;
    assert_says(
        &text,
        &[
            "error: a training in batches of 6000 takes",
            "are available",
        ],
    );
    assert!(!out.exists(), "something was written");
    let (_, fits) = text.split_once("--batch-size ").expect("a mend");
    let (fits, _) = fits.split_once(' ').expect("or less");
    let ended = limited(&out, fits);
    assert_eq!(ended.code, Some(0), "{fits}: {}", ended.stderr);
}
