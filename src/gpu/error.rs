//! Errors of the GPU backend.

use crate::plan::shaders::ShaderError;

/// Errors of the GPU backend.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter of the wanted kind.
    #[error("no {wanted} found; this machine has {found}")]
    NoAdapter {
        /// What was asked for.
        wanted: String,
        /// What there is, and the mend.
        found: String,
    },
    /// No adapter of the name that [`AdapterFilter::name`](super::AdapterFilter::name) wants, and programs take from
    /// `WGPU_ADAPTER_NAME`.
    #[error(
        "WGPU_ADAPTER_NAME is `{name}`, and no adapter's name holds that; this machine has {found}"
    )]
    Name {
        /// Part of the wanted name.
        name: String,
        /// What there is.
        found: String,
    },
    /// The adapter would not give a device.
    #[error("adapter `{adapter}` gives no device: {message}")]
    NoDevice {
        /// The adapter.
        adapter: String,
        /// The driver's message.
        message: String,
    },
    /// The device ran out of memory.
    #[error("the GPU is out of memory while {0}; use a smaller batch, or `--device cpu`")]
    OutOfMemory(String),
    /// The device went away.
    #[error(
        "the GPU device was lost: {0}; start again from the last checkpoint, or use `--device cpu`"
    )]
    Lost(String),
    /// wgpu refused a command: a bug of this crate or of a driver.
    #[error("the GPU refused a command: {0}")]
    Refused(String),
    /// The plan asks for more than the device has.
    #[error("`{tensor}` needs {need} bytes, but adapter `{adapter}` binds at most {limit}")]
    Limit {
        /// The tensor.
        tensor: String,
        /// Bytes it needs.
        need: u64,
        /// Bytes the adapter binds.
        limit: u64,
        /// The adapter.
        adapter: String,
    },
    /// A call that waits, on a thread that cannot: a page's.
    #[error("a browser's GPU cannot be waited for; await the call that ends in `_async`")]
    CannotWait,
    /// A shader does not link.
    #[error(transparent)]
    Shader(#[from] ShaderError),
}
