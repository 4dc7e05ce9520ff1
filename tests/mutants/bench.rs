//! The judge of mutants: every case of the tables by every algorithm that serves it, each of which must agree with the
//! reference, all indices in range.

use std::cell::{Cell, OnceCell};
use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use naga::valid::{Capabilities, ValidationFlags, Validator};
use nin_wgpu::gpu::{Checks, Executor, Gpu};
use nin_wgpu::plan::{Conv2dAlgorithm, Kernel, Plan, PlanOptions, Variant};
use nin_wgpu::runtime::Runtime;
use nin_wgpu::shaders::wgsl_with;

use crate::cases::tables::{algorithms, all};
use crate::cases::{self, Case, on_reference};
use crate::rules::Mutant;

/// Cases of more elements than this take the reference too long, and have smaller ones beside them.
const MOST_ELEMENTS: usize = 1 << 21;

type Key = (&'static Kernel, Variant);

/// A case by an algorithm.
struct Job {
    case: Rc<(Case, OnceCell<Vec<Vec<f64>>>)>,
    algorithm: Conv2dAlgorithm,
    options: PlanOptions,
    keys: HashSet<Key>,
    elements: usize,
    /// Whether it was seen to be right with the shaders as they are, without indices counted and with.
    is_sound: [Cell<bool>; 2],
}

/// All jobs, the small ones first.
pub(crate) struct Bench {
    gpu: &'static Gpu,
    jobs: Vec<Job>,
    originals: HashMap<Key, String>,
}

impl Bench {
    pub(crate) fn new() -> Result<Self> {
        let gpu = cases::gpu().context("mutants need an adapter, a software one will do")?;
        let mut jobs = Vec::new();
        let mut originals = HashMap::new();
        for case in all() {
            let values = case.graph.values().iter();
            let elements = values.map(|value| value.shape.len()).sum();
            if elements > MOST_ELEMENTS {
                continue;
            }
            let case = Rc::new((case, OnceCell::new()));
            for algorithm in algorithms(&case.0, gpu.plan_options().limits) {
                let options = PlanOptions {
                    conv2d: algorithm.into(),
                    ..gpu.plan_options()
                };
                let plan = Plan::new(case.0.graph.clone(), &options)?;
                let keys = plan.dispatches().iter().map(|d| (d.kernel, d.variant));
                let keys: HashSet<Key> = keys.collect();
                for &(kernel, variant) in &keys {
                    originals.insert((kernel, variant), wgsl_with(kernel, variant, None)?);
                }
                jobs.push(Job {
                    case: case.clone(),
                    algorithm,
                    options,
                    keys,
                    elements,
                    is_sound: Default::default(),
                });
            }
        }
        jobs.sort_by_key(|job| job.elements);
        println!("ready: {} cases of {} kernels", jobs.len(), originals.len());
        Ok(Self {
            gpu,
            jobs,
            originals,
        })
    }

    /// Judges the mutants whose numbers come in.
    pub(crate) fn run(&self, mutants: &[Mutant]) -> Result<()> {
        for line in std::io::stdin().lock().lines() {
            let mutant = mutants.get(line?.trim().parse::<usize>()?);
            println!("fate {}", self.fate(mutant.context("such a mutant")?)?);
        }
        Ok(())
    }

    /// `killed`, `survived` or `not compiled`, and by what.
    fn fate(&self, mutant: &Mutant) -> Result<String> {
        let replaced = (mutant.path.to_owned(), mutant.source.clone());
        let mut changed = HashMap::new();
        for (&(kernel, variant), original) in &self.originals {
            match wgsl_with(kernel, variant, Some(&replaced)) {
                Ok(text) if text == *original => {}
                Ok(text) => drop(changed.insert((kernel, variant), text)),
                Err(_) => return Ok("not compiled".to_owned()),
            }
        }
        let mut jobs: Vec<_> = self
            .jobs
            .iter()
            .map(|job| (job, job.keys.iter().filter_map(|key| changed.get(key))))
            // By the longest that a job has a driver compile, which is what takes the time: of these the short ones first, and
            // all the jobs of one before the next.
            .filter_map(|(job, texts)| Some((texts.max_by_key(|text| (text.len(), *text))?, job)))
            .collect();
        if jobs.is_empty() {
            return Ok("survived: no case uses it".to_owned());
        }
        jobs.sort_by_key(|(text, job)| (text.len(), *text, job.elements));
        // Parsed when a case first wants them: most mutants are killed by a few.
        let mut valid = HashMap::new();
        let mut costs: HashMap<&Kernel, (Duration, Variant)> = HashMap::new();
        let mut seen = HashSet::new();
        self.gpu.set_checks(Checks::All);
        self.gpu.replace_source(Some(replaced));
        for (_, job) in &jobs {
            println!("next");
            for key in &job.keys {
                let is_valid = |text: &String| *valid.entry(*key).or_insert_with(|| is_valid(text));
                if !changed.get(key).is_none_or(is_valid) {
                    return Ok("not compiled".to_owned());
                }
            }
            let start = Instant::now();
            if let Some(wrong) = self.wrong(job, Checks::All)? {
                return self.killed(job, Checks::All, wrong);
            }
            for &(kernel, variant) in job.keys.iter().filter(|&key| seen.insert(*key)) {
                let cost = (start.elapsed(), variant);
                let least = costs.entry(kernel).or_insert(cost);
                if cost.0 < least.0 {
                    *least = cost;
                }
            }
        }
        // Counting takes the driver four times as long, so of each kernel the variant that takes it the least has to do: what
        // only another one shows is not counted as killed.
        self.gpu.set_checks(Checks::Watched);
        let is_counted = |key: &Key| !changed.contains_key(key) || costs[key.0].1 == key.1;
        for (_, job) in jobs
            .iter()
            .filter(|(_, job)| job.keys.iter().all(is_counted))
        {
            println!("next");
            if let Some(wrong) = self.wrong(job, Checks::Watched)? {
                return self.killed(job, Checks::Watched, wrong);
            }
        }
        Ok(format!("survived: {} cases", jobs.len()))
    }

    fn killed(&self, job: &Job, checks: Checks, wrong: String) -> Result<String> {
        if let Some(wrong) = self.unsound(job, checks)? {
            println!("unsound {wrong}");
        }
        Ok(format!("killed: {}", wrong.replace('\n', " ")))
    }

    /// What is wrong with a job with the shaders as they are: such a job kills no mutant.
    fn unsound(&self, job: &Job, checks: Checks) -> Result<Option<String>> {
        let is_watched = checks == Checks::Watched;
        if job.is_sound[usize::from(is_watched)].replace(true) {
            return Ok(None);
        }
        println!("next");
        self.gpu.set_checks(checks);
        self.gpu.replace_source(None);
        self.wrong(job, checks)
    }

    /// What is wrong with the results of a job, if anything is.
    fn wrong(&self, job: &Job, checks: Checks) -> Result<Option<String>> {
        // A panic is an error of the executor that a test would have ended with.
        let ran = catch_unwind(AssertUnwindSafe(|| self.run_job(job, checks)));
        ran.unwrap_or_else(|_| Ok(Some("a panic".to_owned())))
    }

    fn run_job(&self, job: &Job, checks: Checks) -> Result<Option<String>> {
        let (gpu, by) = (self.gpu, job.algorithm.to_string());
        let (case, want) = &*job.case;
        let plan = Plan::new(case.graph.clone(), &job.options)?;
        let mut executor = Executor::new(gpu, plan).expect("naga took it");
        cases::write(&mut executor, case);
        executor.run().expect("runs");
        let got = cases::results(&mut executor, case);
        if checks == Checks::Watched && gpu.strays()? != 0 {
            let name = &case.name;
            return Ok(Some(format!("{name} by {by}: an index is out of range")));
        }
        let want = want.get_or_init(|| on_reference::<f64>(case));
        Ok(cases::disagreement(case, &by, &got, want))
    }
}

fn is_valid(text: &str) -> bool {
    let Ok(module) = naga::front::wgsl::parse_str(text) else {
        return false;
    };
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    validator.validate(&module).is_ok()
}
