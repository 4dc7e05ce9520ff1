//! What an adapter can do at most, measured by two kernels made for that.

use super::launch::Launch;
use super::{Gpu, GpuError, profile};
use crate::backend::peak::{Peak, highest_rate};
use crate::backend::wait::block_on;
use crate::plan::{Kernel, Variant, read, uniforms, write};

uniforms! {
    struct FmaUniform { rounds: u32, multiplier: f32, addend: f32 }
}

uniforms! {
    struct CopyUniform { len: u32 }
}

static FMA: Kernel = Kernel {
    shader: "peak_fma",
    entry: "chains",
    bindings: &[write("y")],
    uniform: FmaUniform::FIELDS,
};

static COPY: Kernel = Kernel {
    shader: "peak_copy",
    entry: "copy",
    bindings: &[read("x"), write("y")],
    uniform: CopyUniform::FIELDS,
};

/// Invocations of a workgroup of both kernels.
const WORKGROUP: u32 = 64;
/// Workgroups of multiply-adds: enough to keep the largest GPU busy to the end.
const FMA_WORKGROUPS: u32 = 4096;
/// Operations of one invocation in one round: 16 chains of 4 multiply-adds.
const FMA_ROUND: u32 = 16 * 4 * 2;
/// Bytes that are copied: with its source more than most caches hold.
const COPIED: u32 = 64 << 20;

/// Multiply-adds whose time tells how high a device's clock is.
#[derive(Debug)]
pub(super) struct MultiplyAdds(Launch);

/// Rounds of [`MultiplyAdds`]: 2 GFLOP, long enough to be timed on the fastest GPU and short on the slowest.
const GAUGE_ROUNDS: u32 = 64;

impl MultiplyAdds {
    /// Gets them ready to be timed.
    pub(super) fn new(gpu: &Gpu) -> Result<Self, GpuError> {
        let uniform = gpu.buffer(16, wgpu::BufferUsages::UNIFORM);
        let sums = gpu.buffer(4 * FMA_WORKGROUPS * WORKGROUP, wgpu::BufferUsages::STORAGE);
        let words = FmaUniform {
            rounds: GAUGE_ROUNDS,
            ..VALUES
        }
        .words();
        gpu.queue
            .write_buffer(&uniform, 0, bytemuck::cast_slice(&words));
        let buffers = [&uniform, &sums].map(|buffer| buffer.as_entire_buffer_binding());
        let kernel = (&FMA, Variant::Plain);
        let workgroups = [FMA_WORKGROUPS, 1, 1];
        let launch = Launch::new(gpu, "clock", kernel, buffers.into_iter(), workgroups)?;
        Ok(Self(launch))
    }

    /// Seconds that they take now.
    pub(super) fn time(&self, gpu: &Gpu) -> Result<f64, GpuError> {
        Ok(profile::time(gpu, std::slice::from_ref(&self.0), 1)?[0])
    }

    /// Keeps the device busy with them, so many times over.
    pub(super) fn repeat(&self, gpu: &Gpu, times: u32) -> Result<(), GpuError> {
        gpu.run_launch(&self.0, times)
    }
}

/// They stay near 2, where a multiplication is as fast as any.
const VALUES: FmaUniform = FmaUniform {
    rounds: 0,
    multiplier: 0.75,
    addend: 0.5,
};

impl Gpu {
    /// The kernels that measure [`Gpu::peak`], for the tests that check shaders against declarations.
    pub fn peak_kernels() -> [&'static Kernel; 2] {
        [&FMA, &COPY]
    }

    /// Measures what the device computes and copies at most. Takes a second or so, and 128 MiB of its memory
    /// meanwhile.
    ///
    /// # Errors
    /// [`GpuError::OutOfMemory`], or [`GpuError::Refused`] if a driver refuses a kernel.
    pub fn peak(&self) -> Result<Peak, GpuError> {
        let invocations = FMA_WORKGROUPS * WORKGROUP;
        let copies = COPIED / 16 / WORKGROUP;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let uniform = self.buffer(16, wgpu::BufferUsages::UNIFORM);
        let [sums, from, to] = [4 * invocations, COPIED, COPIED]
            .map(|bytes| self.buffer(bytes, wgpu::BufferUsages::STORAGE));
        block_on(async {
            match scope.pop().await {
                Some(_) => Err(GpuError::OutOfMemory("measuring its speed".into())),
                None => Ok(()),
            }
        })?;
        let launch = |kernel, storage: &[&wgpu::Buffer], workgroups| {
            let buffers = std::iter::once(&uniform).chain(storage.iter().copied());
            let buffers = buffers.map(|buffer| buffer.as_entire_buffer_binding());
            Launch::new(self, "peak", (kernel, Variant::Plain), buffers, workgroups)
        };
        let set = |words: Vec<u32>| {
            self.queue
                .write_buffer(&uniform, 0, bytemuck::cast_slice(&words));
        };
        let fma = launch(&FMA, &[&sums], [FMA_WORKGROUPS, 1, 1])?;
        let rounds = highest_rate(|rounds| {
            set(FmaUniform { rounds, ..VALUES }.words());
            self.run_launch(&fma, 1)
        })?;
        set(CopyUniform { len: COPIED / 16 }.words());
        let copy = launch(&COPY, &[&from, &to], [copies / 2, 2, 1])?;
        let copies = highest_rate(|times| self.run_launch(&copy, times))?;
        Ok(Peak {
            flops: rounds * f64::from(invocations) * f64::from(FMA_ROUND),
            bytes: copies * 2.0 * f64::from(COPIED),
        })
    }

    fn buffer(&self, bytes: u32, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("peak"),
            size: bytes.into(),
            usage: usage | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        })
    }

    /// Runs one launch many times over and waits for its end.
    fn run_launch(&self, launch: &Launch, times: u32) -> Result<(), GpuError> {
        let mut encoder = self.device.create_command_encoder(&Default::default());
        {
            let mut pass = self.begin_pass(&mut encoder, None);
            (0..times).for_each(|_| launch.encode(&mut pass));
        }
        self.submit(encoder);
        self.wait()
    }
}
