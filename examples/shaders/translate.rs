//! Kernels as wgpu's backends give them to the drivers: naga's writers with the options that wgpu-hal 30 sets.
//!
//! DX12 compiles HLSL, with FXC at shader model 5.1 and with DXC above; Metal compiles MSL; Vulkan takes SPIR-V, of
//! version 1.3 where the driver is of Vulkan 1.1; GL takes GLSL. No driver is needed to write them.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;

use anyhow::{Result, anyhow};
use naga::back::{glsl, hlsl, msl, pipeline_constants, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ResourceBinding, ShaderStage};
use nin_wgpu::gpu::Gpu;
use nin_wgpu::ops::Op;
use nin_wgpu::plan::{Access, Kernel, Variant};
use nin_wgpu::shaders;

/// A language that kernels are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Format {
    /// WGSL: linked and specialised, as wgpu is given it
    Wgsl,
    /// HLSL of shader model 5.1: DX12 with FXC
    Hlsl51,
    /// HLSL of shader model 6.2: DX12 with DXC
    Hlsl62,
    /// Metal's language 2.4
    Msl,
    /// SPIR-V 1.3: Vulkan
    Spirv,
    /// GLSL ES 3.10: GL
    Glsl,
}

impl Format {
    /// Ending of a file.
    pub(crate) fn ending(self) -> &'static str {
        match self {
            Self::Wgsl => "wgsl",
            Self::Hlsl51 => "sm51.hlsl",
            Self::Hlsl62 => "sm62.hlsl",
            Self::Msl => "metal",
            Self::Spirv => "spv",
            Self::Glsl => "comp",
        }
    }

    /// Whether wgpu gives a kernel to a backend in this language: FXC and GL ES have no subgroup operations.
    pub(crate) fn takes(self, kernel: &Kernel) -> bool {
        !(kernel.uses_subgroups() && matches!(self, Self::Hlsl51 | Self::Glsl))
    }
}

/// A kernel in one variant, parsed and validated.
pub(crate) struct Shader {
    /// What it is.
    pub(crate) kernel: &'static Kernel,
    /// Its constants.
    pub(crate) variant: Variant,
    /// Its WGSL.
    pub(crate) wgsl: String,
    /// The same, parsed.
    pub(crate) module: Module,
    /// What the validator found in it.
    pub(crate) info: ModuleInfo,
    /// Whether run-time checks are left out, as wgpu does in a trusted module.
    pub(crate) trusted: bool,
}

impl Shader {
    /// Every kernel in every variant, by name: those of the ops and those that measure a device.
    ///
    /// # Errors
    /// If one does not link, parse or validate, with its name.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let peaks = Gpu::peak_kernels().map(|kernel| (kernel, Variant::Plain));
        // Ops share kernels.
        let kernels: HashSet<_> = Op::kernels().into_iter().chain(peaks).collect();
        let mut shaders = kernels
            .into_iter()
            .map(|(kernel, variant)| Self::new(kernel, variant))
            .collect::<Result<Vec<_>>>()?;
        shaders.sort_by_cached_key(Self::name);
        Ok(shaders)
    }

    /// Links, parses and validates a kernel, without optional capabilities but subgroups where it uses them.
    ///
    /// # Errors
    /// As for [`Shader::all`].
    pub(crate) fn new(kernel: &'static Kernel, variant: Variant) -> Result<Self> {
        let name = kernel.name(variant);
        let wgsl = shaders::wgsl(kernel, variant)?;
        let module = naga::front::wgsl::parse_str(&wgsl)
            .map_err(|error| anyhow!("{name}: {}\n{wgsl}", error.emit_to_string(&wgsl)))?;
        let capabilities = if kernel.uses_subgroups() {
            Capabilities::SUBGROUP
        } else {
            Capabilities::empty()
        };
        let info = Validator::new(ValidationFlags::all(), capabilities)
            .validate(&module)
            .map_err(|error| anyhow!("{name}: {}\n{wgsl}", error.emit_to_string(&wgsl)))?;
        Ok(Self {
            kernel,
            variant,
            wgsl,
            module,
            info,
            trusted: kernel.is_trusted(),
        })
    }

    /// Shader, entry point and variant, fit for the name of a file: `conv2d_implicit_gemm.forward.64x64x16-8x4` say.
    pub(crate) fn name(&self) -> String {
        let Kernel { shader, entry, .. } = self.kernel;
        let variant = self.variant.to_string().replace('/', "-");
        match variant.trim_matches(['[', ']']) {
            "" => format!("{shader}.{entry}"),
            variant => format!("{shader}.{entry}.{variant}"),
        }
    }

    /// The kernel in another language, as its backend would be given it.
    ///
    /// # Errors
    /// If naga cannot write it, with the name of the kernel.
    pub(crate) fn translate(&self, format: Format) -> Result<Vec<u8>> {
        let entry = self.kernel.entry;
        let stage = ShaderStage::Compute;
        let (module, info) = pipeline_constants::process_overrides(
            &self.module,
            &self.info,
            Some((stage, entry)),
            &Default::default(),
        )
        .map_err(|error| self.error(format, error))?;
        let (module, info) = (&*module, &*info);
        match format {
            Format::Wgsl => Ok(self.wgsl.clone().into_bytes()),
            Format::Hlsl51 | Format::Hlsl62 => {
                let options = hlsl_options(self.kernel, format, self.trusted);
                let pipeline = hlsl::PipelineOptions {
                    entry_point: Some((stage, entry.to_owned())),
                };
                let mut text = String::new();
                hlsl::Writer::new(&mut text, &options, &pipeline)
                    .write(module, info, None)
                    .map_err(|error| self.error(format, error))?;
                Ok(text.into_bytes())
            }
            Format::Msl => {
                let pipeline = msl::PipelineOptions {
                    entry_point: Some((stage, entry.to_owned())),
                    vertex_pulling_transform: true,
                    ..Default::default()
                };
                let (text, _) = msl::write_string(
                    module,
                    info,
                    &msl_options(self.kernel, self.trusted),
                    &pipeline,
                )
                .map_err(|error| self.error(format, error))?;
                Ok(text.into_bytes())
            }
            Format::Spirv => {
                let pipeline = spv::PipelineOptions {
                    entry_point: entry.to_owned(),
                    shader_stage: stage,
                };
                let words = spv::write_vec(
                    module,
                    info,
                    &spv_options(self.kernel, self.trusted),
                    Some(&pipeline),
                )
                .map_err(|error| self.error(format, error))?;
                Ok(words.iter().flat_map(|word| word.to_le_bytes()).collect())
            }
            Format::Glsl => {
                let pipeline = glsl::PipelineOptions {
                    shader_stage: stage,
                    entry_point: entry.to_owned(),
                    multiview: None,
                };
                // GL checks no bounds; a driver does it by itself.
                let unchecked = policies(BoundsCheckPolicy::Unchecked);
                let options = glsl_options(self.kernel);
                let mut text = String::new();
                glsl::Writer::new(&mut text, module, info, &options, &pipeline, unchecked)
                    .and_then(|mut writer| writer.write())
                    .map_err(|error| self.error(format, error))?;
                Ok(text.into_bytes())
            }
        }
    }

    fn error(&self, format: Format, error: impl Display) -> anyhow::Error {
        anyhow!("{} as {format:?}: {error}", self.name())
    }
}

/// What a backend calls a place for a buffer of its own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The uniform struct.
    Uniform,
    /// A storage buffer that is only read.
    Read,
    /// A storage buffer that is written.
    Write,
}

/// The bindings of a kernel in the order of its layout, all of them in group 0.
pub(crate) fn bindings(kernel: &Kernel) -> impl Iterator<Item = (ResourceBinding, Kind)> + '_ {
    let storage = kernel.bindings.iter().map(|binding| match binding.access {
        Access::Read => Kind::Read,
        Access::Write | Access::ReadWrite => Kind::Write,
    });
    let place = |(binding, kind)| (ResourceBinding { group: 0, binding }, kind);
    (0..)
        .zip(std::iter::once(Kind::Uniform).chain(storage))
        .map(place)
}

fn policies(policy: BoundsCheckPolicy) -> BoundsCheckPolicies {
    BoundsCheckPolicies {
        index: policy,
        buffer: policy,
        image_load: policy,
        binding_array: BoundsCheckPolicy::Unchecked,
    }
}

fn checks(trusted: bool) -> BoundsCheckPolicies {
    policies(match trusted {
        true => BoundsCheckPolicy::Unchecked,
        false => BoundsCheckPolicy::Restrict,
    })
}

/// Registers by kind, counted in the order of the layout; after the uniform, one for the number of workgroups.
fn hlsl_options(kernel: &Kernel, format: Format, trusted: bool) -> hlsl::Options {
    let [mut b, mut t, mut u] = [hlsl::BindTarget::default(); 3];
    let mut binding_map = BTreeMap::new();
    for (binding, kind) in bindings(kernel) {
        let next = match kind {
            Kind::Uniform => &mut b,
            Kind::Read => &mut t,
            Kind::Write => &mut u,
        };
        binding_map.insert(binding, *next);
        next.register += 1;
    }
    hlsl::Options {
        shader_model: match format {
            Format::Hlsl51 => hlsl::ShaderModel::V5_1,
            _ => hlsl::ShaderModel::V6_2,
        },
        binding_map,
        fake_missing_bindings: false,
        special_constants_binding: Some(b),
        zero_initialize_workgroup_memory: false,
        restrict_indexing: !trusted,
        force_loop_bounding: !trusted,
        ..Default::default()
    }
}

/// Buffers are counted in the order of the layout; the last one holds the sizes of the others.
fn msl_options(kernel: &Kernel, trusted: bool) -> msl::Options {
    let mut resources = BTreeMap::new();
    let mut next = 0;
    for (binding, kind) in bindings(kernel) {
        let target = msl::BindTarget {
            buffer: Some(next),
            mutable: kind == Kind::Write,
            ..Default::default()
        };
        resources.insert(binding, target);
        next += 1;
    }
    let resources = msl::EntryPointResources {
        resources,
        immediates_buffer: None,
        sizes_buffer: Some(next),
    };
    msl::Options {
        lang_version: (2, 4),
        per_entry_point_map: BTreeMap::from([(kernel.entry.to_owned(), resources)]),
        spirv_cross_compatibility: false,
        fake_missing_bindings: false,
        bounds_check_policies: checks(trusted),
        zero_initialize_workgroup_memory: false,
        force_loop_bounding: !trusted,
        emit_int_div_checks: !trusted,
        ..Default::default()
    }
}

/// A driver of Vulkan 1.1 without optional features, robust buffers among them: naga checks all bounds. Subgroups are for
/// the kernels that use them.
fn spv_options(kernel: &Kernel, trusted: bool) -> spv::Options<'static> {
    use spv::Capability::{
        DerivativeControl, GroupNonUniform, GroupNonUniformArithmetic, GroupNonUniformBallot,
        GroupNonUniformQuad, GroupNonUniformShuffle, GroupNonUniformShuffleRelative,
        GroupNonUniformVote, Image1D, ImageQuery, Matrix, Sampled1D, Shader,
        StorageImageExtendedFormats,
    };
    let always = [
        Shader,
        Matrix,
        Sampled1D,
        Image1D,
        ImageQuery,
        DerivativeControl,
        StorageImageExtendedFormats,
    ];
    let subgroups = [
        GroupNonUniform,
        GroupNonUniformVote,
        GroupNonUniformArithmetic,
        GroupNonUniformBallot,
        GroupNonUniformShuffle,
        GroupNonUniformShuffleRelative,
        GroupNonUniformQuad,
    ];
    let optional = subgroups.into_iter().filter(|_| kernel.uses_subgroups());
    let place = |(binding, _): (ResourceBinding, Kind)| {
        let info = spv::BindingInfo {
            descriptor_set: binding.group,
            binding: binding.binding,
            binding_array_size: None,
        };
        (binding, info)
    };
    spv::Options {
        lang_version: (1, 3),
        flags: spv::WriterFlags::LABEL_VARYINGS | spv::WriterFlags::FORCE_POINT_SIZE,
        fake_missing_bindings: false,
        binding_map: bindings(kernel).map(place).collect(),
        capabilities: Some(always.into_iter().chain(optional).collect()),
        bounds_check_policies: checks(trusted),
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: !trusted,
        emit_int_div_checks: !trusted,
        use_storage_input_output_16: false,
        ..Default::default()
    }
}

/// Uniform and storage buffers are counted apart.
fn glsl_options(kernel: &Kernel) -> glsl::Options {
    let mut binding_map = BTreeMap::new();
    let mut storage = 0;
    for (binding, kind) in bindings(kernel) {
        let next = if kind == Kind::Uniform {
            0
        } else {
            storage += 1;
            storage - 1
        };
        binding_map.insert(binding, next);
    }
    glsl::Options {
        version: glsl::Version::Embedded {
            version: 310,
            is_webgl: false,
        },
        writer_flags: glsl::WriterFlags::ADJUST_COORDINATE_SPACE
            | glsl::WriterFlags::FORCE_POINT_SIZE,
        binding_map,
        zero_initialize_workgroup_memory: false,
    }
}
