//! The run folder: metrics, checkpoints and configuration on disk.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::claim::Claim;
use super::metrics_file::MetricsFile;
use super::saving::{BEST, LAST, Moment, RESUME, Unsaved, mended};
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
    /// What `config.json` holds, if it is there.
    config: Option<Vec<u8>>,
    metrics: MetricsFile,
    metadata: Metadata,
    /// Names of pictures that are in the list of bad ones.
    bad: HashSet<String>,
    unsaved: Unsaved,
    claim: Claim,
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

const METRICS: &str = "metrics.jsonl";
const CONFIG: &str = "config.json";
const KERNELS: &str = "kernels.json";
const BAD: &str = "bad-pictures.txt";

fn holds_a_run(folder: &Path) -> bool {
    [RESUME, LAST, BEST]
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

    /// Claims the folder, making it if it is not there, empties `metrics.jsonl`, removes a list of bad pictures and writes `config`. The folder stays claimed until
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
        // Of a run that was never saved; mostly there is none.
        let _ = std::fs::remove_file(folder.join(BAD));
        let mut metrics = MetricsFile::new(folder.join(METRICS), String::new());
        metrics.write().map_err(TrainError::from)?;
        Ok(Self {
            folder: folder.to_owned(),
            config: Some(json),
            metrics,
            metadata,
            bad: HashSet::new(),
            unsaved: Unsaved::default(),
            claim,
        })
    }

    /// Opens the folder of a run that was stopped. Lines of `metrics.jsonl` later than its checkpoint are dropped with the first that
    /// is written.
    ///
    /// # Errors
    /// [`TrainError::NoRun`] if there is no `resume.safetensors`, [`TrainError::InUse`] if another training writes there, [`checkpoint::CheckpointError`] if it is not whole,
    /// [`TrainError::Read`] if `metrics.jsonl` is there and cannot be read.
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
        mended(folder, &parameters, &moments, &metadata)?;
        let path = folder.join(METRICS);
        let text = match path.exists() {
            true => read(&path)?,
            false => String::new(),
        };
        let kept: String = text
            .split_inclusive('\n')
            .take_while(|line| !is_later(line, &metadata))
            .collect();
        let json = std::fs::read(folder.join(CONFIG)).ok();
        let config = json.as_deref().map(serde_json::from_slice);
        let config = config.and_then(std::result::Result::ok).unwrap_or_default();
        let this = Self {
            folder: folder.to_owned(),
            config: json,
            metrics: MetricsFile::new(path, kept),
            metadata: metadata.clone(),
            bad: HashSet::new(),
            unsaved: Unsaved::default(),
            claim,
        };
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

    /// Writes what an event has for the disk. What cannot be written is kept in memory and tried again with the next log interval
    /// and with the next checkpoint, so a training may go on after an error; [`RunFolder::finish`] says at its end whether all is
    /// there. A folder that was removed is made again.
    ///
    /// # Errors
    /// [`TrainError::Write`] or [`checkpoint::CheckpointError`] if a file cannot be written.
    pub fn record(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Interval(interval) => {
                self.line("step", interval)?;
                self.finish()
            }
            Event::Tested(accuracy) => {
                self.line("test", &json!({ "test_accuracy": accuracy }))?;
                self.finish()
            }
            Event::BadPictures(bad) => self.list_bad(bad),
            Event::Epoch(epoch) => {
                self.line("epoch", epoch)?;
                self.finish()?;
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
                self.metadata.resume = Some((*state).clone());
                let moment = Moment {
                    parameters,
                    trained,
                    moments,
                    metadata: &self.metadata,
                };
                // Lines first: a checkpoint says that they are there. One that cannot be written is kept all the same.
                let lines = restored(&self.folder, &mut self.claim, self.config.as_deref())
                    .and_then(|()| Ok(self.metrics.write()?))
                    .and_then(|()| Ok(self.metrics.sync()?));
                self.unsaved.save(&self.folder, &moment, *best)?;
                Ok(lines?)
            }
            Event::FirstStep(_) | Event::Progress(_) | Event::DeadClasses(_) | Event::Notice(_) => {
                Ok(())
            }
        }
    }

    /// Whether lines and checkpoints are all there, so that nothing waits to be tried again.
    pub fn is_whole(&self) -> bool {
        self.unsaved.is_empty() && self.metrics.is_written()
    }

    /// Tries again to write what could not be written until now.
    ///
    /// # Errors
    /// As [`RunFolder::record`]; then the folder lacks something of the run.
    pub fn finish(&mut self) -> Result<()> {
        restored(&self.folder, &mut self.claim, self.config.as_deref())?;
        self.metrics.write().map_err(TrainError::from)?;
        Ok(self.unsaved.retry(&self.folder)?)
    }

    /// Draws `curve.svg` from `metrics.jsonl`, which may go back to before this process.
    fn curve(&self) -> Result<()> {
        let metrics = read(self.metrics.path())?;
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
            if self.bad.contains(name) {
                continue;
            }
            let cause = std::error::Error::source(error);
            let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
            writeln!(file, "{name}\t{error}{cause}").map_err(write_error(&path))?;
            self.bad.insert(name.clone());
        }
        Ok(())
    }

    /// A line for `metrics.jsonl`, `kind` first.
    fn line(&mut self, kind: &str, fields: &impl Serialize) -> Result<()> {
        let fields = serde_json::to_string(fields);
        let fields = fields.map_err(|error| write_error(self.metrics.path())(error.into()))?;
        let fields = fields.trim_start_matches('{');
        self.metrics
            .push(&format!("{{\"kind\":{},{fields}", json!(kind)));
        Ok(())
    }
}

/// Makes a folder that was removed again, with what it began with, and says so.
fn restored(folder: &Path, claim: &mut Claim, config: Option<&[u8]>) -> Result<(), TrainError> {
    if Claim::is_of(folder) {
        return Ok(());
    }
    *claim = Claim::of(folder)?;
    if let Some(json) = config {
        write_whole(&folder.join(CONFIG), json)?;
    }
    Err(TrainError::Removed(folder.to_owned()))
}

/// Whether a line of `metrics.jsonl` will be written again when the run of this checkpoint goes on, or is torn off: those of later
/// steps and epochs, of the end of the run, and of an interval or an epoch that it was stopped in.
fn is_later(line: &str, at: &Metadata) -> bool {
    let parsed: Option<serde_json::Value> = serde_json::from_str(line).ok();
    let cut = at.resume.as_ref();
    let cut = cut.is_some_and(|state| !state.interval_so_far.is_empty());
    let whole_steps = if cut {
        at.step.saturating_sub(1)
    } else {
        at.step
    };
    let is_later = |line: serde_json::Value| match line["kind"].as_str() {
        Some("test") => true,
        Some("epoch") => line["epoch"].as_u64() > Some(at.epoch),
        _ => line["step"].as_u64() > Some(whole_steps),
    };
    !line.ends_with('\n') || parsed.is_none_or(is_later)
}
