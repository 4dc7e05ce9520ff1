//! Every kernel in every variant: it links, naga accepts it without optional capabilities (but for those over
//! subgroups), and its reflected bindings, uniform struct and sizes are what Rust declares and WebGPU's default limits
//! allow.

#[path = "../examples/shaders/translate.rs"]
#[allow(dead_code, reason = "the example uses all of it")]
mod translate;

use naga::{AddressSpace, Handle, Module, ScalarKind, StorageAccess, Type, TypeInner};
use nin_wgpu::plan::{Access, PlanLimits};
use nin_wgpu::shaders::SOURCES;
use translate::Shader;

fn shaders() -> Vec<Shader> {
    let shaders = Shader::all().unwrap_or_else(|error| panic!("{error}"));
    assert!(shaders.len() > 20, "only {} kernels", shaders.len());
    shaders
}

#[test]
fn every_kernel_and_variant_validates_with_the_declared_bindings() {
    for shader in shaders() {
        let name = shader.name();
        let Shader {
            kernel,
            wgsl,
            module,
            info,
            ..
        } = shader;
        assert_eq!(wgsl.contains("subgroup"), kernel.uses_subgroups(), "{name}");
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

/// Puts each member of a struct that begins at byte `start`, and of the structs in it, where it lies: its name and type.
fn members<'m>(
    name: &str,
    module: &'m Module,
    ty: Handle<Type>,
    start: u32,
    found: &mut [(&'m str, &'static str)],
) {
    let TypeInner::Struct { members, .. } = &module.types[ty].inner else {
        panic!("{name}: the uniform is no struct");
    };
    for member in members {
        let at = start + member.offset;
        let kind = match module.types[member.ty].inner {
            TypeInner::Scalar(scalar) => scalar.kind,
            _ => {
                self::members(name, module, member.ty, at, found);
                continue;
            }
        };
        let ty = match kind {
            ScalarKind::Uint => "u32",
            ScalarKind::Float => "f32",
            other => panic!("{name}: {:?} is {other:?}", member.name),
        };
        let at = (at / 4) as usize;
        assert!(
            at < found.len(),
            "{name}: {:?} is not declared",
            member.name
        );
        found[at] = (member.name.as_deref().unwrap_or_default(), ty);
    }
}

#[test]
fn every_uniform_struct_has_the_declared_members() {
    for shader in shaders() {
        let name = shader.name();
        let Shader { kernel, module, .. } = shader;
        let (_, global) = module
            .global_variables
            .iter()
            .find(|(_, global)| global.space == AddressSpace::Uniform)
            .expect("every kernel has a uniform struct");
        let mut found = vec![("", "u32"); kernel.uniform.len()];
        members(&name, &module, global.ty, 0, &mut found);
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
    for shader in shaders() {
        let name = shader.name();
        let Shader { kernel, module, .. } = shader;
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
        let used = shaders().iter().any(|shader| shader.kernel.shader == *path);
        assert!(
            used || path.starts_with("common/"),
            "nothing uses {path}.wgsl"
        );
    }
}

#[test]
fn every_entry_point_of_every_shader_is_a_kernel_of_some_op() {
    let shaders = shaders();
    for (path, source) in SOURCES {
        // `fn` stands right behind what says that it is an entry point.
        for (_, behind) in source
            .match_indices("@compute")
            .map(|(at, _)| source.split_at(at))
        {
            let behind = behind.split("fn ").nth(1).unwrap_or_default();
            let entry = behind.split('(').next().unwrap_or_default();
            let mut kernels = shaders.iter().map(|shader| shader.kernel);
            let is_declared = kernels.any(|kernel| (kernel.shader, kernel.entry) == (*path, entry));
            assert!(
                is_declared,
                "{path}.wgsl: no op has `{entry}` among its kernels"
            );
        }
    }
}
