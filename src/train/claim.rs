//! Holding a run folder, so that two trainings never write into one.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::TrainError;
use crate::output::{WriteError, make_folder};

/// The file of a run folder that is locked while a training writes there. It stays, empty: who removed it could remove that of the
/// next.
const LOCK: &str = ".lock";

/// A run folder that is this process's own, until it is dropped or the process ends, however it does: the system lets go of the lock.
#[derive(Debug)]
pub(super) struct Claim {
    _lock: Option<File>,
}

impl Claim {
    /// Claims a folder, and makes it if it is not there.
    ///
    /// # Errors
    /// [`TrainError::InUse`] if another training writes there, [`TrainError::Write`] if the folder cannot be written.
    pub(super) fn of(folder: &Path) -> Result<Self, TrainError> {
        make_folder(folder).map_err(WriteError::of(folder))?;
        let path = folder.join(LOCK);
        let open = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path);
        let lock = open.map_err(WriteError::of(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(lock) }),
            Err(TryLockError::WouldBlock) => Err(TrainError::InUse(folder.to_owned())),
            // Some network file systems have no locks; a run is worth more than the guard.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(path = %path.display(), %error, "the run folder cannot be locked");
                Ok(Self { _lock: None })
            }
        }
    }

    /// Whether the folder is there, with what a claim left in it.
    pub(super) fn is_of(folder: &Path) -> bool {
        folder.join(LOCK).exists()
    }
}
