//! What this machine can do, and whether it computes right: `cargo run --release --example doctor`.

#![forbid(unsafe_code)]

#[path = "common/adapters.rs"]
mod adapters;
#[path = "doctor/args.rs"]
mod args;
#[path = "common/cache.rs"]
mod cache;
#[path = "doctor/examine.rs"]
mod examine;
#[path = "common/loss.rs"]
mod loss;
#[path = "doctor/report.rs"]
mod report;

use std::process::ExitCode;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use examine::{Patient, examine};
use nin_wgpu::device::DeviceChoice;
use nin_wgpu::gpu::Gpu;
use nin_wgpu::output;

fn main() -> ExitCode {
    loss::hush();
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything that could be computed is right.
fn run(args: &Args) -> Result<bool> {
    report::system();
    // Now, not after minutes of tests.
    if let Some(path) = &args.json {
        output::check(path).context("--json")?;
    }
    let mut patients = Vec::new();
    for choice in choices(args)? {
        let patient = Patient::of(choice)?;
        report::heading(&patient);
        let findings = examine(&patient, args.checked);
        report::findings(&findings);
        patients.push((patient, findings));
    }
    if let Some(path) = &args.json {
        output::write_whole(path, report::json(&patients).as_bytes()).context("--json")?;
    }
    report::folders();
    report::verdict(args.device, &patients);
    Ok(patients.iter().all(|(_, findings)| !findings.is_wrong()))
}

/// The device that was asked for, or every adapter and the CPU.
fn choices(args: &Args) -> Result<Vec<DeviceChoice>> {
    if let Some(choice) = args.device {
        return Ok(vec![choice]);
    }
    let adapters = 0..Gpu::list(&adapters::adapters()).context("adapters")?.len();
    let adapters = adapters.map(DeviceChoice::Adapter);
    Ok(adapters.chain([DeviceChoice::Cpu]).collect())
}
