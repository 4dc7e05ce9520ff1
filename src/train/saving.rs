//! The checkpoints of a run folder, and what becomes of one that cannot be written.

use std::path::Path;

use super::checkpoint::{CheckpointError, Metadata, save};
use crate::program::Parameters;

pub(super) const RESUME: &str = "resume.safetensors";
pub(super) const LAST: &str = "last.safetensors";
pub(super) const BEST: &str = "best.safetensors";

/// A moment of a run.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    /// The parameters for use.
    pub(super) parameters: &'a Parameters,
    /// Those that training goes on with.
    pub(super) trained: &'a Parameters,
    pub(super) moments: &'a Parameters,
    /// With the state of the run.
    pub(super) metadata: &'a Metadata,
}

/// What could not be written.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    last: Option<(Parameters, Parameters, Metadata)>,
    best: Option<(Parameters, Metadata)>,
}

/// The same without the state of the run.
fn plain(metadata: &Metadata) -> Metadata {
    Metadata {
        resume: None,
        ..metadata.clone()
    }
}

impl Unsaved {
    /// Writes a moment, and what is still to be written. What cannot be is kept, for [`Unsaved::retry`].
    ///
    /// The order is such that a run killed between two files goes on from a moment whose best epoch is there.
    pub(super) fn save(
        &mut self,
        folder: &Path,
        moment: &Moment<'_>,
        best: bool,
    ) -> Result<(), CheckpointError> {
        let of_all = || moment.trained.iter().chain(moment.moments).cloned();
        if best {
            self.best = None;
        }
        // What is newer is what counts.
        self.last = None;
        let saved = self.retry(folder).and_then(|()| {
            let plain = plain(moment.metadata);
            if best {
                save(&folder.join(BEST), moment.parameters, Some(&plain))?;
            }
            save(&folder.join(LAST), moment.parameters, Some(&plain))?;
            save(
                &folder.join(RESUME),
                &of_all().collect(),
                Some(moment.metadata),
            )
        });
        if saved.is_err() {
            let parameters = moment.parameters.clone();
            if best {
                self.best = Some((parameters.clone(), plain(moment.metadata)));
            }
            self.last = Some((parameters, of_all().collect(), moment.metadata.clone()));
        }
        saved
    }

    /// Tries again to write what could not be written.
    pub(super) fn retry(&mut self, folder: &Path) -> Result<(), CheckpointError> {
        if let Some((parameters, metadata)) = &self.best {
            save(&folder.join(BEST), parameters, Some(metadata))?;
            self.best = None;
        }
        if let Some((parameters, trained, metadata)) = &self.last {
            save(&folder.join(LAST), parameters, Some(&plain(metadata)))?;
            save(&folder.join(RESUME), trained, Some(metadata))?;
            self.last = None;
        }
        Ok(())
    }
}
