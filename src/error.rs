//! The errors of all boundaries in one.

/// Anything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A shape does not fit.
    #[error(transparent)]
    Shape(#[from] crate::graph::shape::ShapeError),
    /// A graph cannot be built or differentiated.
    #[error(transparent)]
    Graph(#[from] crate::graph::GraphError),
    /// A graph does not fit a device's limits.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// The GPU failed.
    #[error(transparent)]
    Gpu(#[from] crate::gpu::GpuError),
    /// Running a graph failed.
    #[error(transparent)]
    Runtime(#[from] crate::backend::runtime::RuntimeError),
    /// A device or model name is unknown.
    #[error(transparent)]
    Device(#[from] crate::backend::device::DeviceError),
    /// A model name is unknown.
    #[error(transparent)]
    Model(#[from] crate::models::ModelError),
    /// Data cannot be read.
    #[error(transparent)]
    Data(#[from] crate::data::DataError),
    /// A checkpoint cannot be read or written, or belongs to another model.
    #[error(transparent)]
    Checkpoint(#[from] crate::program::checkpoint::CheckpointError),
    /// A picture cannot be drawn or written.
    #[error(transparent)]
    Picture(#[from] crate::pictures::PictureError),
    /// Training cannot go on.
    #[error(transparent)]
    Train(#[from] crate::train::TrainError),
}

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
