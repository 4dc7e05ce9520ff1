//! Writing files so that nothing is lost.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// A file or folder cannot be written. What was there is unchanged.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}{}", mend(source))]
pub struct WriteError {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl WriteError {
    pub(crate) fn of(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self {
            path: path.clone(),
            source,
        }
    }
}

fn mend(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => ", make its folder first or name another",
        ErrorKind::NotADirectory => ", a part of the path is a file, name another",
        ErrorKind::IsADirectory => ", it is a folder, name a file",
        ErrorKind::AlreadyExists => ", it is a file, name a folder",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            ", name a place that you may write to"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            ", free some space or name another place"
        }
        _ => "",
    }
}

/// Finds out before hours of work whether a file can be written at their end. What is there stays as it is.
///
/// # Errors
/// [`WriteError`] if it cannot.
pub fn check(path: &Path) -> Result<(), WriteError> {
    let tried = if path.is_dir() {
        Err(ErrorKind::IsADirectory.into())
    } else if is_special(path) {
        File::options().write(true).open(path).map(drop)
    } else {
        let temporary = temporary(path);
        File::create(&temporary).and_then(|_| fs::remove_file(&temporary))
    };
    tried.map_err(WriteError::of(path))
}

/// Writes a file so that `path` holds either its old contents or all of `bytes`.
///
/// # Errors
/// [`WriteError`] if it cannot.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let error = WriteError::of(path);
    if is_special(path) {
        return fs::write(path, bytes).map_err(error);
    }
    let temporary = temporary(path);
    let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; the leftover may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(error)
}

/// Whether it is a device or a pipe, which must be written to and not replaced by a file.
fn is_special(path: &Path) -> bool {
    let kind = path.metadata().map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| !kind.is_file() && !kind.is_dir())
}

fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}
