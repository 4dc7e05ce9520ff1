//! Writing files so that nothing is lost.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
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

/// Writes a file so that `path` holds either its old contents or all of `bytes`, also after a loss of power: file and folder are on
/// the disk before this returns.
///
/// # Errors
/// [`WriteError`] if it cannot.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let error = WriteError::of(path);
    if is_special(path) {
        return fs::write(path, bytes).map_err(error);
    }
    let temporary = temporary(path);
    let written = write_to_disk(&temporary, bytes)
        .and_then(|()| fs::rename(&temporary, path))
        .and_then(|()| sync_folder(path));
    if written.is_err() {
        // The first error is the one to report; the leftover may not even exist.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(error)
}

fn write_to_disk(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    // A device, by a link, has nothing to bring anywhere.
    match file.metadata()?.is_file() {
        true => file.sync_all(),
        false => Ok(()),
    }
}

/// Makes a folder and those above it, as far as they are not there, and brings their names to the disk.
///
/// # Errors
/// Those of the system.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), make_folder)?;
            fs::create_dir(path)
        }
        made => made,
    };
    match made {
        // Somebody else was there first.
        Err(_) if path.is_dir() => Ok(()),
        made => made.and_then(|()| sync_folder(path)),
    }
}

/// Brings the name of a file to the disk; elsewhere than on Unix the system does that with the file.
fn sync_folder(of: &Path) -> io::Result<()> {
    if !cfg!(unix) {
        return Ok(());
    }
    let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty());
    match File::open(folder.unwrap_or(Path::new(".")))?.sync_all() {
        // Some network file systems have no such call.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
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
