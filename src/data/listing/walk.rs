//! Walking folders: pictures below a folder, and the folders directly in one.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::skipped::{Reason, Skipped};
use crate::data::DataError;
use crate::data::image_file::has_picture_ending;

/// Names that systems write by themselves.
const SYSTEM: [&str; 4] = ["__MACOSX", "Thumbs.db", "desktop.ini", "$RECYCLE.BIN"];

/// What is directly in a folder, by name.
#[derive(Default)]
pub(super) struct Inside {
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<PathBuf>,
}

/// Whether a name is hidden or a system's own.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
        || SYSTEM.iter().any(|own| name.eq_ignore_ascii_case(own))
}

/// What is directly in `folder` and not hidden.
pub(super) fn inside(folder: &Path, skipped: &mut Skipped) -> io::Result<Inside> {
    let mut found = Inside::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if is_hidden(&path) {
            skipped.push(path, Reason::Hidden);
            continue;
        }
        // Only a link has to be followed.
        let kind = match entry.file_type() {
            Ok(kind) if kind.is_symlink() => fs::metadata(&path).map(|data| data.file_type()),
            other => other,
        };
        match kind {
            Ok(kind) if kind.is_dir() => found.folders.push(path),
            Ok(_) => found.files.push(path),
            Err(error) => skipped.push(path, Reason::Unreadable(error)),
        }
    }
    found.folders.sort_unstable();
    found.files.sort_unstable();
    Ok(found)
}

/// All pictures in `folder` and below, each folder once however many links lead to it.
///
/// # Errors
/// [`DataError::Read`] if `folder` itself cannot be read; a folder below it that cannot is skipped.
pub(super) fn pictures(folder: &Path, skipped: &mut Skipped) -> Result<Vec<PathBuf>, DataError> {
    let mut seen = HashSet::new();
    let mut pictures = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        let known = at.canonicalize().unwrap_or_else(|_| at.clone());
        if !seen.insert(known) {
            skipped.push(at, Reason::Again);
            continue;
        }
        let found = match inside(&at, skipped) {
            Ok(found) => found,
            Err(source) if at == folder => {
                return Err(DataError::Read { path: at, source });
            }
            Err(error) => {
                skipped.push(at, Reason::Unreadable(error));
                continue;
            }
        };
        folders.extend(found.folders.into_iter().rev());
        for path in found.files {
            if !has_picture_ending(&path) {
                let ending = path.extension().unwrap_or_default().to_string_lossy();
                let ending = ending.to_lowercase();
                skipped.push(path, Reason::Ending(ending));
            } else if fs::metadata(&path).is_ok_and(|data| data.len() == 0) {
                skipped.push(path, Reason::Empty);
            } else {
                pictures.push(path);
            }
        }
    }
    pictures.sort_unstable();
    Ok(pictures)
}
