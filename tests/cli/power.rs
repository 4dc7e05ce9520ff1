//! The power goes: what a disk holds then is what was brought there, and a training goes on from it. `faults/disk.c` remembers that.
//! `NIN_TEST_CUTS` says how often it goes, for each of two disks.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use nin_wgpu::checkpoint;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::parts::assert_same;
use crate::programs::{assert_says, compile, example, new_folder, ok, run, short_run};

/// Cuts that a test without orders makes.
const CUTS: u32 = 12;

static SHIM: LazyLock<PathBuf> = LazyLock::new(|| {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libdisk.so");
    compile("tests/cli/faults/disk.c", &library);
    library
});

const FLAGS: &str = "--batch-size 8 --log-every 2 --checkpoint-every 3 --quiet";

/// Trains until the power goes at that call, or to the end; says whether it went.
fn cut(out: &Path, disk: &Path, at: u32) -> bool {
    fs::create_dir(disk).expect("made");
    let mut command = short_run(out);
    command.args(FLAGS.split(' ')).env("LD_PRELOAD", &*SHIM);
    command.env("NIN_DISK", disk);
    let ended = run(command.env("NIN_DISK_CUT", at.to_string()));
    assert!(matches!(ended.code, Some(0 | 137)), "{}", ended.stderr);
    ended.code == Some(137)
}

/// Names and inodes of a folder as they are, or as they were brought to the disk.
fn names(folder: &Path, disk: Option<&Path>) -> BTreeMap<String, u64> {
    let Some(disk) = disk else {
        let entries = fs::read_dir(folder).expect("readable");
        let entries = entries.map(|entry| entry.expect("readable"));
        let named = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().expect("UTF-8");
            (name, entry.metadata().expect("readable").ino())
        };
        return entries.map(named).collect();
    };
    let inode = folder.metadata().expect("readable").ino();
    let text = fs::read_to_string(disk.join(format!("{inode}.folder"))).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    let named = lines.map(|(inode, name)| (name.to_owned(), inode.parse().expect("a number")));
    named.filter(|(name, _)| !name.starts_with("..")).collect()
}

/// What is in `out` after the power went. A disk that is `late` has only the names that were brought there; one that is not has
/// them at once, but no more of the files.
fn after(out: &Path, disk: &Path, late: bool, to: &Path) {
    let parent = out.parent().expect("a folder");
    let there = names(parent, late.then_some(disk));
    if !out.exists() || !there.contains_key("run") {
        return;
    }
    fs::create_dir(to).expect("made");
    for (name, inode) in names(out, late.then_some(disk)) {
        if name != "." {
            let bytes = fs::read(disk.join(format!("{inode}.file"))).unwrap_or_default();
            fs::write(to.join(name), bytes).expect("written");
        }
    }
}

/// How many of the cuts left a checkpoint.
fn cut_again_and_again(late: bool) -> u32 {
    let told = std::env::var("NIN_TEST_CUTS");
    let cuts: u32 = told.map_or(CUTS, |told| told.parse().expect("a number"));
    let folder = new_folder();
    let one = folder.path().join("one");
    ok(short_run(&one).args(FLAGS.split(' ')));
    // How many calls there are: the run is cut at none.
    let counted = folder.path().join("counted");
    fs::create_dir(&counted).expect("made");
    let mut calls = 16;
    while cut(
        &counted.join(format!("run {calls}")),
        &counted.join(format!("disk {calls}")),
        calls,
    ) {
        calls *= 2;
    }
    let mut chance = StdRng::seed_from_u64(0x706f_7765);
    // From where on there must be a checkpoint.
    let (mut since, mut left) = (u32::MAX, 0);
    for i in 0..cuts {
        let at = chance.random_range(1..calls);
        let place = folder.path().join(format!("{i}"));
        fs::create_dir(&place).expect("made");
        let [out, disk, to] = ["run", "disk", "after"].map(|name| place.join(name));
        if !cut(&out, &disk, at) {
            continue;
        }
        after(&out, &disk, late, &to);
        for name in ["resume", "last", "best"] {
            let path = to.join(format!("{name}.safetensors"));
            if path.exists() {
                checkpoint::load_trained(&path).expect("a cut leaves whole files");
            }
        }
        if to.join("resume.safetensors").exists() {
            (since, left) = (since.min(at), left + 1);
            let mut resume = example("train");
            resume.args(["--device", "cpu", "--resume"]);
            assert_says(&ok(resume.arg(&to)), &["resumed after step"]);
        } else {
            assert!(at < since, "no checkpoint at {at}, but one at {since}");
            ok(short_run(&to).args(FLAGS.split(' ')));
        }
        assert_same(&to, &one);
    }
    left
}

#[test]
fn a_cut_of_power_leaves_a_whole_checkpoint_on_a_disk_that_has_names_late() {
    assert!(cut_again_and_again(true) > 0);
}

#[test]
fn and_on_one_that_has_names_before_contents() {
    assert!(cut_again_and_again(false) > 0);
}
