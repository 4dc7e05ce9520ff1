//! The checkpoints of a run folder, and what becomes of one that cannot be written.

use std::path::Path;

use super::checkpoint::{CheckpointError, Metadata, load_trained, save};
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
    /// What a run goes on from comes first: of a run that is killed before the others are there, [`mended`] writes them.
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
            save(
                &folder.join(RESUME),
                &of_all().collect(),
                Some(moment.metadata),
            )?;
            let plain = plain(moment.metadata);
            if best {
                save(&folder.join(BEST), moment.parameters, Some(&plain))?;
            }
            save(&folder.join(LAST), moment.parameters, Some(&plain))
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

    /// Whether there is nothing to try again.
    pub(super) fn is_empty(&self) -> bool {
        self.last.is_none() && self.best.is_none()
    }

    /// Tries again to write what could not be written.
    pub(super) fn retry(&mut self, folder: &Path) -> Result<(), CheckpointError> {
        if let Some((parameters, metadata)) = &self.best {
            save(&folder.join(BEST), parameters, Some(metadata))?;
            self.best = None;
        }
        if let Some((parameters, trained, metadata)) = &self.last {
            save(&folder.join(RESUME), trained, Some(metadata))?;
            save(&folder.join(LAST), parameters, Some(&plain(metadata)))?;
            self.last = None;
        }
        Ok(())
    }
}

/// Writes what a run that was killed had no time for behind `resume.safetensors`, which holds these parameters and moments: the other
/// checkpoints of the same moment.
pub(super) fn mended(
    folder: &Path,
    trained: &Parameters,
    moments: &Parameters,
    metadata: &Metadata,
) -> Result<(), CheckpointError> {
    let Some(state) = &metadata.resume else {
        return Ok(());
    };
    let per_epoch = (state.train_images / state.options.step_images().max(1)) as u64;
    let at_end = Some(metadata.step) == metadata.epoch.checked_mul(per_epoch) && !state.untested;
    let is_best = at_end && metadata.epoch > 0 && state.best_epoch == metadata.epoch;
    let plain = plain(metadata);
    for (name, wanted) in [(BEST, is_best), (LAST, true)] {
        let path = folder.join(name);
        let is_there = || {
            let file = load_trained(&path);
            file.is_ok_and(|(_, of)| of.step == metadata.step)
        };
        if wanted && !is_there() {
            save(&path, &for_use(trained, moments), Some(&plain))?;
        }
    }
    Ok(())
}

/// The averages of parameters that have one, and the others as they are.
fn for_use(trained: &Parameters, moments: &Parameters) -> Parameters {
    let average = |name: &str| {
        let of = |other: &str| other.strip_suffix(".ema") == Some(name);
        moments.iter().find(|(other, _)| of(other))
    };
    let used = trained.iter().map(|(name, tensor)| {
        let used = average(name).map_or(tensor, |(_, average)| average);
        (name.clone(), used.clone())
    });
    used.collect()
}
