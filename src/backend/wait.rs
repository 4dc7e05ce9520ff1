//! Waiting for a device: what a program's thread can do, and a page's cannot.

use crate::gpu::error::GpuError;

/// What becomes of `future`, waited for.
///
/// # Errors
/// [`GpuError::CannotWait`] in a browser, whose device answers only while nothing runs; not if all is there already, as it is
/// with the CPU.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn block_on<T, E: From<GpuError>>(
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    pollster::block_on(future)
}

/// The same in a browser.
#[cfg(target_family = "wasm")]
pub(crate) fn block_on<T, E: From<GpuError>>(
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    use std::task::{Context, Poll, Waker};
    match std::pin::pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(GpuError::CannotWait.into()),
    }
}
