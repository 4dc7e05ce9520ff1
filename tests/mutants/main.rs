//! Would the tests notice a mistake in a kernel? Each mutant of a shader (`rules.rs`) is run in every case of the tables whose
//! plan uses a kernel that it changes; if all agree with the reference, and no index is out of range, it survives.
//! `scripts/mutants` starts it; no mutant needs a build.
//!
//! Mutants run in child processes, which are killed if a case takes longer than [`PATIENCE`].

#[path = "../cases/mod.rs"]
mod cases;
mod rules;

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use cases::{Case, on_reference};
use clap::Parser;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use nin_wgpu::gpu::{Checks, Executor, Gpu};
use nin_wgpu::ops::Conv2d;
use nin_wgpu::plan::{Conv2dAlgorithm, Kernel, Plan, PlanOptions, Variant};
use nin_wgpu::runtime::Runtime;
use nin_wgpu::shaders::{SOURCES, wgsl_with};
use rules::Mutant;

/// A kernel that takes longer than this in one case, the compiler's time included, runs for ever.
const PATIENCE: Duration = Duration::from_secs(20);

/// Cases of more elements than this take the reference too long, and have smaller ones beside them.
const MOST_ELEMENTS: usize = 1 << 21;

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
    /// Runs the mutants from this one on, every `jobs`th, and prints what became of each.
    #[arg(long, hide = true)]
    child: Option<usize>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let sources = SOURCES
        .iter()
        .filter(|(path, _)| !WITHOUT_RESULTS.contains(path) && path.contains(&arguments.only));
    let mutants = sources.flat_map(|&(path, source)| rules::mutants(path, source));
    let mutants: Vec<Mutant> = mutants.step_by(arguments.every).collect();
    if mutants.is_empty() {
        bail!("no shader's path holds {:?}", arguments.only);
    }
    // Of each shader one, then of each a second one: what is known when it is stopped is of all of them.
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    let mut mutants: Vec<(usize, Mutant)> = mutants
        .into_iter()
        .map(|mutant| {
            let place = places.entry(mutant.path).or_default();
            *place += 1;
            (*place, mutant)
        })
        .collect();
    mutants.sort_by_key(|(place, _)| *place);
    let mutants: Vec<Mutant> = mutants.into_iter().map(|(_, mutant)| mutant).collect();
    if arguments.list {
        for mutant in &mutants {
            println!("{}", describe(mutant));
        }
        println!("{} mutants", mutants.len());
        return Ok(());
    }
    if let Some(first) = arguments.child {
        return Bench::new()?.run(&mutants, first, arguments.jobs);
    }
    let fates = std::thread::scope(|scope| {
        let runs = (0..arguments.jobs).map(|first| {
            let (arguments, mutants) = (&arguments, &mutants);
            scope.spawn(move || follow(arguments, mutants, first))
        });
        let runs: Vec<_> = runs.collect();
        let fates = runs.into_iter().map(|run| run.join().expect("no panic"));
        fates.collect::<Result<Vec<_>>>()
    })?;
    report(&mutants, fates.into_iter().flatten().collect());
    Ok(())
}

fn describe(mutant: &Mutant) -> String {
    let Mutant {
        path, line, text, ..
    } = mutant;
    format!(
        "shaders/{path}.wgsl:{line}: {}",
        if text.is_empty() { "(dropped)" } else { text }
    )
}

/// What became of the mutants `first`, `first + jobs` and so on, in children as many as it takes.
fn follow(arguments: &Arguments, mutants: &[Mutant], first: usize) -> Result<Vec<(usize, String)>> {
    let mut fates = Vec::new();
    let mut next = first;
    while next < mutants.len() {
        let mut child = Command::new(std::env::current_exe()?)
            .args([
                "--child",
                &next.to_string(),
                "--jobs",
                &arguments.jobs.to_string(),
            ])
            .args([
                "--every",
                &arguments.every.to_string(),
                "--only",
                &arguments.only,
            ])
            .envs([("LP_NUM_THREADS", "1"), ("RAYON_NUM_THREADS", "1")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("no child can be started")?;
        let output = BufReader::new(child.stdout.take().context("a child without output")?);
        let (lines, heard) = mpsc::channel();
        std::thread::spawn(move || {
            output
                .lines()
                .map_while(Result::ok)
                .try_for_each(|l| lines.send(l))
        });
        let (mut is_ready, before) = (false, next);
        let why = loop {
            // The references come first, which take longer.
            let patience = if is_ready { PATIENCE } else { 10 * PATIENCE };
            match heard.recv_timeout(patience) {
                Ok(line) => {
                    is_ready = true;
                    if let Some(fate) = line.strip_prefix("fate ") {
                        eprintln!("{} {fate}", describe(&mutants[next]));
                        fates.push((next, fate.to_owned()));
                        next += arguments.jobs;
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => break "killed: it runs for ever",
                Err(mpsc::RecvTimeoutError::Disconnected) => break "killed: the process ended",
            }
        };
        // It may have ended by itself.
        let _ = child.kill();
        child.wait()?;
        if next < mutants.len() {
            if !is_ready {
                bail!("a child ended before it was ready, at mutant {before}");
            }
            eprintln!("{} {why}", describe(&mutants[next]));
            fates.push((next, why.to_owned()));
            next += arguments.jobs;
        }
    }
    Ok(fates)
}

fn report(mutants: &[Mutant], mut fates: Vec<(usize, String)>) {
    fates.sort_by_key(|(i, _)| (mutants[*i].path, mutants[*i].line));
    let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut total = [0; 3];
    println!("Survivors:");
    for (i, fate) in &fates {
        let column = match fate.split(':').next() {
            Some("killed") => 0,
            Some("survived") => 1,
            _ => 2,
        };
        counts.entry(mutants[*i].path).or_default()[column] += 1;
        total[column] += 1;
        if column == 1 {
            println!("  {} {fate}", describe(&mutants[*i]));
        }
    }
    println!("{:32} killed survived does not compile", "shader");
    for (path, [killed, survived, failed]) in counts.into_iter().chain([("all", total)]) {
        println!("{path:32} {killed:6} {survived:8} {failed:16}");
    }
}

type Key = (&'static Kernel, Variant);

/// A case by an algorithm.
struct Job {
    case: Case,
    algorithm: Conv2dAlgorithm,
    options: PlanOptions,
    want: Vec<Vec<f64>>,
    keys: Vec<Key>,
    elements: usize,
}

/// All jobs, the small ones first.
struct Bench {
    gpu: &'static Gpu,
    jobs: Vec<Job>,
    originals: HashMap<Key, String>,
}

impl Bench {
    fn new() -> Result<Self> {
        let gpu = cases::gpu().context("mutants need an adapter, a software one will do")?;
        let mut jobs = Vec::new();
        let mut originals = HashMap::new();
        for case in tables() {
            let values = case.graph.values().iter();
            let elements = values.map(|value| value.shape.len()).sum();
            if elements > MOST_ELEMENTS {
                continue;
            }
            let want = on_reference::<f64>(&case);
            for algorithm in algorithms(&case, gpu) {
                let options = PlanOptions {
                    conv2d: algorithm.into(),
                    ..gpu.plan_options()
                };
                let plan = Plan::new(case.graph.clone(), &options)?;
                let keys: Vec<Key> = plan
                    .dispatches()
                    .iter()
                    .map(|d| (d.kernel, d.variant))
                    .collect();
                for &(kernel, variant) in &keys {
                    originals.insert((kernel, variant), wgsl_with(kernel, variant, None)?);
                }
                jobs.push(Job {
                    elements,
                    case: case.clone(),
                    algorithm,
                    options,
                    want: want.clone(),
                    keys,
                });
            }
        }
        jobs.sort_by_key(|job| job.elements);
        println!("ready");
        Ok(Self {
            gpu,
            jobs,
            originals,
        })
    }

    fn run(&self, mutants: &[Mutant], first: usize, step: usize) -> Result<()> {
        for mutant in mutants.iter().skip(first).step_by(step) {
            println!("fate {}", self.fate(mutant));
        }
        Ok(())
    }

    /// `killed`, `survived` or `not compiled`, and by what.
    fn fate(&self, mutant: &Mutant) -> String {
        let replaced = (mutant.path.to_owned(), mutant.source.clone());
        let mut changed = Vec::new();
        for (&(kernel, variant), original) in &self.originals {
            match wgsl_with(kernel, variant, Some(&replaced)) {
                Ok(text) if text == *original => {}
                Ok(text) if is_valid(&text) => changed.push((kernel, variant)),
                _ => return "not compiled".to_owned(),
            }
        }
        if changed.is_empty() {
            return "survived: no case uses it".to_owned();
        }
        let jobs = self
            .jobs
            .iter()
            .filter(|job| job.keys.iter().any(|key| changed.contains(key)));
        let jobs: Vec<&Job> = jobs.collect();
        for checks in [Checks::All, Checks::Watched] {
            self.gpu.set_checks(checks);
            self.gpu.replace_source(Some(replaced.clone()));
            for job in &jobs {
                println!("next");
                // A panic is an error of the executor that a test would have ended with.
                let wrong = catch_unwind(AssertUnwindSafe(|| self.wrong(job, checks)));
                if let Some(wrong) = wrong.unwrap_or_else(|_| Some("a panic".to_owned())) {
                    return format!("killed: {}", wrong.replace('\n', " "));
                }
            }
        }
        format!("survived: {} cases", jobs.len())
    }

    fn wrong(&self, job: &Job, checks: Checks) -> Option<String> {
        let gpu = self.gpu;
        let by = job.algorithm.to_string();
        let plan = Plan::new(job.case.graph.clone(), &job.options).expect("it did before");
        let mut executor = Executor::new(gpu, plan).expect("naga took it");
        cases::write(&mut executor, &job.case);
        executor.run().expect("runs");
        let got = cases::results(&mut executor, &job.case);
        if checks == Checks::Watched && gpu.strays().expect("watched") != 0 {
            return Some(format!(
                "{} by {by}: an index is out of range",
                job.case.name
            ));
        }
        cases::disagreement(&job.case, &by, &got, &job.want)
    }
}

fn is_valid(text: &str) -> bool {
    let Ok(module) = naga::front::wgsl::parse_str(text) else {
        return false;
    };
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    validator.validate(&module).is_ok()
}

/// Every case of every table.
fn tables() -> Vec<Case> {
    [
        cases::conv2d::cases(),
        cases::linear::cases(),
        cases::max_pool2d::cases(),
        cases::avg_pool2d::cases(),
        cases::batch_norm::cases(),
        cases::local_response_norm::cases(),
        cases::global_avg_pool::cases(),
        cases::relu::cases(),
        cases::add::cases(),
        cases::concat::cases(),
        cases::reshape::cases(),
        cases::activation::cases(),
        cases::dropout::cases(),
        cases::softmax::cases(),
        cases::softmax_cross_entropy::cases(),
        cases::soft_target_cross_entropy::cases(),
        cases::mean_squared_error::cases(),
        cases::one_hot::cases(),
        cases::gather::cases(),
        cases::optimizer::cases(),
        cases::gradient_norm::cases(),
        cases::ema::cases(),
    ]
    .concat()
}

/// Those that a case is run by: all that serve it, if it is a convolution.
fn algorithms(case: &Case, gpu: &Gpu) -> Vec<Conv2dAlgorithm> {
    let mut nodes = case.graph.nodes().iter();
    match nodes.find_map(|node| Conv2d::of_node(&case.graph, node)) {
        None => vec![Conv2dAlgorithm::HARDWARE],
        Some((_, geometry)) => {
            let mut all = Conv2dAlgorithm::available(gpu.plan_options().limits);
            all.retain(|algorithm| algorithm.serves(&geometry));
            all
        }
    }
}
