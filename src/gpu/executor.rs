//! Runs a plan on a device: one compute pass and one submit a run, or several where it takes long (`pace.rs`). Nothing is created
//! after it is built but the ring for snapshots.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::launch::Launch;
use super::pace::Pace;
use super::profile;
use super::readback::{self, Readback};
use super::{Gpu, GpuError};
use crate::backend::profile::Entry;
use crate::backend::runtime::{
    Reading, Runtime, RuntimeError, check_read, check_write, check_write_rows,
};
use crate::backend::wait::block_on;
use crate::graph::shape::DType;
use crate::graph::tensor::HostSlice;
use crate::graph::{Graph, Role, ValueId};
use crate::plan::{Dispatch, Page, Plan, Region};

/// A plan with memory and pipelines on a device.
#[derive(Debug)]
pub struct Executor {
    gpu: Gpu,
    plan: Plan,
    buffers: Vec<wgpu::Buffer>,
    launches: Vec<Launch>,
    pace: Pace,
    /// Whether a parameter or statistic was written since the plan's prologue ran.
    is_stale: bool,
    /// For snapshots, once there was one.
    readback: Option<Readback>,
    completed: Arc<AtomicU64>,
}

/// Offsets into the uniform buffer are multiples of this (WebGPU's default limit).
const UNIFORM_ALIGNMENT: usize = 256;

/// A value of a snapshot.
struct Snapped {
    region: Region,
    /// Whether it is reset.
    accumulates: bool,
}

impl Executor {
    /// Allocates the plan's slots, zeroed, and compiles its kernels.
    ///
    /// # Errors
    /// [`GpuError::Limit`] if a slot exceeds the device's limits, [`GpuError::OutOfMemory`], or
    /// [`GpuError::Refused`] if a driver refuses a kernel.
    pub fn new(gpu: &Gpu, plan: Plan) -> Result<Self, GpuError> {
        block_on(Self::new_async(gpu, plan))
    }

    /// [`Executor::new`] to be awaited.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub async fn new_async(gpu: &Gpu, plan: Plan) -> Result<Self, GpuError> {
        let limit = gpu.limits().max_binding;
        if let Some(slot) = plan.slots().iter().find(|slot| slot.bytes > limit) {
            return Err(GpuError::Limit {
                tensor: slot.label.clone(),
                need: slot.bytes,
                limit,
                adapter: gpu.description().to_string(),
            });
        }
        let scope = gpu.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffers: Vec<_> = plan
            .slots()
            .iter()
            .map(|slot| {
                gpu.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some(&slot.label),
                    size: slot.bytes,
                    usage: wgpu::BufferUsages::STORAGE
                        | wgpu::BufferUsages::COPY_SRC
                        | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            })
            .collect();
        for buffer in plan.buffers() {
            if let Some(words) = &buffer.contents {
                let slot = &buffers[buffer.slot.index()];
                gpu.queue.write_buffer(slot, 0, bytemuck::cast_slice(words));
            }
        }
        let uniforms = upload_uniforms(gpu, plan.dispatches());
        if scope.pop().await.is_some() {
            let megabytes = plan.bytes() / 1_000_000;
            return Err(GpuError::OutOfMemory(format!("allocating {megabytes} MB")));
        }
        let kernels = plan.dispatches().iter();
        gpu.prepare(kernels.map(|dispatch| (dispatch.kernel, dispatch.variant)))
            .await?;
        let launches = plan
            .dispatches()
            .iter()
            .enumerate()
            .map(|(i, dispatch)| launch(gpu, &plan, dispatch, &buffers, &uniforms, i))
            .collect::<Result<_, _>>()?;
        let completed = Arc::default();
        Ok(Self {
            gpu: gpu.clone(),
            pace: Pace::new(plan.dispatches()),
            plan,
            buffers,
            launches,
            is_stale: true,
            readback: None,
            completed,
        })
    }

    /// The plan that is run.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    fn slot(&self, region: Region) -> &wgpu::Buffer {
        &self.buffers[self.plan.slot_under(region).index()]
    }

    /// Where a value lies that outlives a run.
    fn kept(&self, id: ValueId) -> Result<Region, RuntimeError> {
        check_read(self.plan.graph(), id)?;
        let value = self.plan.graph().value(id);
        let region = self.plan.region(id);
        region
            .filter(|_| value.role != Role::Activation)
            .ok_or_else(|| RuntimeError::NotKept(value.name.clone()))
    }

    /// Writes `bytes` into a region, from byte `offset` of it on, which is a multiple of 4.
    fn upload(&self, region: Region, offset: u64, bytes: &[u8]) {
        // Writes come in whole words; up to three last bytes go in a word of their own.
        let (words, rest) = bytes.split_at(bytes.len() / 4 * 4);
        let (slot, at) = (self.slot(region), region.offset + offset);
        self.gpu.queue.write_buffer(slot, at, words);
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            let at = at + words.len() as u64;
            self.gpu.queue.write_buffer(slot, at, &word);
        }
    }

    /// The first launch of the next run.
    fn first_launch(&self) -> usize {
        if self.is_stale {
            0
        } else {
            self.plan.prologue()
        }
    }

    /// A pass of some launches.
    fn encode(&self, launches: Range<usize>) -> wgpu::CommandEncoder {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        let mut pass = self.gpu.begin_pass(&mut encoder, None);
        for launch in &self.launches[launches] {
            launch.encode(&mut pass);
        }
        drop(pass);
        encoder
    }

    /// Submits one run, in parts if it is long; behind the pass a copy of what `snapshot` holds, and the reset of what accumulates.
    fn submit(&mut self, snapshot: &[Snapped]) -> Result<(), GpuError> {
        self.gpu.check()?;
        let first = self.first_launch();
        let mut submissions = self.pace.submissions(first, self.gpu.longest_submission());
        let under_way = self.pace.begin(first);
        let last = submissions.pop().unwrap_or(first..first);
        for launches in submissions {
            let encoder = self.encode(launches);
            self.gpu.submit(encoder);
        }
        let mut encoder = self.encode(last);
        self.is_stale = false;
        let parts = snapshot.iter().map(|Snapped { region, .. }| {
            let slot = &self.buffers[self.plan.slot_under(*region).index()];
            (slot, region.offset, region.bytes)
        });
        let readback = self.readback.as_mut().filter(|_| !snapshot.is_empty());
        if let Some(readback) = readback {
            readback.copy(parts, &mut encoder);
        }
        for Snapped { region, .. } in snapshot.iter().filter(|part| part.accumulates) {
            encoder.clear_buffer(self.slot(*region), region.offset, Some(region.bytes));
        }
        self.gpu.submit(encoder);
        let completed = self.completed.clone();
        self.gpu.queue.on_submitted_work_done(move || {
            completed.fetch_add(1, Ordering::Relaxed);
            under_way.end();
        });
        if let (Some(readback), false) = (&self.readback, snapshot.is_empty()) {
            readback.map_last();
        }
        self.gpu.poll(false)
    }
}

impl Runtime for Executor {
    fn graph(&self) -> &Graph {
        self.plan.graph()
    }

    fn write(&mut self, id: ValueId, data: HostSlice<'_>) -> Result<(), RuntimeError> {
        check_write(self.plan.graph(), id, data)?;
        self.is_stale |= self.plan.graph().value(id).role.is_state();
        if !self.plan.pages(id).is_empty() {
            return self.write_rows(id, 0, data);
        }
        let Some(region) = self.plan.region(id) else {
            return Ok(());
        };
        self.upload(region, 0, bytes_of(data));
        Ok(self.gpu.check()?)
    }

    fn write_rows(
        &mut self,
        id: ValueId,
        first: usize,
        data: HostSlice<'_>,
    ) -> Result<(), RuntimeError> {
        let row = check_write_rows(self.plan.graph(), id, first, data)?;
        self.is_stale |= self.plan.graph().value(id).role.is_state();
        let bytes = bytes_of(data);
        let row = row * (bytes.len() / data.len().max(1));
        let whole = |region| Page {
            first: 0,
            rows: usize::MAX,
            region,
        };
        let pages = match self.plan.pages(id) {
            [] => self.plan.region(id).map(whole).into_iter().collect(),
            pages => pages.to_vec(),
        };
        let end = first + bytes.len() / row;
        for page in pages {
            let from = first.max(page.first);
            let to = end.min(page.first.saturating_add(page.rows));
            if from < to {
                let part = &bytes[(from - first) * row..(to - first) * row];
                self.upload(page.region, ((from - page.first) * row) as u64, part);
            }
        }
        Ok(self.gpu.check()?)
    }

    fn run(&mut self) -> Result<(), RuntimeError> {
        Ok(self.submit(&[])?)
    }

    fn profile(&mut self, runs: usize) -> Result<Vec<Entry>, RuntimeError> {
        if self.is_stale && self.plan.prologue() > 0 {
            self.submit(&[])?;
        }
        let first = self.plan.prologue();
        let seconds = profile::time(&self.gpu, &self.launches[first..], runs)?;
        let dispatches = self.plan.dispatches()[first..].iter().zip(seconds);
        let entries = dispatches.map(|(dispatch, seconds)| Entry {
            layer: dispatch.layer.clone(),
            op: dispatch.op,
            kernel: dispatch.name(),
            shapes: dispatch.shapes.clone(),
            seconds,
            flops: dispatch.flops,
            bytes: dispatch.bytes,
        });
        Ok(entries.collect())
    }

    fn queue_read(&mut self, id: ValueId) -> Result<Reading, RuntimeError> {
        let region = self.kept(id)?;
        let value = self.plan.graph().value(id);
        let regions = match self.plan.pages(id) {
            [] => vec![region],
            pages => pages.iter().map(|page| page.region).collect(),
        };
        let parts = regions
            .into_iter()
            .map(|region| (self.slot(region), region.offset, region.bytes));
        let arrival = readback::queue(&self.gpu, parts);
        let (dtype, len) = (value.dtype, value.shape.len());
        Ok(Box::pin(async move {
            let words = arrival.await?;
            Ok(match dtype {
                DType::F32 => words,
                DType::U32 => words.iter().map(|word| word.to_bits() as f32).collect(),
                DType::U8 => {
                    let bytes: &[u8] = bytemuck::cast_slice(&words);
                    bytes[..len].iter().map(|&byte| byte.into()).collect()
                }
            })
        }))
    }

    fn run_and_snapshot(&mut self, of: &[ValueId]) -> Result<(), RuntimeError> {
        let snapped = |&id: &ValueId| {
            Ok::<_, RuntimeError>(Snapped {
                region: self.kept(id)?,
                accumulates: self.plan.graph().value(id).role == Role::Accumulator,
            })
        };
        let snapshot: Vec<_> = of.iter().map(snapped).collect::<Result<_, _>>()?;
        let bytes = snapshot.iter().map(|part| part.region.bytes).sum();
        match &self.readback {
            Some(ring) if ring.bytes() == bytes && !ring.is_full() => {}
            Some(ring) if !ring.is_idle() => {
                let message = "take_snapshots was not called in time".into();
                return Err(GpuError::Refused(message).into());
            }
            _ => self.readback = Some(Readback::new(&self.gpu, bytes)),
        }
        Ok(self.submit(&snapshot)?)
    }

    fn take_snapshots(&mut self, wait: bool) -> Result<Vec<Vec<f32>>, RuntimeError> {
        match &mut self.readback {
            Some(readback) => Ok(readback.take(&self.gpu, wait)?),
            // Nothing was asked for, so there is nothing to wait for.
            None => {
                self.gpu.poll(wait)?;
                Ok(Vec::new())
            }
        }
    }

    fn poll(&mut self) -> Result<(), RuntimeError> {
        Ok(self.gpu.poll(false)?)
    }

    fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }
}

fn bytes_of(data: HostSlice<'_>) -> &[u8] {
    match data {
        HostSlice::F32(data) => bytemuck::cast_slice(data),
        HostSlice::U32(data) => bytemuck::cast_slice(data),
        HostSlice::U8(data) => data,
    }
}

/// One buffer with the uniform structs of all dispatches.
fn upload_uniforms(gpu: &Gpu, dispatches: &[Dispatch]) -> wgpu::Buffer {
    let mut bytes = vec![0; UNIFORM_ALIGNMENT * dispatches.len().max(1)];
    for (chunk, dispatch) in bytes.chunks_mut(UNIFORM_ALIGNMENT).zip(dispatches) {
        let words: &[u8] = bytemuck::cast_slice(&dispatch.uniform);
        chunk[..words.len()].copy_from_slice(words);
    }
    let buffer = gpu.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("uniforms"),
        size: bytes.len() as u64,
        usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    gpu.queue.write_buffer(&buffer, 0, &bytes);
    buffer
}

/// The `index`-th dispatch of `plan`, bound to its buffers.
fn launch(
    gpu: &Gpu,
    plan: &Plan,
    dispatch: &Dispatch,
    buffers: &[wgpu::Buffer],
    uniforms: &wgpu::Buffer,
    index: usize,
) -> Result<Launch, GpuError> {
    let part = |buffer, offset, bytes| wgpu::BufferBinding {
        buffer,
        offset,
        size: wgpu::BufferSize::new(bytes),
    };
    let uniform = part(
        uniforms,
        (index * UNIFORM_ALIGNMENT) as u64,
        4 * dispatch.uniform.len() as u64,
    );
    let storage = dispatch.bindings.iter().map(|region| {
        part(
            &buffers[plan.slot_under(*region).index()],
            region.offset,
            region.bytes,
        )
    });
    Launch::new(
        gpu,
        &dispatch.layer,
        (dispatch.kernel, dispatch.variant),
        std::iter::once(uniform).chain(storage),
        dispatch.workgroups,
    )
}
