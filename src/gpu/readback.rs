//! A ring of staging buffers: results come back some runs late, so that nothing waits for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Gpu, GpuError};

/// Copies that may be under way at once.
const DEPTH: usize = 4;

/// A staging buffer that a copy was queued into.
#[derive(Debug)]
struct Pending {
    buffer: wgpu::Buffer,
    mapped: Arc<AtomicBool>,
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

    /// Queues a copy of `source` into `encoder`. The caller makes room first: see [`Readback::is_full`].
    pub(super) fn copy(
        &mut self,
        source: &wgpu::Buffer,
        offset: u64,
        encoder: &mut wgpu::CommandEncoder,
    ) {
        let buffer = self
            .free
            .pop()
            .expect("invariant: the caller checks is_full");
        encoder.copy_buffer_to_buffer(source, offset, &buffer, 0, self.bytes);
        self.pending.push_back(Pending {
            buffer,
            mapped: Arc::default(),
        });
    }

    /// Asks for the copy queued last to be mapped once its submission is done.
    pub(super) fn map_last(&self) {
        if let Some(Pending { buffer, mapped }) = self.pending.back() {
            let mapped = mapped.clone();
            buffer
                .slice(..)
                .map_async(wgpu::MapMode::Read, move |result| {
                    // On failure the device is lost; the next poll reports it.
                    mapped.store(result.is_ok(), Ordering::Release);
                });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// The copies that have arrived, oldest first.
    pub(super) fn take(&mut self) -> Result<Vec<Vec<f32>>, GpuError> {
        let mut arrived = Vec::new();
        while self
            .pending
            .front()
            .is_some_and(|next| next.mapped.load(Ordering::Acquire))
        {
            let Some(Pending { buffer, .. }) = self.pending.pop_front() else {
                break;
            };
            arrived.push(contents(&buffer)?);
            self.free.push(buffer);
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
    ring.copy(source, offset, &mut encoder);
    gpu.submit(encoder);
    ring.map_last();
    gpu.poll(true)?;
    ring.take()?
        .pop()
        .ok_or_else(|| GpuError::Lost("a copy to the host did not arrive".into()))
}
