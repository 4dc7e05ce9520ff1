//! Disks that are small or read-only: what `disk.rs` has with devices, with file systems. They are mounted in a name space of their
//! own, where that is allowed: `cargo test --release --test cli mounts -- --ignored`.

use std::path::Path;
use std::process::Command;

use nin_wgpu::checkpoint;

use crate::parts::assert_same;
use crate::programs::{Ended, assert_says, contents, new_folder, ok, run, short_run};

const FLAGS: &str = "--quiet --batch-size 8 --checkpoint-every 3";

/// Runs a shell's script with `train` as `$0`, its flags as `$@`, on a file system of that size at `$DISK`. It is gone afterwards, and
/// what the script copied to `$KEPT` stays.
fn mounted(folder: &Path, size: &str, script: &str) -> Ended {
    let [disk, kept] = ["disk", "kept"].map(|name| folder.join(name));
    std::fs::create_dir_all(&disk).expect("made");
    let train = short_run(&disk.join("run"));
    let mut command = Command::new("unshare");
    let mount = format!("mount -t tmpfs -o size={size} tmpfs \"$DISK\" || exit 99\n");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(mount + script).arg(train.get_program());
    command.args(train.get_args()).args(FLAGS.split(' '));
    run(command.env("DISK", disk).env("KEPT", kept))
}

#[test]
#[ignore = "mounts a file system"]
fn a_disk_too_small_is_named_once_and_leaves_whole_files_only() {
    let folder = new_folder();
    let script = "\"$0\" \"$@\"; code=$?; cp -r \"$DISK/run\" \"$KEPT\"; exit $code";
    // As much as one of the checkpoints of a moment.
    let ended = mounted(folder.path(), "300k", script);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let warnings = ended.stderr.lines();
    let warnings = warnings.filter(|line| line.starts_with("warning: "));
    assert_eq!(warnings.count(), 1, "{}", ended.stderr);
    assert_says(
        &ended.stderr,
        &[
            "resume.safetensors",
            "free some space",
            "the training goes on",
            "error: the end of the run could not be saved: cannot write",
        ],
    );
    for (path, _) in contents(&folder.path().join("kept")) {
        let name = path.to_string_lossy();
        assert!(!name.ends_with(".partial"), "{name} is left");
        if name.ends_with(".safetensors") {
            checkpoint::load_trained(&path).expect("whole");
        }
    }
}

#[test]
#[ignore = "mounts a file system"]
fn a_disk_that_gets_room_while_training_has_the_whole_run_at_the_end() {
    let folder = new_folder();
    let script = "head -c 3000000 /dev/zero >\"$DISK/ballast\"
        \"$0\" \"$@\" --epochs 20 2>\"$DISK/../told\" &
        until grep -q 'warning: cannot write' \"$DISK/../told\"; do sleep 0.05; done
        rm \"$DISK/ballast\"; wait $!; code=$?
        cat \"$DISK/../told\" >&2; cp -r \"$DISK/run\" \"$KEPT\"; exit $code";
    let ended = mounted(folder.path(), "3m", script);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let says = [
        "No space left on device",
        "warning: over; all is saved again",
    ];
    assert_says(&ended.stderr, &says);
    let one = folder.path().join("one");
    ok(short_run(&one)
        .args(FLAGS.split(' '))
        .args(["--epochs", "20"]));
    assert_same(&folder.path().join("kept"), &one);
}

#[test]
#[ignore = "mounts a file system"]
fn a_read_only_disk_is_refused_before_the_work() {
    let folder = new_folder();
    let script = "\"$0\" \"$@\" --max-steps 3 && mount -o remount,ro \"$DISK\" || exit 99
        echo refusing >&2
        \"$0\" --device cpu --resume \"$DISK/run\"; echo $? >&2
        \"$0\" \"$@\" --out \"$DISK/other\"; echo $? >&2
        \"$0\" \"$@\" --out \"$DISK/../other\" --export \"$DISK/file\"; echo $? >&2";
    let ended = mounted(folder.path(), "3m", script);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let (_, refused) = ended
        .stderr
        .split_once("refusing\n")
        .expect("it came there");
    let lines: Vec<_> = refused.lines().collect();
    let says = "name a place that you may write to: Read-only file system";
    for (lines, flag) in lines.chunks(2).zip(["--resume", "--out", "--export"]) {
        assert!(
            lines[0].starts_with(&format!("error: {flag}: ")),
            "{refused}"
        );
        assert!(lines[0].contains(says), "{refused}");
        assert_eq!(lines[1], "1", "{refused}");
    }
    assert_eq!(lines.len(), 6, "{refused}");
    assert!(!folder.path().join("other").exists(), "it began to train");
}
