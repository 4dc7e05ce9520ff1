//! `metrics.jsonl`: lines that are appended, and kept until they are.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::output::{WriteError, write_whole};

/// A file of lines.
#[derive(Debug)]
pub(super) struct MetricsFile {
    path: PathBuf,
    /// What the file is to hold before lines are appended, if it holds something else.
    begin: Option<String>,
    /// Lines that are not in the file yet.
    unwritten: String,
}

impl MetricsFile {
    /// A file that `begin` will be all of, as soon as something is written.
    pub(super) fn new(path: PathBuf, begin: String) -> Self {
        Self {
            path,
            begin: Some(begin),
            unwritten: String::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether all lines are in the file.
    pub(super) fn is_written(&self) -> bool {
        self.begin.is_none() && self.unwritten.is_empty()
    }

    /// A line for the next [`MetricsFile::write`].
    pub(super) fn push(&mut self, line: &str) {
        self.unwritten += line;
        self.unwritten.push('\n');
    }

    /// Writes what is not in the file yet. What cannot be written is kept for the next time, and no part of it is in the file.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(super) fn write(&mut self) -> Result<(), WriteError> {
        if let Some(begin) = &self.begin {
            write_whole(&self.path, begin.as_bytes())?;
            self.begin = None;
        }
        append(&self.path, self.unwritten.as_bytes()).map_err(WriteError::of(&self.path))?;
        self.unwritten.clear();
        Ok(())
    }

    /// Has the system bring what was written to the disk.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(super) fn sync(&self) -> Result<(), WriteError> {
        let file = File::options().append(true).open(&self.path);
        let synced = file.and_then(|file| match file.metadata()?.is_file() {
            true => file.sync_data(),
            false => Ok(()),
        });
        synced.map_err(WriteError::of(&self.path))
    }
}

/// Appends all bytes or none.
fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut file = File::options().append(true).create(true).open(path)?;
    let before = file.metadata()?.len();
    file.write_all(bytes).inspect_err(|_| {
        // The first error is the one to report.
        let _ = file.set_len(before);
    })
}
