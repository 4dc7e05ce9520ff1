//! The run folder: metrics, checkpoints and configuration on disk.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::claim::Claim;
use super::{Event, State, TrainError};
use crate::data::Bad;
use crate::error::{Error, Result};
use crate::output::{self, WriteError};
use crate::pictures::curve;
use crate::program::Parameters;
use crate::train::checkpoint::{self, Metadata};

/// A folder that a run writes to: `config.json`, `metrics.jsonl`, `curve.svg`, `last.safetensors`, `best.safetensors`,
/// `kernels.json` on a GPU, `resume.safetensors`, which holds the parameters that training goes on with, the optimizer's moments and the run's state, and `bad-pictures.txt` if pictures
/// could not be loaded.
#[derive(Debug)]
pub struct RunFolder {
    folder: PathBuf,
    metrics: File,
    metadata: Metadata,
    /// Names of pictures that are in the list of bad ones.
    bad: HashSet<String>,
    _claim: Claim,
}

/// A run as [`RunFolder::resume`] finds it.
#[derive(Clone, Debug)]
pub struct Resumed {
    /// Parameters of the moment.
    pub parameters: Parameters,
    /// What the optimizer keeps of them: moments, and the average.
    pub moments: Parameters,
    /// Model, data and step.
    pub metadata: Metadata,
    /// Options and progress.
    pub state: State,
    /// What `config.json` holds; null if it is not there.
    pub config: serde_json::Value,
}

const RESUME: &str = "resume.safetensors";
const METRICS: &str = "metrics.jsonl";
const CONFIG: &str = "config.json";
const KERNELS: &str = "kernels.json";
const BAD: &str = "bad-pictures.txt";

fn holds_a_run(folder: &Path) -> bool {
    [RESUME, "last.safetensors", "best.safetensors"]
        .iter()
        .any(|name| folder.join(name).exists())
}

/// `folder`, `folder-2`, `folder-3` and so on.
fn numbered(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = folder.to_owned();
    let name = folder.file_name().unwrap_or_default().to_os_string();
    let others = (2..).map({
        let folder = folder.clone();
        move |n| {
            let mut name = name.clone();
            name.push(format!("-{n}"));
            folder.with_file_name(name)
        }
    });
    std::iter::once(folder).chain(others)
}

fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), TrainError> {
    Ok(output::write_whole(path, bytes)?)
}

fn write_error(path: &Path) -> impl Fn(std::io::Error) -> TrainError + use<> {
    let error = WriteError::of(path);
    move |source| error(source).into()
}

fn read(path: &Path) -> Result<String, TrainError> {
    std::fs::read_to_string(path).map_err(|source| TrainError::Read {
        path: path.to_owned(),
        source,
    })
}

impl RunFolder {
    /// `folder`, or if there is a run in it the first of `folder-2`, `folder-3`, … that has none.
    pub fn unused(folder: &Path) -> PathBuf {
        let mut all = numbered(folder);
        all.find(|folder| !holds_a_run(folder))
            .expect("invariant: there is a number without a run")
    }

    /// Claims the folder, making it if it is not there, empties `metrics.jsonl` and writes `config`. The folder stays claimed until
    /// this is dropped or the process ends.
    ///
    /// `metadata` goes into every checkpoint, its epoch and step brought up to date.
    ///
    /// # Errors
    /// [`TrainError::HoldsRun`] if the folder holds checkpoints already, [`TrainError::InUse`] if another training writes there,
    /// [`TrainError::Write`] if it or a file in it cannot be written.
    pub fn create(folder: &Path, config: &impl Serialize, metadata: Metadata) -> Result<Self> {
        let claim = Claim::of(folder)?;
        if holds_a_run(folder) {
            return Err(TrainError::HoldsRun(folder.to_owned()).into());
        }
        Self::begin(folder, claim, config, metadata)
    }

    /// The same in `folder` or the first of `folder-2`, `folder-3`, … that holds no run and is not in use.
    ///
    /// # Errors
    /// [`TrainError::Write`] if a folder or a file in it cannot be written.
    pub fn create_unused(
        folder: &Path,
        config: &impl Serialize,
        metadata: Metadata,
    ) -> Result<Self> {
        for folder in numbered(folder).filter(|folder| !holds_a_run(folder)) {
            match Self::create(&folder, config, metadata.clone()) {
                // Another training was there first.
                Err(Error::Train(TrainError::InUse(_) | TrainError::HoldsRun(_))) => {}
                made => return made,
            }
        }
        unreachable!("invariant: there is a number without a run")
    }

    fn begin(
        folder: &Path,
        claim: Claim,
        config: &impl Serialize,
        metadata: Metadata,
    ) -> Result<Self> {
        let path = folder.join(CONFIG);
        let json = serde_json::to_vec_pretty(config).map_err(|e| write_error(&path)(e.into()))?;
        write_whole(&path, &json)?;
        let path = folder.join(METRICS);
        let metrics = File::create(&path).map_err(write_error(&path))?;
        Ok(Self {
            folder: folder.to_owned(),
            metrics,
            metadata,
            bad: HashSet::new(),
            _claim: claim,
        })
    }

    /// Opens the folder of a run that was stopped. Lines of `metrics.jsonl` later than its checkpoint are dropped.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] if there is no `resume.safetensors`, [`TrainError::InUse`] if another training writes there, [`checkpoint::CheckpointError`] if it is not whole,
    /// [`TrainError::Read`] or [`TrainError::Write`] if `metrics.jsonl` cannot be read or written.
    pub fn resume(folder: &Path) -> Result<(Self, Resumed)> {
        let path = folder.join(RESUME);
        if !path.exists() {
            return Err(TrainError::NoRun(folder.to_owned()).into());
        }
        let claim = Claim::of(folder)?;
        let (tensors, metadata) = checkpoint::load_trained(&path)?;
        let Some(state) = metadata.resume.clone() else {
            let message = format!("{} holds no state of a run", path.display());
            return Err(TrainError::Resume(message).into());
        };
        let [parameters, moments] = checkpoint::part_moments(tensors);
        let path = folder.join(METRICS);
        let text = read(&path)?;
        let kept: String = text
            .split_inclusive('\n')
            .take_while(|line| !is_later(line, &metadata))
            .collect();
        write_whole(&path, kept.as_bytes())?;
        let metrics = File::options()
            .append(true)
            .open(&path)
            .map_err(write_error(&path))?;
        let this = Self {
            folder: folder.to_owned(),
            metrics,
            metadata: metadata.clone(),
            bad: HashSet::new(),
            _claim: claim,
        };
        let config = std::fs::read(folder.join(CONFIG)).ok();
        let config = config
            .and_then(|json| serde_json::from_slice(&json).ok())
            .unwrap_or_default();
        Ok((
            this,
            Resumed {
                parameters,
                moments,
                metadata,
                state,
                config,
            },
        ))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// The kernels that the run computes by ([`Gpu::kernels`](crate::gpu::Gpu::kernels)), if it began on a GPU.
    pub fn kernels(&self) -> Option<Vec<u8>> {
        std::fs::read(self.folder.join(KERNELS)).ok()
    }

    /// Keeps the kernels that the run computes by, in `kernels.json`.
    ///
    /// # Errors
    /// [`TrainError::Write`].
    pub fn keep_kernels(&self, json: &[u8]) -> Result<()> {
        if self.kernels().as_deref() == Some(json) {
            return Ok(());
        }
        Ok(write_whole(&self.folder.join(KERNELS), json)?)
    }

    /// Writes what an event has for the disk.
    ///
    /// # Errors
    /// [`TrainError::Write`] or [`checkpoint::CheckpointError`] if a file cannot be written.
    pub fn record(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Interval(interval) => self.line("step", interval),
            Event::Tested(accuracy) => self.line("test", &json!({ "test_accuracy": accuracy })),
            Event::BadPictures(bad) => self.list_bad(bad),
            Event::Epoch(epoch) => {
                self.line("epoch", epoch)?;
                self.curve()
            }
            Event::Checkpoint {
                epoch,
                step,
                best,
                parameters,
                trained,
                moments,
                state,
            } => {
                (self.metadata.epoch, self.metadata.step) = (*epoch, *step);
                self.metadata.resume = None;
                let names = ["last.safetensors", "best.safetensors"];
                for name in &names[..if *best { 2 } else { 1 }] {
                    checkpoint::save(&self.folder.join(name), parameters, Some(&self.metadata))?;
                }
                self.metadata.resume = Some((*state).clone());
                let both: Parameters = trained.iter().chain(*moments).cloned().collect();
                checkpoint::save(&self.folder.join(RESUME), &both, Some(&self.metadata))?;
                Ok(())
            }
            Event::FirstStep(_) | Event::Progress(_) | Event::DeadClasses(_) | Event::Notice(_) => {
                Ok(())
            }
        }
    }

    /// Draws `curve.svg` from `metrics.jsonl`, which may go back to before this process.
    fn curve(&self) -> Result<()> {
        let metrics = read(&self.folder.join(METRICS))?;
        let title = format!("{} on {}", self.metadata.model, self.metadata.dataset);
        let svg = curve::svg(&title, &metrics)?;
        Ok(write_whole(&self.folder.join("curve.svg"), svg.as_bytes())?)
    }

    /// Appends the pictures that are new to the list, each with what is wrong with it.
    fn list_bad(&mut self, bad: &[Bad]) -> Result<()> {
        let path = self.folder.join(BAD);
        let file = File::options().append(true).create(true).open(&path);
        let mut file = file.map_err(write_error(&path))?;
        for Bad { name, error } in bad {
            if self.bad.insert(name.clone()) {
                let cause = std::error::Error::source(error);
                let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
                writeln!(file, "{name}\t{error}{cause}").map_err(write_error(&path))?;
            }
        }
        Ok(())
    }

    /// Appends a line to `metrics.jsonl`, `kind` first.
    fn line(&mut self, kind: &str, fields: &impl Serialize) -> Result<()> {
        let write = |file: &mut File| -> std::io::Result<()> {
            let fields = serde_json::to_string(fields)?;
            let fields = fields.trim_start_matches('{');
            writeln!(file, "{{\"kind\":{},{fields}", json!(kind))
        };
        Ok(write(&mut self.metrics).map_err(write_error(&self.folder.join(METRICS)))?)
    }
}

/// Whether a line of `metrics.jsonl` will be written again when the run of this checkpoint goes on, or is torn off: those of later
/// steps and epochs, of the end of the run, and of an interval or an epoch that it was stopped in.
fn is_later(line: &str, at: &Metadata) -> bool {
    let parsed: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let cut = at.resume.as_ref();
    let cut = cut.is_some_and(|state| state.interval_so_far.images() > 0);
    let whole_steps = if cut { at.step - 1 } else { at.step };
    let is_later = |line: serde_json::Value| match line["kind"].as_str() {
        Some("test") => true,
        Some("epoch") => line["epoch"].as_u64() > Some(at.epoch),
        _ => line["step"].as_u64() > Some(whole_steps),
    };
    !line.ends_with('\n') || parsed.is_none_or(is_later)
}
