//! Compute pipelines, made once for each kernel and variant of a device.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};

#[cfg(not(target_family = "wasm"))]
use rayon::prelude::*;

use super::checks::{self, Checks};
use super::{Gpu, GpuError};
use crate::backend::wait::block_on;
use crate::plan::shaders;
use crate::plan::{Access, Kernel, Variant};

/// A kernel compiled for a device.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) pipeline: wgpu::ComputePipeline,
    pub(super) layout: wgpu::BindGroupLayout,
    /// Bound behind the kernel's buffers if it is watched.
    pub(super) strays: Option<wgpu::Buffer>,
}

/// Pipelines made so far, and how.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    made: HashMap<(&'static Kernel, Variant), Arc<Pipeline>>,
    checks: Checks,
    strays: Option<wgpu::Buffer>,
    progress: Progress,
    replaced: Option<Arc<(String, String)>>,
}

/// How further pipelines are made: with which checks, where indices out of range are counted, and from what other source.
#[derive(Clone)]
struct Making {
    checks: Checks,
    strays: Option<wgpu::Buffer>,
    replaced: Option<Arc<(String, String)>>,
}

/// Hears how many of a plan's new kernels are compiled, and of how many.
#[derive(Clone, Default)]
struct Progress(Option<Arc<dyn Fn(usize, usize) + Send + Sync>>);

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Progress").field(&self.0.is_some()).finish()
    }
}

impl Pipelines {
    /// Forgets all pipelines; further ones have these checks.
    pub(super) fn set_checks(&mut self, checks: Checks, device: &wgpu::Device) {
        self.made.clear();
        self.checks = checks;
        self.strays = (checks == Checks::Watched).then(|| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("strays"),
                size: 4,
                usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: false,
            })
        });
    }

    fn making(&self) -> Making {
        Making {
            checks: self.checks,
            strays: self.strays(),
            replaced: self.replaced.clone(),
        }
    }

    /// Where indices out of range are counted, if they are.
    pub(super) fn strays(&self) -> Option<wgpu::Buffer> {
        self.strays.clone()
    }
}

impl Gpu {
    /// Has `tell` hear how many of a plan's new kernels are compiled, and of how many, each time that one is: compiling is most
    /// of the time that a network takes to be loaded.
    pub fn on_compiled(&self, tell: impl Fn(usize, usize) + Send + Sync + 'static) {
        self.lock_pipelines().progress = Progress(Some(Arc::new(tell)));
    }

    /// Compiles kernels from now on with this text as the source of a path of [`shaders::SOURCES`], or with all as they are, and
    /// forgets those compiled before that have another text now. It is for tests of the tests: nothing says that the results
    /// are right.
    #[doc(hidden)]
    pub fn replace_source(&self, replaced: Option<(String, String)>) {
        let mut pipelines = self.lock_pipelines();
        let before = std::mem::replace(&mut pipelines.replaced, replaced.map(Arc::new));
        let after = pipelines.replaced.clone();
        pipelines.made.retain(|&(kernel, variant), _| {
            let text = |of: &Option<Arc<_>>| shaders::wgsl_with(kernel, variant, of.as_deref());
            matches!((text(&before), text(&after)), (Ok(before), Ok(after)) if before == after)
        });
    }

    /// Compiles, on all cores, what of `wanted` is not compiled yet. A driver may take a second for one.
    pub(super) async fn prepare(
        &self,
        wanted: impl Iterator<Item = (&'static Kernel, Variant)>,
    ) -> Result<(), GpuError> {
        let mut missing: Vec<_> = wanted.collect();
        {
            let known = self.lock_pipelines();
            let mut seen = HashSet::new();
            missing.retain(|key| !known.made.contains_key(key) && seen.insert(*key));
        }
        if missing.is_empty() {
            return Ok(());
        }
        let (making, progress) = {
            let known = self.lock_pipelines();
            (known.making(), known.progress.clone())
        };
        let (of, done) = (missing.len(), AtomicUsize::new(0));
        let compile = async |key: (_, _)| {
            let pipeline = self.compile(key.0, key.1, making.clone()).await?;
            if let Progress(Some(tell)) = &progress {
                tell(done.fetch_add(1, Ordering::Relaxed) + 1, of);
            }
            Ok::<_, GpuError>((key, Arc::new(pipeline)))
        };
        #[cfg(not(target_family = "wasm"))]
        let compiled: Vec<_> = {
            let missing = missing.into_par_iter();
            missing.map(|key| block_on(compile(key))).collect()
        };
        // A browser's device is of one thread, which others have their turn on meanwhile.
        #[cfg(target_family = "wasm")]
        let compiled = {
            let mut compiled = Vec::new();
            for key in missing {
                compiled.push(compile(key).await);
            }
            compiled
        };
        // The first error in their order, whichever came first.
        for pipeline in compiled {
            let (key, pipeline) = pipeline?;
            self.lock_pipelines().made.insert(key, pipeline);
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
        if let Some(pipeline) = pipelines.made.get(&(kernel, variant)) {
            return Ok(pipeline.clone());
        }
        let compiled = block_on(self.compile(kernel, variant, pipelines.making()));
        let pipeline = Arc::new(compiled?);
        pipelines.made.insert((kernel, variant), pipeline.clone());
        Ok(pipeline)
    }

    async fn compile(
        &self,
        kernel: &'static Kernel,
        variant: Variant,
        Making {
            checks,
            strays,
            replaced,
        }: Making,
    ) -> Result<Pipeline, GpuError> {
        let buffers = self.device.limits().max_storage_buffers_per_shader_stage;
        let strays = strays.filter(|_| checks.watches(kernel, buffers));
        let label = kernel.name(variant);
        tracing::debug!(%label, "compiling");
        let mut source = shaders::wgsl_with(kernel, variant, replaced.as_deref())?;
        if strays.is_some() {
            source = checks::watched(&source, kernel.bindings.len() + 1);
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let module = self.module(&label, source, checks.trusts(kernel));
        let uniform = wgpu::BufferBindingType::Uniform;
        let storage = kernel
            .bindings
            .iter()
            .map(|binding| wgpu::BufferBindingType::Storage {
                read_only: binding.access == Access::Read,
            })
            .chain(
                strays
                    .as_ref()
                    .map(|_| wgpu::BufferBindingType::Storage { read_only: false }),
            );
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
        match scope.pop().await {
            Some(error) => Err(GpuError::Refused(format!("{label}: {error}"))),
            None => Ok(Pipeline {
                pipeline,
                layout,
                strays,
            }),
        }
    }

    /// A shader module, without run-time checks if it is trusted.
    fn module(&self, label: &str, source: String, is_trusted: bool) -> wgpu::ShaderModule {
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(label),
            source: wgpu::ShaderSource::Wgsl(source.into()),
        };
        if !is_trusted {
            return self.device.create_shader_module(descriptor);
        }
        #[expect(
            unsafe_code,
            reason = "without checks, indices must be in range: Kernel::is_trusted, tests/checks.rs"
        )]
        // SAFETY: every index of a trusted kernel is in range, whatever the data, since indices come from shapes alone; the
        // tests watch each one. Loops end, since their bounds are shapes; divisors are sides of shapes, strides and
        // windows, none of which is zero.
        unsafe {
            let checks = wgpu::ShaderRuntimeChecks::unchecked();
            self.device.create_shader_module_trusted(descriptor, checks)
        }
    }
}
