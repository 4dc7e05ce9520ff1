//! What the peers written in Rust share: their flags, and taking turns.
//!
//! A peer runs once, then prints a line of JSON: who it is, where it runs, and the values that all peers must agree on.
//! From then on a line `N` on standard input asks for N more runs, which it answers with their seconds and the values of
//! the last. So several peers can stay ready while only one of them works.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};

/// What to run.
#[derive(Debug, Parser)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub struct Task {
    /// The class probabilities or logits of a batch.
    #[arg(long, group = "what")]
    pub forward: bool,
    /// A training step: forward, loss, backward, Adam. All steps are on the same batch.
    #[arg(long, group = "what")]
    pub train: bool,
    /// The network: nin, vgg11 or resnet18.
    #[arg(long, default_value = "nin")]
    pub model: String,
    /// Images of a batch.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Where to run.
    #[arg(long)]
    pub device: String,
    /// Parameters of the network: safetensors under PyTorch's names.
    #[arg(long)]
    pub weights: PathBuf,
    /// `images` [N,1,H,W] in 0..1 and `labels` [N], both as 32-bit floats, of which a batch is the first.
    #[arg(long)]
    pub images: PathBuf,
}

/// Height and width of a network's pictures.
pub fn size(model: &str) -> [usize; 2] {
    match model {
        "resnet18" => [32; 2],
        _ => [224; 2],
    }
}

/// One of the programs that are compared.
pub trait Peer {
    /// Runs once and waits until its result is on the host and the device is idle.
    fn run(&mut self) -> Result<()>;
    /// The logits of the last run and, of a training step, its loss.
    fn values(&mut self) -> Result<Vec<f32>>;
}

/// Adam's learning rate: the first step of the warm-up of `nin`.
pub const LEARNING_RATE: f64 = 1e-5;

/// The version of a package in a `Cargo.lock`.
pub fn locked_version(lock: &'static str, package: &str) -> Result<&'static str> {
    let head = format!("name = \"{package}\"\nversion = \"");
    lock.split_once(&head)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(version, _)| version)
        .with_context(|| format!("no {package} in Cargo.lock"))
}

/// Runs once, introduces the peer, and takes turns until standard input ends.
pub fn take_turns(
    name: &str,
    version: &str,
    adapter: &str,
    task: &Task,
    mut peer: impl Peer,
) -> Result<()> {
    peer.run()?;
    say(&json!({
        "peer": name,
        "version": version,
        "adapter": adapter,
        "what": if task.train { "train" } else { "forward" },
        "batch": task.batch,
        "values": peer.values()?,
    }))?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let runs: usize = line
            .trim()
            .parse()
            .with_context(|| format!("`{line}` is no number of runs"))?;
        let mut seconds = Vec::with_capacity(runs);
        for _ in 0..runs {
            let start = Instant::now();
            peer.run()?;
            seconds.push(start.elapsed().as_secs_f64());
        }
        say(&json!({ "seconds": seconds, "values": peer.values()? }))?;
    }
    Ok(())
}

fn say(line: &Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
