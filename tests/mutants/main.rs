//! Would the tests notice a mistake in a kernel? Each mutant of a shader (`rules.rs`) is run in every case of the tables whose
//! plan uses a kernel that it changes (`bench.rs`); if all agree with the reference, and no index is out of range, it survives.
//! `scripts/mutants` starts it; no mutant needs a build.
//!
//! Mutants run in child processes (`children.rs`), which are killed if a case runs for ever. What became of each is in a
//! table (`report.rs`), which a later run goes on with.

mod bench;
#[path = "../cases/mod.rs"]
mod cases;
mod children;
mod report;
mod rules;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::{Result, bail};
use bench::Bench;
use clap::Parser;
use nin_wgpu::shaders::SOURCES;
use report::Report;
use rules::Mutant;

/// Those measure a device and compute nothing that is kept.
const WITHOUT_RESULTS: [&str; 2] = ["peak_copy", "peak_fma"];

/// Makes mistakes in the kernels, one at a time, and says which of them no test notices.
#[derive(Parser)]
struct Arguments {
    /// Only every so manieth mutant.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Only those of shaders whose path holds this.
    #[arg(long, default_value = "")]
    only: String,
    /// Says which mutants there are, and runs none.
    #[arg(long)]
    list: bool,
    /// Processes at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// A table (CSV) of what became of each, written as they are judged. Those that it has are not judged again: a run that
    /// was stopped goes on.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Judges the mutants whose numbers come in, and prints what became of each.
    #[arg(long, hide = true)]
    child: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let mutants = mutants(&arguments);
    if mutants.is_empty() {
        bail!("no shader's path holds {:?}", arguments.only);
    }
    if arguments.child {
        return Bench::new()?.run(&mutants);
    }
    if arguments.list {
        for mutant in &mutants {
            println!("{}", mutant.describe());
        }
        println!("{} mutants", mutants.len());
        return Ok(());
    }
    let report = Report::open(arguments.report.as_deref(), &mutants)?;
    let queue = Mutex::new(report.missing());
    let report = Mutex::new(report);
    std::thread::scope(|scope| {
        let work = || children::work(&arguments, &mutants, &queue, &report);
        let workers: Vec<_> = (0..arguments.jobs).map(|_| scope.spawn(work)).collect();
        let mut ends = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"));
        ends.try_for_each(|end| end)
    })?;
    report.into_inner().expect("no panic").print();
    Ok(())
}

/// The mutants that are asked for: of each shader one, then of each a second one, so what is known when it is stopped is of all.
fn mutants(arguments: &Arguments) -> Vec<Mutant> {
    let sources = SOURCES
        .iter()
        .filter(|(path, _)| !WITHOUT_RESULTS.contains(path) && path.contains(&arguments.only));
    let mutants = sources.flat_map(|&(path, source)| rules::mutants(path, source));
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut mutants: Vec<(usize, Mutant)> = mutants
        .step_by(arguments.every)
        .map(|mutant| {
            let place = places.entry(mutant.path).or_default();
            *place += 1;
            (*place, mutant)
        })
        .collect();
    mutants.sort_by_key(|(place, _)| *place);
    mutants.into_iter().map(|(_, mutant)| mutant).collect()
}
