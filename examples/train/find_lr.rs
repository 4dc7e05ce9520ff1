//! `train --find-lr`: which learning rate to train at.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nin_wgpu::device::Device;
use nin_wgpu::models::Model;
use nin_wgpu::output::{WriteError, write_whole};
use nin_wgpu::pictures::rates;
use nin_wgpu::train::{RateStep, RunFolder, find_lr};

use crate::args::Args;
use crate::setup::{self, Prepared};

/// Steps between two lines on the screen.
const EVERY: usize = 10;

/// Runs the test, prints what came of it and how to go on, and writes it beside what the folder holds.
pub(crate) fn run(args: &Args, model: &Model, device: &Device) -> Result<()> {
    let prepared = setup::prepare(args, model, device)?;
    let Prepared {
        split,
        options,
        parameters,
        ..
    } = &prepared;
    let folder = args
        .out
        .clone()
        .unwrap_or_else(|| setup::run_folder(model, &args.dataset));
    std::fs::create_dir_all(&folder)
        .map_err(|source| WriteError {
            path: folder.clone(),
            source,
        })
        .context("--out")?;
    // Whoever reads no further has seen enough.
    let told = |text: String| {
        let _ = writeln!(std::io::stdout(), "{text}");
    };
    if !args.quiet {
        told(format!("model    {} ({})", model.name, model.summary));
        told(format!("device   {device}"));
    }
    let mut done = 0;
    let test = find_lr(
        device,
        model,
        &split.train,
        parameters,
        options,
        |rate, loss| {
            done += 1;
            if !args.quiet && done % EVERY == 1 {
                told(format!("learning rate {rate:.1e}  loss {loss:.4}"));
            }
            Ok(())
        },
    )
    .context("--find-lr")?;
    let suggestion = format!("{:.1e}", test.suggestion);
    let [picture, table] = unused(&folder);
    let losses: Vec<_> = test
        .steps
        .iter()
        .map(|step| [step.rate, step.loss, step.smoothed])
        .collect();
    let title = format!("{} on {}", model.name, split.train.name());
    let svg = rates::svg(&title, &losses, test.suggestion)?;
    write_whole(&picture, svg.as_bytes())?;
    write_whole(&table, csv(&test.steps).as_bytes())?;
    if test.diverged && !args.quiet {
        told(format!("the loss diverged after {done} steps"));
    }
    told(format!(
        "saved    {}, {}",
        picture.display(),
        table.display()
    ));
    told(format!(
        "suggest  a learning rate of {suggestion}: that at which the loss fell most steeply"
    ));
    told(format!(
        "next     cargo run --release --example train --{} --lr {suggestion}",
        command(&folder)
    ));
    Ok(())
}

/// `find-lr.svg` and `find-lr.csv`, or the first numbered pair that overwrites nothing.
fn unused(folder: &Path) -> [PathBuf; 2] {
    let named = |name: String| ["svg", "csv"].map(|ending| folder.join(format!("{name}.{ending}")));
    let numbered = (2..).map(|n| named(format!("find-lr-{n}")));
    let mut all = std::iter::once(named("find-lr".to_owned())).chain(numbered);
    all.find(|pair| !pair.iter().any(|path| path.exists()))
        .expect("invariant: there is a number without a file")
}

fn csv(steps: &[RateStep]) -> String {
    let mut text = "learning_rate,loss,smoothed_loss\n".to_owned();
    for step in steps {
        text += &format!("{:e},{},{}\n", step.rate, step.loss, step.smoothed);
    }
    text
}

/// This command's flags, but `--find-lr` and an earlier rate, as a shell takes them; the run goes to `folder`, if that was named,
/// or if there is a run in it to the next of its name.
fn command(folder: &Path) -> String {
    let mut flags = String::new();
    let mut add = |flag: &str| match !flag.is_empty() && flag.chars().all(is_plain) {
        true => flags += &format!(" {flag}"),
        false => flags += &format!(" '{}'", flag.replace('\'', r"'\''")),
    };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        let (name, value) = flag.split_once('=').unzip();
        match name.unwrap_or(&flag) {
            "--find-lr" => {}
            "--lr" if value.is_none() => drop(given.next()),
            "--lr" => {}
            "--out" => {
                if value.is_none() {
                    given.next();
                }
                add("--out");
                add(&RunFolder::unused(folder).to_string_lossy());
            }
            _ => add(&flag),
        }
    }
    flags
}

/// Whether a shell takes a character as it stands.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c)
}
