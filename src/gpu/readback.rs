//! A ring of staging buffers: results come back some runs late, so that nothing waits for them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{Gpu, GpuError};
use crate::backend::wait::block_on;

/// Copies that may be under way at once.
const DEPTH: usize = 4;

/// How far the mapping of a staging buffer is.
const WAITING: u8 = 0;
const MAPPED: u8 = 1;
const FAILED: u8 = 2;

/// A staging buffer that a copy was queued into.
#[derive(Debug)]
struct Pending {
    buffer: wgpu::Buffer,
    mapping: Arc<Mapping>,
}

/// How far the mapping of a staging buffer is, and who is to be told.
#[derive(Debug, Default)]
struct Mapping {
    state: AtomicU8,
    waker: Mutex<Option<Waker>>,
}

impl Mapping {
    fn state(&self) -> u8 {
        self.state.load(Ordering::Acquire)
    }

    fn end(&self, state: u8) {
        self.state.store(state, Ordering::Release);
        let waker = self.waker.lock();
        if let Some(waker) = waker.unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

/// Staging buffers of one size.
#[derive(Debug)]
pub(super) struct Readback {
    bytes: u64,
    free: Vec<wgpu::Buffer>,
    pending: VecDeque<Pending>,
}

impl Readback {
    pub(super) fn new(gpu: &Gpu, bytes: u64) -> Self {
        let free = (0..DEPTH).map(|_| staging(gpu, bytes)).collect();
        Self {
            bytes,
            free,
            pending: VecDeque::new(),
        }
    }

    /// Bytes of a copy.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether no copy is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Queues a copy of `parts`, each so many bytes of a buffer from an offset on, one behind the other, into `encoder`. The caller
    /// makes room first: see [`Readback::is_full`].
    pub(super) fn copy<'a>(
        &mut self,
        parts: impl IntoIterator<Item = (&'a wgpu::Buffer, u64, u64)>,
        encoder: &mut wgpu::CommandEncoder,
    ) {
        let buffer = self
            .free
            .pop()
            .expect("invariant: the caller checks is_full");
        let mut to = 0;
        for (source, offset, bytes) in parts {
            encoder.copy_buffer_to_buffer(source, offset, &buffer, to, bytes);
            to += bytes;
        }
        self.pending.push_back(Pending {
            buffer,
            mapping: Arc::default(),
        });
    }

    /// Asks for the copy queued last to be mapped once its submission is done.
    pub(super) fn map_last(&self) {
        if let Some(Pending { buffer, mapping }) = self.pending.back() {
            let mapping = mapping.clone();
            buffer
                .slice(..)
                .map_async(wgpu::MapMode::Read, move |result| {
                    mapping.end(if result.is_ok() { MAPPED } else { FAILED });
                });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// The copies that have arrived, oldest first; with `wait`, all that were queued.
    pub(super) fn take(&mut self, gpu: &Gpu, wait: bool) -> Result<Vec<Vec<f32>>, GpuError> {
        let mut arrived = Vec::new();
        if wait {
            gpu.wait()?;
        } else {
            gpu.poll(false)?;
        }
        while let Some(next) = self.pending.front() {
            match next.mapping.state() {
                MAPPED => {
                    let Some(Pending { buffer, .. }) = self.pending.pop_front() else {
                        break;
                    };
                    arrived.push(contents(&buffer)?);
                    self.free.push(buffer);
                }
                // The work is done, but another thread that polls the device may still be calling back.
                WAITING if wait => std::thread::yield_now(),
                WAITING => break,
                _ => return Err(failed()),
            }
        }
        Ok(arrived)
    }
}

fn failed() -> GpuError {
    GpuError::Lost("a copy to the host failed".into())
}

fn staging(gpu: &Gpu, bytes: u64) -> wgpu::Buffer {
    gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("staging"),
        size: bytes,
        usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    })
}

/// Reads a mapped staging buffer and unmaps it.
fn contents(buffer: &wgpu::Buffer) -> Result<Vec<f32>, GpuError> {
    let view = buffer
        .slice(..)
        .get_mapped_range()
        .map_err(|error| GpuError::Lost(error.to_string()))?;
    let data = bytemuck::pod_collect_to_vec(&view);
    drop(view);
    buffer.unmap();
    Ok(data)
}

/// What was copied to the host, once it is there.
pub(super) struct Arrival {
    gpu: Gpu,
    pending: Pending,
}

impl Future for Arrival {
    type Output = Result<Vec<f32>, GpuError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Pending { buffer, mapping } = &self.pending;
        // Before the device is asked: it may call back from another thread.
        *mapping.waker.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(context.waker().clone());
        // A program waits here. A browser calls back when the page's turn is over.
        self.gpu.poll(true)?;
        match mapping.state() {
            MAPPED => {
                let contents = contents(buffer);
                // It served once. A browser would keep its memory until it collects garbage.
                buffer.destroy();
                Poll::Ready(contents)
            }
            WAITING => Poll::Pending,
            _ => Poll::Ready(Err(failed())),
        }
    }
}

/// Queues a copy of `parts`, as [`Readback::copy`] has them, to the host.
pub(super) fn queue<'a>(
    gpu: &Gpu,
    parts: impl IntoIterator<Item = (&'a wgpu::Buffer, u64, u64)>,
) -> Arrival {
    let parts: Vec<_> = parts.into_iter().collect();
    let bytes = parts.iter().map(|(_, _, bytes)| bytes).sum();
    let mut ring = Readback {
        bytes,
        free: vec![staging(gpu, bytes)],
        pending: VecDeque::new(),
    };
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    ring.copy(parts, &mut encoder);
    gpu.submit(encoder);
    ring.map_last();
    let pending = ring.pending.pop_back();
    Arrival {
        gpu: gpu.clone(),
        pending: pending.expect("invariant: it was just queued"),
    }
}

/// Copies part of a buffer to the host, waiting for the device.
pub(super) fn read(
    gpu: &Gpu,
    source: &wgpu::Buffer,
    offset: u64,
    bytes: u64,
) -> Result<Vec<f32>, GpuError> {
    block_on(queue(gpu, [(source, offset, bytes)]))
}
