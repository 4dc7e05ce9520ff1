//! Compute pipelines, made once for each kernel and variant of a device.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

#[cfg(not(target_family = "wasm"))]
use rayon::prelude::*;

use super::{Gpu, GpuError};
use crate::plan::shaders;
use crate::plan::{Access, Kernel, Variant};

/// A kernel compiled for a device.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
}

/// Pipelines made so far.
pub(super) type Pipelines = HashMap<(&'static Kernel, Variant), Arc<Pipeline>>;

impl Gpu {
    /// Compiles, on all cores, what of `wanted` is not compiled yet. A driver may take a second for one.
    pub(super) fn prepare(
        &self,
        wanted: impl Iterator<Item = (&'static Kernel, Variant)>,
    ) -> Result<(), GpuError> {
        let mut missing: Vec<_> = wanted.collect();
        {
            let known = self.lock_pipelines();
            let mut seen = HashSet::new();
            missing.retain(|key| !known.contains_key(key) && seen.insert(*key));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let compile = |key: (_, _)| Ok((key, Arc::new(self.compile(key.0, key.1)?)));
        #[cfg(not(target_family = "wasm"))]
        let missing = missing.into_par_iter();
        // A browser's device is of one thread.
        #[cfg(target_family = "wasm")]
        let missing = missing.into_iter();
        let compiled: Vec<Result<_, GpuError>> = missing.map(compile).collect();
        // The first error in their order, whichever came first.
        for pipeline in compiled {
            let (key, pipeline) = pipeline?;
            self.lock_pipelines().insert(key, pipeline);
        }
        self.keep_pipelines();
        Ok(())
    }

    fn lock_pipelines(&self) -> MutexGuard<'_, Pipelines> {
        let locked = self.pipelines.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipeline of a kernel, compiled on first use.
    pub(super) fn pipeline(
        &self,
        kernel: &'static Kernel,
        variant: Variant,
    ) -> Result<Arc<Pipeline>, GpuError> {
        let mut pipelines = self.lock_pipelines();
        if let Some(pipeline) = pipelines.get(&(kernel, variant)) {
            return Ok(pipeline.clone());
        }
        let pipeline = Arc::new(self.compile(kernel, variant)?);
        pipelines.insert((kernel, variant), pipeline.clone());
        Ok(pipeline)
    }

    fn compile(&self, kernel: &'static Kernel, variant: Variant) -> Result<Pipeline, GpuError> {
        let label = kernel.name(variant);
        tracing::debug!(%label, "compiling");
        let source = shaders::wgsl(kernel, variant)?;
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self
            .device
            .create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&label),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
        let uniform = wgpu::BufferBindingType::Uniform;
        let storage = kernel
            .bindings
            .iter()
            .map(|binding| wgpu::BufferBindingType::Storage {
                read_only: binding.access == Access::Read,
            });
        let entries: Vec<_> = std::iter::once(uniform)
            .chain(storage)
            .zip(0..)
            .map(|(ty, binding)| wgpu::BindGroupLayoutEntry {
                binding,
                visibility: wgpu::ShaderStages::COMPUTE,
                ty: wgpu::BindingType::Buffer {
                    ty,
                    has_dynamic_offset: false,
                    min_binding_size: None,
                },
                count: None,
            })
            .collect();
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
                label: Some(&label),
                entries: &entries,
            });
        let pipeline_layout = self
            .device
            .create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
                label: Some(&label),
                bind_group_layouts: &[Some(&layout)],
                immediate_size: 0,
            });
        let cache = self
            .pipeline_cache()
            .as_ref()
            .map(|known| known.cache.clone());
        let pipeline = self
            .device
            .create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: Some(&pipeline_layout),
                module: &module,
                entry_point: Some(kernel.entry),
                compilation_options: wgpu::PipelineCompilationOptions {
                    // Every kernel writes its workgroup memory before it reads it.
                    zero_initialize_workgroup_memory: false,
                    ..Default::default()
                },
                cache: cache.as_ref(),
            });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(GpuError::Refused(format!("{label}: {error}"))),
            None => Ok(Pipeline { pipeline, layout }),
        }
    }
}
