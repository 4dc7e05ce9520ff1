//! The errors of all boundaries in one. Where one of them combines others, each goes to its own variant here.

use crate::backend::device::{DeviceError, LoadError};
use crate::backend::runtime::RuntimeError;
use crate::data::DataError;
use crate::gpu::error::GpuError;
use crate::graph::GraphError;
use crate::graph::shape::ShapeError;
use crate::models::ModelError;
use crate::pictures::PictureError;
use crate::plan::PlanError;
use crate::program::RunError;
use crate::self_test::SelfTestError;
use crate::train::error::{CheckpointError, TrainError};

/// Anything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape does not fit.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A graph cannot be built or differentiated.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A graph does not fit a device's limits.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] GpuError),
    /// Running a graph failed.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// A program was asked for what it does not do.
    #[error(transparent)]
    Run(RunError),
    /// A device name is unknown.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A model name is unknown.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint cannot be read or written, or belongs to another model.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A picture cannot be drawn or written.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// Training cannot go on.
    #[error(transparent)]
    Train(#[from] TrainError),
}

impl Error {
    /// Whether the GPU went away. One that is opened anew may go on from the last checkpoint.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Gpu(GpuError::Lost(_)) | Self::Runtime(RuntimeError::Gpu(GpuError::Lost(_)))
        )
    }

    /// Whether a training diverged.
    pub fn is_divergence(&self) -> bool {
        matches!(
            self,
            Self::Train(TrainError::NonFinite { .. } | TrainError::NonFiniteParameter { .. })
        )
    }
}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Plan(error) => error.into(),
            LoadError::Gpu(error) => error.into(),
        }
    }
}

impl From<RunError> for Error {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Runtime(error) => error.into(),
            RunError::Data(error) => error.into(),
            RunError::WrongProgram(_) | RunError::NoMaps | RunError::Step { .. } => {
                Self::Run(error)
            }
        }
    }
}

impl From<SelfTestError> for Error {
    fn from(error: SelfTestError) -> Self {
        match error {
            SelfTestError::Graph(error) => error.into(),
            SelfTestError::Plan(error) => error.into(),
            SelfTestError::Gpu(error) => error.into(),
            SelfTestError::Runtime(error) => error.into(),
        }
    }
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
