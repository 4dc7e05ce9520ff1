//! What may go wrong in a session, told to people.

use std::error::Error as _;

/// Errors of a session.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The library's.
    #[error("{}", with_causes(.0))]
    Library(#[from] nin_wgpu::Error),
    /// A command that the page should not send now.
    #[error("{0}")]
    Order(&'static str),
    /// A message that is no command.
    #[error("no command: {0}")]
    Message(String),
    /// Writing a checkpoint.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// An error with what caused it, each cause once.
fn with_causes(error: &nin_wgpu::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text += &format!(": {more}");
        }
        cause = error.source();
    }
    text
}

/// Of one of the library's modules.
macro_rules! of_module {
    ($($error:ty),*) => {$(
        impl From<$error> for Error {
            fn from(error: $error) -> Self {
                Self::Library(error.into())
            }
        }
    )*};
}

of_module!(
    nin_wgpu::checkpoint::CheckpointError,
    nin_wgpu::data::DataError,
    nin_wgpu::device::LoadError,
    nin_wgpu::gpu::GpuError,
    nin_wgpu::graph::GraphError,
    nin_wgpu::models::ModelError,
    nin_wgpu::program::RunError,
    nin_wgpu::self_test::SelfTestError,
    nin_wgpu::shape::ShapeError
);

pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
