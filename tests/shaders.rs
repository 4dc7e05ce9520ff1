//! Every kernel in every variant: it links, naga accepts it without optional capabilities (but for
//! the one over subgroups), and its reflected
//! bindings, uniform struct and sizes are what Rust declares and WebGPU's default limits allow.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, Module, ScalarKind, StorageAccess, TypeInner};
use nin_wgpu::gpu::Gpu;
use nin_wgpu::ops::Op;
use nin_wgpu::plan::{Access, Kernel, PlanLimits, Variant};
use nin_wgpu::shaders::{SOURCES, wgsl};

/// Links, parses and validates a kernel.
fn compile(kernel: &Kernel, variant: Variant) -> (Module, ModuleInfo, String) {
    let name = format!("{}.{}{variant}", kernel.shader, kernel.entry);
    let source = wgsl(kernel, variant).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        source.contains("subgroup"),
        kernel.uses_subgroups(),
        "{name}"
    );
    let module = naga::front::wgsl::parse_str(&source)
        .unwrap_or_else(|error| panic!("{name}: {}\n{source}", error.emit_to_string(&source)));
    // One kernel is for devices with subgroups; it is left out on others.
    let capabilities = if kernel.uses_subgroups() {
        Capabilities::SUBGROUP
    } else {
        Capabilities::empty()
    };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .validate(&module)
        .unwrap_or_else(|error| panic!("{name}: {}\n{source}", error.emit_to_string(&source)));
    (module, info, name)
}

fn kernels() -> Vec<(&'static Kernel, Variant)> {
    let mut kernels = Op::kernels();
    kernels.extend(Gpu::peak_kernels().map(|kernel| (kernel, Variant::Plain)));
    assert!(kernels.len() > 20, "only {} kernels", kernels.len());
    kernels
}

#[test]
fn every_kernel_and_variant_validates_with_the_declared_bindings() {
    for (kernel, variant) in kernels() {
        let (module, info, name) = compile(kernel, variant);
        let names: Vec<_> = module
            .entry_points
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        assert_eq!(names, [kernel.entry], "{name}");
        let used = info.get_entry_point(0);
        let mut found = Vec::new();
        for (handle, global) in module.global_variables.iter() {
            let Some(binding) = &global.binding else {
                continue;
            };
            assert!(
                !used[handle].is_empty(),
                "{name}: {:?} is bound but not used",
                global.name
            );
            assert_eq!(binding.group, 0, "{name}");
            found.push((
                binding.binding,
                global.name.clone().unwrap_or_default(),
                global.space,
            ));
        }
        found.sort_by_key(|(binding, ..)| *binding);
        let mut declared = vec![(0, "u".to_owned(), AddressSpace::Uniform)];
        for (i, binding) in kernel.bindings.iter().enumerate() {
            let access = match binding.access {
                Access::Read => StorageAccess::LOAD,
                Access::Write | Access::ReadWrite => StorageAccess::LOAD | StorageAccess::STORE,
            };
            declared.push((
                i as u32 + 1,
                binding.name.to_owned(),
                AddressSpace::Storage { access },
            ));
        }
        assert_eq!(found, declared, "{name}");
    }
}

#[test]
fn every_uniform_struct_has_the_declared_members() {
    for (kernel, variant) in kernels() {
        let (module, _, name) = compile(kernel, variant);
        let (_, global) = module
            .global_variables
            .iter()
            .find(|(_, global)| global.space == AddressSpace::Uniform)
            .expect("every kernel has a uniform struct");
        let TypeInner::Struct { members, .. } = &module.types[global.ty].inner else {
            panic!("{name}: the uniform is no struct");
        };
        let found: Vec<_> = members
            .iter()
            .map(|member| {
                let TypeInner::Scalar(scalar) = module.types[member.ty].inner else {
                    panic!("{name}: {:?} is no scalar", member.name);
                };
                let ty = match scalar.kind {
                    ScalarKind::Uint => "u32",
                    ScalarKind::Float => "f32",
                    other => panic!("{name}: {:?} is {other:?}", member.name),
                };
                (member.name.as_deref().unwrap_or_default(), ty)
            })
            .collect();
        assert_eq!(found, kernel.uniform, "{name}");
        assert!(
            4 * kernel.uniform.len() <= 256,
            "{name}: the uniform exceeds its place"
        );
    }
}

#[test]
fn every_variant_fits_the_default_limits_of_webgpu() {
    let limits = PlanLimits::default();
    for (kernel, variant) in kernels() {
        let (module, _, name) = compile(kernel, variant);
        let [x, y, z] = module.entry_points[0].workgroup_size;
        assert!(
            x * y * z <= limits.max_invocations,
            "{name}: {x}x{y}x{z} invocations"
        );
        assert!(
            kernel.bindings.len() <= 8,
            "{name}: {} storage buffers",
            kernel.bindings.len()
        );
        let bytes: u32 = module
            .global_variables
            .iter()
            .filter(|(_, global)| global.space == AddressSpace::WorkGroup)
            .map(|(_, global)| module.types[global.ty].inner.size(module.to_ctx()))
            .sum();
        assert!(
            bytes <= limits.workgroup_memory,
            "{name}: {bytes} bytes of workgroup memory"
        );
    }
}

#[test]
fn every_shader_file_is_known_used_and_opens_with_a_comment() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/shaders");
    let mut files = Vec::new();
    for folder in ["", "common/"] {
        for entry in std::fs::read_dir(format!("{root}/{folder}")).expect("readable") {
            let name = entry
                .expect("readable")
                .file_name()
                .into_string()
                .expect("UTF-8");
            if let Some(stem) = name.strip_suffix(".wgsl") {
                files.push(format!("{folder}{stem}"));
            }
        }
    }
    files.sort();
    let known: Vec<_> = SOURCES.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(files, known);
    for (path, source) in SOURCES {
        assert!(
            source.starts_with("// "),
            "{path}.wgsl opens without a comment"
        );
        let used = kernels().iter().any(|(kernel, _)| kernel.shader == *path);
        assert!(
            used || path.starts_with("common/"),
            "nothing uses {path}.wgsl"
        );
    }
}
