//! Every kernel in every variant, as each backend of wgpu would be given it: naga writes it, each buffer has its place
//! in the backend's layout, and workgroups keep within the backend's limits.

#[path = "../examples/shaders/translate.rs"]
#[allow(dead_code, reason = "the example uses all of it")]
mod translate;

use std::collections::BTreeSet;

use naga::AddressSpace;
use translate::{Format, Kind, Shader, bindings};

/// What a backend allows a workgroup.
struct Limits {
    invocations: u32,
    size: [u32; 3],
    /// Bytes of workgroup memory.
    memory: u32,
    /// Each variable in it begins at a multiple of this.
    alignment: u32,
}

/// Every driver of WebGPU, and so of Vulkan and GL as wgpu uses them.
const WEBGPU: Limits = Limits {
    invocations: 256,
    size: [256, 256, 64],
    memory: 16 << 10,
    alignment: 1,
};
/// Compute shaders of model 5 and later.
const D3D12: Limits = Limits {
    invocations: 1024,
    size: [1024, 1024, 64],
    memory: 32 << 10,
    alignment: 1,
};
/// Every Mac, and iPhones since the A11.
const METAL: Limits = Limits {
    invocations: 1024,
    size: [1024; 3],
    memory: 32 << 10,
    alignment: 16,
};

/// Those that are given to a backend in this language.
fn shaders(format: Format) -> Vec<Shader> {
    let mut shaders = Shader::all().unwrap_or_else(|error| panic!("{error}"));
    shaders.retain(|shader| format.takes(shader.kernel));
    assert!(shaders.len() > 20, "only {} kernels", shaders.len());
    let names: BTreeSet<_> = shaders.iter().map(Shader::name).collect();
    assert_eq!(names.len(), shaders.len(), "two kernels of one name");
    shaders
}

fn text(shader: &Shader, format: Format) -> String {
    let bytes = shader.translate(format);
    let bytes = bytes.unwrap_or_else(|error| panic!("{error}"));
    String::from_utf8(bytes).expect("naga writes UTF-8")
}

fn check_limits(shader: &Shader, limits: &Limits) {
    let name = shader.name();
    let size = shader.module.entry_points[0].workgroup_size;
    assert!(
        size.iter().zip(limits.size).all(|(&n, most)| n <= most),
        "{name}: {size:?} invocations a side"
    );
    assert!(
        size.iter().product::<u32>() <= limits.invocations,
        "{name}: {size:?} invocations"
    );
    let globals = shader.module.global_variables.iter();
    let memory: u32 = globals
        .filter(|(_, global)| global.space == AddressSpace::WorkGroup)
        .map(|(_, global)| {
            let bytes = shader.module.types[global.ty]
                .inner
                .size(shader.module.to_ctx());
            bytes.next_multiple_of(limits.alignment)
        })
        .sum();
    assert!(
        memory <= limits.memory,
        "{name}: {memory} bytes of workgroup memory"
    );
}

/// What stands between `open` and `close`, each of which must be there once only.
fn places<'a>(name: &str, text: &'a str, open: &str, close: char) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    for rest in text.split(open).skip(1) {
        let (place, _) = rest.split_once(close).expect("naga closes brackets");
        assert!(
            found.insert(place),
            "{name}: {open}{place} twice in\n{text}"
        );
    }
    found
}

/// Registers: the uniform and the number of workgroups in `b`, what is read in `t`, what is written in `u`.
fn check_hlsl(format: Format) {
    for shader in shaders(format) {
        let text = text(&shader, format);
        let name = shader.name();
        check_limits(&shader, &D3D12);
        let count = |kind| {
            bindings(shader.kernel)
                .filter(|&(_, other)| other == kind)
                .count()
        };
        let written = count(Kind::Write);
        // The first resource-binding tier of feature level 11.0.
        assert!(written <= 8, "{name}: {written} buffers to write");
        let registers = [('b', 2), ('t', count(Kind::Read)), ('u', written)];
        let expected: Vec<_> = registers
            .iter()
            .flat_map(|&(letter, n)| (0..n).map(move |i| format!("{letter}{i}")))
            .collect();
        let found = places(&name, &text, ": register(", ')');
        assert!(
            found.iter().eq(&expected),
            "{name}: {found:?} for {expected:?}"
        );
    }
}

#[test]
fn dx12_with_fxc_gets_hlsl_of_model_5_1_within_its_limits() {
    check_hlsl(Format::Hlsl51);
}

#[test]
fn dx12_with_dxc_gets_hlsl_of_model_6_2_within_its_limits() {
    check_hlsl(Format::Hlsl62);
}

#[test]
fn metal_gets_msl_2_4_with_a_place_for_each_buffer_and_their_sizes() {
    for shader in shaders(Format::Msl) {
        let text = text(&shader, Format::Msl);
        let name = shader.name();
        check_limits(&shader, &METAL);
        let buffers = bindings(shader.kernel).count();
        let found: BTreeSet<usize> = places(&name, &text, "[[buffer(", ')')
            .into_iter()
            .map(|place| place.parse().expect("a number"))
            .collect();
        let sizes = text.contains("_mslBufferSizes& _buffer_sizes");
        let expected: BTreeSet<_> = (0..buffers + usize::from(sizes)).collect();
        assert_eq!(found, expected, "{name}");
        // wgpu keeps a place for the sizes in any case.
        assert!(buffers < 31, "{name}: {buffers} buffers and their sizes");
    }
}

#[test]
fn vulkan_1_1_gets_spirv_1_3_with_a_place_for_each_buffer() {
    const HEADER: usize = 5;
    const DECORATE: u32 = 71;
    const BINDING: u32 = 33;
    const DESCRIPTOR_SET: u32 = 34;
    for shader in shaders(Format::Spirv) {
        let name = shader.name();
        check_limits(&shader, &WEBGPU);
        let bytes = shader.translate(Format::Spirv);
        let bytes = bytes.unwrap_or_else(|error| panic!("{error}"));
        let words: Vec<_> = bytes
            .chunks_exact(4)
            .map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
            .collect();
        assert_eq!(words[..2], [0x0723_0203, 0x0001_0300], "{name}");
        let (mut at, mut places, mut sets) = (HEADER, Vec::new(), Vec::new());
        while at < words.len() {
            let (length, code) = ((words[at] >> 16) as usize, words[at] & 0xffff);
            assert!(length > 0, "{name}: an instruction of no words at {at}");
            match (code, &words[at + 1..at + length]) {
                (DECORATE, &[_, BINDING, place]) => places.push(place),
                (DECORATE, &[_, DESCRIPTOR_SET, set]) => sets.push(set),
                _ => {}
            }
            at += length;
        }
        places.sort_unstable();
        let expected: Vec<_> = bindings(shader.kernel)
            .map(|(place, _)| place.binding)
            .collect();
        assert_eq!(places, expected, "{name}");
        assert_eq!(sets, vec![0; expected.len()], "{name}");
    }
}

#[test]
fn gl_gets_glsl_es_3_10_with_a_place_for_each_buffer() {
    for shader in shaders(Format::Glsl) {
        let text = text(&shader, Format::Glsl);
        let name = shader.name();
        check_limits(&shader, &WEBGPU);
        assert!(text.starts_with("#version 310 es"), "{name}");
        let found: Vec<_> = places(&name, &text, "layout(std", ')')
            .into_iter()
            .map(str::to_owned)
            .collect();
        let storage = bindings(shader.kernel).count() - 1;
        let mut expected = vec!["140, binding = 0".to_owned()];
        expected.extend((0..storage).map(|i| format!("430, binding = {i}")));
        assert_eq!(found, expected, "{name}");
    }
}
