//! The GPU backend, and the only code that names `wgpu`.

mod adapter;
mod checks;
mod device;
pub(crate) mod error;
mod executor;
mod launch;
mod pace;
mod peak;
mod pipeline;
mod pipeline_cache;
mod profile;
mod readback;
mod tune;

pub use adapter::{AdapterDescription, AdapterFilter, AdapterKind};
pub use checks::Checks;
pub use device::{Gpu, Objects, Work};
pub use error::GpuError;
pub use executor::Executor;
#[cfg(fuzzing)]
pub use tune::kernels_of;
pub use tune::{KernelsError, Trial, Trials, Tune};
