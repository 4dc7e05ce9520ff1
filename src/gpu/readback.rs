//! A ring of staging buffers: results come back some runs late, so that nothing waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{Gpu, GpuError};

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
    state: Arc<AtomicU8>,
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
            state: Arc::default(),
        });
    }

    /// Asks for the copy queued last to be mapped once its submission is done.
    pub(super) fn map_last(&self) {
        if let Some(Pending { buffer, state }) = self.pending.back() {
            let state = state.clone();
            buffer
                .slice(..)
                .map_async(wgpu::MapMode::Read, move |result| {
                    let now = if result.is_ok() { MAPPED } else { FAILED };
                    state.store(now, Ordering::Release);
                });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// The copies that have arrived, oldest first; with `wait`, all that were queued.
    pub(super) fn take(&mut self, gpu: &Gpu, wait: bool) -> Result<Vec<Vec<f32>>, GpuError> {
        let mut arrived = Vec::new();
        gpu.poll(wait)?;
        while let Some(next) = self.pending.front() {
            match next.state.load(Ordering::Acquire) {
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
                _ => return Err(GpuError::Lost("a copy to the host failed".into())),
            }
        }
        Ok(arrived)
    }
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

/// Copies part of a buffer to the host, waiting for the device.
pub(super) fn read(
    gpu: &Gpu,
    source: &wgpu::Buffer,
    offset: u64,
    bytes: u64,
) -> Result<Vec<f32>, GpuError> {
    let mut ring = Readback {
        bytes,
        free: vec![staging(gpu, bytes)],
        pending: VecDeque::new(),
    };
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    ring.copy([(source, offset, bytes)], &mut encoder);
    gpu.submit(encoder);
    ring.map_last();
    ring.take(gpu, true)?
        .pop()
        .ok_or_else(|| GpuError::Lost("a copy to the host did not arrive".into()))
}
