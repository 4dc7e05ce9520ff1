//! What `doctor` prints.

use std::collections::BTreeSet;
use std::path::Path;

use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::AdapterKind;
use nin_wgpu::self_test::{Check, Outcome};

use crate::cache;
use crate::examine::{Findings, Patient, Watched};

/// Failures that are printed in full, of one device.
const FAILURES: usize = 8;

pub(crate) fn system() {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    println!("nin-wgpu {version} on {os} {arch}");
}

/// A device, its limits and features.
pub(crate) fn heading(patient: &Patient) {
    let name = patient.choice.to_string();
    match &patient.adapter {
        None => println!("\n{name:<9} {}", Device::Cpu),
        Some(adapter) => {
            println!("\n{name:<9} {adapter}");
            println!("offers    {}", adapter.limits);
            let features = match adapter.features.as_slice() {
                [] => "none of timestamp-query, shader-f16, subgroups; none is needed".to_owned(),
                features => format!("{}; none is needed", features.join(", ")),
            };
            println!("features  {features}");
        }
    }
}

/// The table of ops, failures in full, and the measurements.
pub(crate) fn findings(findings: &Findings) {
    let Findings {
        checks,
        seconds,
        watched,
        peak,
        speed,
        ended,
    } = findings;
    if !checks.is_empty() {
        table(checks);
        let right = checks.iter().filter(|check| check.outcome.is_right());
        println!(
            "self-test {} of {} checks agree with the reference, in {seconds:.1} s",
            right.count(),
            checks.len()
        );
    }
    if let Some(Watched { checks, strays }) = watched {
        let right = checks.iter().filter(|check| check.outcome.is_right());
        println!(
            "watched   {} of {} with all run-time checks, {strays} indices out of range",
            right.count(),
            checks.len()
        );
    }
    let watched = watched.iter().flat_map(|watched| &watched.checks);
    let failed: Vec<_> = checks
        .iter()
        .chain(watched)
        .filter(|check| !check.outcome.is_right())
        .collect();
    for check in failed.iter().take(FAILURES) {
        println!("          {check}");
    }
    if let Some(more) = failed.len().checked_sub(FAILURES).filter(|more| *more > 0) {
        println!("          and {more} more");
    }
    if let Some(peak) = peak {
        println!("speed     {peak} at most");
    }
    if let Some(speed) = speed {
        println!(
            "          trains {} at {:.0} images/s, as measured now",
            speed.model, speed.images_a_second
        );
    }
    if let Some(reason) = ended {
        println!("ended     {reason}");
    }
}

/// Every check of every device, a line each.
pub(crate) fn json(patients: &[(Patient, Findings)]) -> String {
    let mut lines = String::new();
    for (patient, findings) in patients {
        let adapter = patient.adapter.as_ref().map(ToString::to_string);
        for check in &findings.checks {
            let (outcome, detail) = match &check.outcome {
                Outcome::Right(_) => ("right", None),
                Outcome::Wrong(..) => ("wrong", Some(check.outcome.to_string())),
                Outcome::Refused(reason) => ("refused", Some(reason.clone())),
            };
            let line = serde_json::json!({
                "device": patient.choice.to_string(),
                "adapter": adapter,
                "op": check.op,
                "shapes": check.shapes,
                "algorithm": check.algorithm.map(|algorithm| algorithm.to_string()),
                "kernels": check.kernels,
                "outcome": outcome,
                "detail": detail,
            });
            lines += &format!("{line}\n");
        }
    }
    lines
}

/// A row for each op.
fn table(checks: &[Check]) {
    println!(
        "          {:<24} {:>7} {:>6} {:>6} {:>8}   largest error",
        "op", "kernels", "right", "wrong", "refused"
    );
    let mut ops: Vec<&str> = Vec::new();
    for check in checks {
        if !ops.contains(&check.op) {
            ops.push(check.op);
        }
    }
    for op in ops {
        let mut kernels = BTreeSet::new();
        let (mut right, mut wrong, mut refused, mut most) = (0, 0, 0, 0f64);
        for check in checks.iter().filter(|check| check.op == op) {
            kernels.extend(&check.kernels);
            match check.outcome {
                Outcome::Right(error) => {
                    right += 1;
                    most = most.max(error);
                }
                Outcome::Wrong(..) => wrong += 1,
                Outcome::Refused(_) => refused += 1,
            }
        }
        // The CPU has no kernels, and what is wrong has no part of the allowed.
        let kernels = match kernels.len() {
            0 => "-".to_owned(),
            count => count.to_string(),
        };
        let error = match right {
            0 => "-".to_owned(),
            _ => format!("{:.1} % of the allowed", 100.0 * most),
        };
        println!("          {op:<24} {kernels:>7} {right:>6} {wrong:>6} {refused:>8}   {error}");
    }
}

/// Where files lie that no one named.
pub(crate) fn folders() {
    let place = |folder: Option<std::path::PathBuf>| match folder {
        Some(folder) => {
            let is_there = if folder.is_dir() {
                ""
            } else {
                " (not there yet)"
            };
            format!("{}{is_there}", folder.display())
        }
        None => "nowhere: this user has no cache folder".to_owned(),
    };
    println!("\nfolders   downloaded data sets: {}", place(cache::data()));
    println!("          kernels as tuned: {}", place(cache::tune()));
    let runs = Path::new("runs");
    if runs.is_dir() {
        println!("          trained networks: runs");
    }
}

/// What all that means.
pub(crate) fn verdict(asked: Option<DeviceChoice>, patients: &[(Patient, Findings)]) {
    println!("\nverdict");
    for (patient, findings) in patients {
        println!("  {}", of_one(patient, findings));
    }
    let adapters = patients
        .iter()
        .filter_map(|(patient, _)| patient.adapter.as_ref());
    let kinds: Vec<_> = adapters.map(|adapter| adapter.kind).collect();
    if asked.is_none() && !kinds.contains(&AdapterKind::Hardware) {
        let found = if kinds.is_empty() {
            "No adapter was found"
        } else {
            "No hardware GPU was found"
        };
        println!("  {found}, so `--device auto` takes the CPU.");
        println!("  {}", driver());
    }
    if patients.iter().any(|(_, findings)| findings.is_wrong()) {
        println!("  Please report this whole text: it says what is needed to find the cause.");
    } else {
        println!("  Next: cargo run --release --example train");
    }
}

fn of_one(patient: &Patient, findings: &Findings) -> String {
    let name = patient.choice;
    let refused = findings
        .checks
        .iter()
        .any(|check| !check.outcome.is_right());
    if findings.is_wrong() {
        format!(
            "{name} computes wrong: do not trust its results. Update its driver, or use another `--device`."
        )
    } else if findings.checks.is_empty() {
        format!("{name} cannot be used: see above. Update its driver, or use another `--device`.")
    } else if refused || findings.ended.is_some() {
        format!("{name} computes right as far as it goes, but not all runs on it: see above.")
    } else {
        format!("{name} computes right: you can train and classify with `--device {name}`.")
    }
}

/// How a machine gets a GPU's driver.
fn driver() -> &'static str {
    if cfg!(target_os = "linux") {
        "If there is a GPU, install its Vulkan driver: on Debian and Ubuntu `apt install mesa-vulkan-drivers` for AMD and\n  \
         Intel, NVIDIA's own driver for NVIDIA. A container must be given the GPU too."
    } else if cfg!(target_os = "windows") {
        "If the machine has a GPU, install its maker's driver: DX12 and Vulkan come with it."
    } else {
        "Metal comes with macOS; on other systems install a Vulkan driver."
    }
}
