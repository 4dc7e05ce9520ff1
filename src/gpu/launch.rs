//! One dispatch, ready to be encoded: pipeline, bind group, workgroups.

use std::sync::Arc;

use super::pipeline::Pipeline;
use super::{Gpu, GpuError};
use crate::plan::{Kernel, Variant};

/// One dispatch, ready to be encoded.
#[derive(Debug)]
pub(super) struct Launch {
    pipeline: Arc<Pipeline>,
    bind_group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

impl Launch {
    /// Binds `buffers`, the uniform struct first and then the kernel's storage buffers in order.
    pub(super) fn new<'a>(
        gpu: &Gpu,
        label: &str,
        (kernel, variant): (&'static Kernel, Variant),
        buffers: impl Iterator<Item = wgpu::BufferBinding<'a>>,
        workgroups: [u32; 3],
    ) -> Result<Self, GpuError> {
        let pipeline = gpu.pipeline(kernel, variant)?;
        let mut buffers: Vec<wgpu::BufferBinding<'_>> = buffers.collect();
        let strays = pipeline.strays.iter();
        buffers.extend(strays.map(wgpu::Buffer::as_entire_buffer_binding));
        let entries: Vec<_> = buffers
            .into_iter()
            .zip(0..)
            .map(|(buffer, binding)| wgpu::BindGroupEntry {
                binding,
                resource: wgpu::BindingResource::Buffer(buffer),
            })
            .collect();
        let bind_group = gpu.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(label),
            layout: &pipeline.layout,
            entries: &entries,
        });
        Ok(Self {
            pipeline,
            bind_group,
            workgroups,
        })
    }

    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.bind_group, &[]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}
