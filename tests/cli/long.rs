//! Long trainings keep their memory, and are those in parts. `NIN_TEST_STEPS` says how long.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::parts::assert_same;
use crate::programs::{example, metrics, new_folder, ok, without_gpu};

/// Steps that a test without orders takes, and those after which memory must not grow, or half of all.
const STEPS: u64 = 1000;
const WARM: u64 = 1000;
/// What a process may grow by after those, in KiB, where the allocator's free lists come and go.
const GROWTH: u64 = 8 << 10;

fn steps() -> u64 {
    let told = std::env::var("NIN_TEST_STEPS");
    told.map_or(STEPS, |told| told.parse().expect("a number"))
}

/// LeNet-5 in batches of four, up to this step.
fn long_run(out: &Path, device: &str, to: u64) -> Command {
    let mut command = example("train");
    if out.join("resume.safetensors").exists() {
        command.arg("--resume").arg(out);
    } else {
        let flags = "--dataset synthetic --model lenet --batch-size 4 --limit-train 2000 --limit-test 40 --epochs 1000000 \
                     --schedule constant --log-every 100 --out";
        command.args(flags.split_whitespace()).arg(out);
    }
    command.args(["--quiet", "--device", device, "--max-steps"]);
    command.arg(to.to_string());
    command
}

/// KiB of memory that a process has, while it has some.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Runs a training, and says how much memory it had after so many steps and at most from then on, in KiB.
fn watched(out: &Path, mut command: Command, after: u64) -> [u64; 2] {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let step = || {
        let text = std::fs::read_to_string(out.join("metrics.jsonl")).ok()?;
        let last = text.lines().rfind(|line| line.contains("\"step\""))?;
        let line: serde_json::Value = serde_json::from_str(last).ok()?;
        line["step"].as_u64()
    };
    let (mut warm, mut most) = (None, 0);
    while child.try_wait().expect("is a child").is_none() {
        if let Some(now) = resident(child.id()).filter(|_| step() >= Some(after)) {
            warm.get_or_insert(now);
            most = most.max(now);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output().expect("ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    [warm.expect("it was seen"), most]
}

/// As long as it says, in one and in ten parts.
fn long(device: &str) {
    let steps = steps();
    let folder = new_folder();
    let [one, parts] = ["one", "parts"].map(|name| folder.path().join(name));
    let after = WARM.min(steps / 2);
    let [warm, most] = watched(&one, long_run(&one, device, steps), after);
    eprintln!("{device}: {warm} KiB after {after} steps, {most} KiB at most until step {steps}");
    assert!(most <= warm + GROWTH, "{warm} KiB became {most} KiB");
    for part in 1..=10 {
        ok(&mut long_run(&parts, device, steps * part / 10));
    }
    let losses = metrics(&one, "step");
    assert_eq!(losses.len() as u64, steps / 100);
    assert_same(&parts, &one);
}

#[test]
fn a_long_training_on_the_cpu_keeps_its_memory_and_is_that_in_ten_parts() {
    long("cpu");
}

#[test]
fn so_does_a_long_one_on_a_gpu() {
    if !without_gpu() {
        long("gpu:0");
    }
}
