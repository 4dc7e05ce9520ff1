//! Trainings that are killed at any moment: a whole checkpoint is there, and going on from it ends in the bits of a run that was left
//! alone. `NIN_TEST_KILLS` says how often, for each device.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use nin_wgpu::checkpoint;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::parts::assert_same;
use crate::programs::{example, new_folder, ok, short_run, without_gpu};

/// Kills for each device that a test without orders takes.
const KILLS: u32 = 5;

/// 24 steps, with many moments at which something is being written.
const FLAGS: &str = "--batch-size 8 --log-every 2 --checkpoint-every 3 --quiet --device";

fn begin(out: &Path, device: &str) -> Command {
    let mut command = short_run(out);
    command.args(FLAGS.split(' ')).arg(device);
    command
}

/// Begins a run, or goes on with it if something of it was saved.
fn next(out: &Path, device: &str) -> Command {
    if !out.join("resume.safetensors").exists() {
        return begin(out, device);
    }
    let mut command = example("train");
    command.args(["--quiet", "--device", device, "--resume"]);
    command.arg(out);
    command
}

/// Everything that has the name of a checkpoint is one.
fn assert_whole(out: &Path) {
    for name in ["resume", "last", "best"] {
        let path = out.join(format!("{name}.safetensors"));
        if path.exists() {
            checkpoint::load_trained(&path).expect("a killed run leaves whole files");
        }
    }
}

fn killed(device: &str) {
    let told = std::env::var("NIN_TEST_KILLS");
    let kills: u32 = told.map_or(KILLS, |told| told.parse().expect("a number"));
    let folder = new_folder();
    let one = folder.path().join("one");
    ok(&mut begin(&one, device));
    // Its drivers and caches are warm now.
    let started = Instant::now();
    ok(&mut begin(&folder.path().join("timed"), device));
    let whole = started.elapsed();

    let mut chance = StdRng::seed_from_u64(0x6b69_6c6c);
    let (mut done, mut runs, mut tries) = (0, 0, 0);
    let mut out = folder.path().join("run-0");
    while done < kills {
        tries += 1;
        assert!(tries < 20 * (kills + 1), "{done} kills in {tries} tries");
        let mut command = next(&out, device);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        std::thread::sleep(whole.mul_f64(chance.random_range(0.0..0.9)));
        // Whether it ended before that.
        let ended = child.try_wait().expect("is a child");
        child.kill().expect("is a child");
        let output = child.wait_with_output().expect("ends");
        assert_whole(&out);
        match ended {
            None => done += 1,
            Some(status) => {
                let error = String::from_utf8_lossy(&output.stderr);
                assert!(status.success(), "{status}: {error}");
                assert_same(&out, &one);
                runs += 1;
                out = folder.path().join(format!("run-{runs}"));
            }
        }
    }
    ok(&mut next(&out, device));
    assert_same(&out, &one);
    assert_whole(&out);
}

#[test]
fn a_training_on_the_cpu_that_is_killed_again_and_again_ends_in_the_same_bits() {
    killed("cpu");
}

#[test]
fn so_does_one_on_a_gpu() {
    if without_gpu() {
        return;
    }
    killed("gpu:0");
}
