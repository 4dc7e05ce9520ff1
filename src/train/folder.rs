//! The run folder: metrics, checkpoints and configuration on disk.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::json;

use super::{Event, TrainError};
use crate::checkpoint::{self, Metadata};
use crate::error::Result;
use crate::pictures::curve;

/// A folder that a run writes to: `config.json`, `metrics.jsonl`, `curve.svg`, `last.safetensors`, `best.safetensors`.
#[derive(Debug)]
pub struct RunFolder {
    folder: PathBuf,
    metrics: File,
    metadata: Metadata,
}

impl RunFolder {
    /// Makes the folder, empties `metrics.jsonl` and writes `config`.
    ///
    /// `metadata` goes into every checkpoint, its epoch and step brought up to date.
    ///
    /// # Errors
    /// [`TrainError::Folder`] if the folder or a file in it cannot be written.
    pub fn create(folder: &Path, config: &impl Serialize, metadata: Metadata) -> Result<Self> {
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| TrainError::Folder { path, source }
        };
        std::fs::create_dir_all(folder).map_err(error(folder))?;
        let path = folder.join("config.json");
        let json = serde_json::to_vec_pretty(config).map_err(|e| error(&path)(e.into()))?;
        checkpoint::write_whole(&path, &json).map_err(error(&path))?;
        let path = folder.join("metrics.jsonl");
        let metrics = File::create(&path).map_err(error(&path))?;
        Ok(Self {
            folder: folder.to_owned(),
            metrics,
            metadata,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Writes what an event has for the disk.
    ///
    /// # Errors
    /// [`TrainError::Folder`] or [`checkpoint::CheckpointError`] if a file cannot be written.
    pub fn record(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Interval(interval) => self.line("step", interval),
            Event::Epoch(epoch) => {
                self.line("epoch", epoch)?;
                self.curve()
            }
            Event::Checkpoint {
                epoch,
                step,
                best,
                parameters,
            } => {
                (self.metadata.epoch, self.metadata.step) = (*epoch, *step);
                let names = ["last.safetensors", "best.safetensors"];
                for name in &names[..if *best { 2 } else { 1 }] {
                    checkpoint::save(&self.folder.join(name), parameters, Some(&self.metadata))?;
                }
                Ok(())
            }
            Event::FirstStep(_) | Event::Progress(_) | Event::DeadClasses(_) => Ok(()),
        }
    }

    /// Draws `curve.svg` from `metrics.jsonl`, which may go back to before this process.
    fn curve(&self) -> Result<()> {
        let path = self.folder.join("metrics.jsonl");
        let metrics =
            std::fs::read_to_string(&path).map_err(|source| TrainError::Folder { path, source })?;
        let title = format!("{} on {}", self.metadata.model, self.metadata.dataset);
        let svg = curve::svg(&title, &metrics)?;
        let path = self.folder.join("curve.svg");
        checkpoint::write_whole(&path, svg.as_bytes())
            .map_err(|source| TrainError::Folder { path, source })?;
        Ok(())
    }

    /// Appends a line to `metrics.jsonl`, `kind` first.
    fn line(&mut self, kind: &str, fields: &impl Serialize) -> Result<()> {
        let write = |file: &mut File| -> std::io::Result<()> {
            let fields = serde_json::to_string(fields)?;
            let fields = fields.trim_start_matches('{');
            writeln!(file, "{{\"kind\":{},{fields}", json!(kind))
        };
        write(&mut self.metrics).map_err(|source| {
            TrainError::Folder {
                path: self.folder.join("metrics.jsonl"),
                source,
            }
            .into()
        })
    }
}
