//! What is linked and joined, and what is said of what cannot be.

use super::link;

fn linked(sources: &[(&str, &str)]) -> Result<String, String> {
    let find = |path: &str| Some(sources.iter().find(|(known, _)| *known == path)?.1);
    link(find, "kernel", "main")
}

const KERNEL: &str = "// What the file is about.\n\n\
    import package::common::sums::{sum, WIDTH};\n\
    import package::one::only;\n\n\
    // Read by all.\n\
    @group(0) @binding(0) var<storage, read> x: array<f32>;\n\
    @group(0) @binding(WIDTH - 1) var<storage, read_write> y: array<f32>;\n\
    @group(0) @binding(1) var<storage, read_write> z: array<f32>;\n\n\
    @compute @workgroup_size(WIDTH)\n\
    fn main() { y[0] = sum(x[0]) + package::common::sums::twice(1.0); } // not z\n\n\
    @compute @workgroup_size(1)\n\
    fn other() { z[0] = only(x[0]); }\n";

const SUMS: &str = "// Sums.\n\n\
    const WIDTH = 4u;\n\
    const_assert WIDTH < 8u;\n\
    struct Pair { z: f32, only: f32, }\n\
    // Of one.\n\
    fn sum(x: f32) -> f32 { var pair: Pair; let y = x; return pair.z + y; }\n\
    fn twice(a: f32) -> f32 { return 2.0 * a; }\n\
    fn unused() {}\n";

#[test]
fn only_what_the_entry_point_needs_is_linked() {
    let wgsl = linked(&[("kernel", KERNEL), ("common::sums", SUMS)]).expect("links");
    let expected = "// Read by all.\n\
        @group(0) @binding(0) var<storage, read> x: array<f32>;\n\n\
        @group(0) @binding(WIDTH - 1) var<storage, read_write> y: array<f32>;\n\n\
        @compute @workgroup_size(WIDTH)\n\
        fn main() { y[0] = sum(x[0]) + twice(1.0); }\n\n\
        const WIDTH = 4u;\n\n\
        const_assert WIDTH < 8u;\n\n\
        struct Pair { z: f32, only: f32, }\n\n\
        // Of one.\n\
        fn sum(x: f32) -> f32 { var pair: Pair; let y = x; return pair.z + y; }\n\n\
        fn twice(a: f32) -> f32 { return 2.0 * a; }\n";
    assert_eq!(wgsl, expected);
}

#[test]
fn what_cannot_be_linked_is_named() {
    let import = "import package::common::sums::{sum};\nfn main() { sum(1.0); }";
    for (kernel, sums, expected) in [
        (
            "fn other() {}",
            "",
            "kernel needs `main` of kernel, which does not declare it",
        ),
        (
            import,
            "fn twice() {}",
            "kernel needs `sum` of common::sums, which does not declare it",
        ),
        (
            import,
            "fn sum() {",
            "common::sums: what begins with `fn` has no end",
        ),
        (
            import,
            "fn sum() {} fn sum() {}",
            "common::sums: `sum` is declared twice",
        ),
        (
            import,
            "enable f16; fn sum() {}",
            "common::sums: `enable` begins no declaration",
        ),
        (
            import,
            "fn main() {} fn sum() { main(); }",
            "kernel and common::sums both declare `main`",
        ),
        (
            "import package::common::sums::sum; fn main() { sum(); mix(1.0, 2.0, 0.5); }",
            "fn sum() { mix(); } fn mix() {}",
            "`mix` of common::sums hides WGSL's from kernel, or kernel does not import it",
        ),
        (
            "import sums; fn main() {}",
            "",
            "kernel: an import names no `package::FILE::NAME`",
        ),
    ] {
        let error = linked(&[("kernel", kernel), ("common::sums", sums)]).err();
        assert_eq!(error.unwrap_or_default(), expected, "{kernel} {sums}");
    }
    let error = linked(&[("kernel", import)]).err();
    let expected = "kernel imports common::sums, which does not exist";
    assert_eq!(error.as_deref(), Some(expected));
}

const JOINED: &str = "// Two in one.\n\n\
    join both = package::first::main, package::second::main;\n\
    join same = package::first::main, package::first::main;\n";

const FIRST: &str = "import package::common::sums::{sum, WIDTH};\n\n\
    struct Uniform { len: u32, }\n\n\
    @group(0) @binding(0) var<uniform> u: Uniform;\n\
    @group(0) @binding(1) var<storage, read_write> y: array<f32>;\n\n\
    // One of them.\n\
    fn store(i: u32, len: u32) { y[i] = sum(f32(len)); }\n\n\
    @compute @workgroup_size(WIDTH)\n\
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {\n    \
    if lane < u.len { store(group.x, u.len); }\n}\n";

#[test]
fn a_join_has_twice_what_is_bound_and_the_rest_once() {
    let sources = [("kernel", JOINED), ("first", FIRST), ("common::sums", SUMS)];
    let find = |path: &str| Some(sources.iter().find(|(known, _)| *known == path)?.1);
    let wgsl = link(find, "kernel", "same").expect("links");
    for (what, times) in [
        ("@binding(1) var<storage, read_write> y_1: array<f32>;", 1),
        (
            "@binding(1 + 1) var<storage, read_write> y_2: array<f32>;",
            1,
        ),
        (
            "// One of them.\nfn store_1(i: u32, len: u32) { y_1[i] = sum(f32(len)); }",
            1,
        ),
        (
            "    if lane < u.second.len { store_2(group.x, u.second.len); }",
            1,
        ),
        ("fn main_2(group: vec3u, lane: u32) {", 1),
        ("        main_1(workgroup_id, local_invocation_index);", 1),
        ("fn sum(", 1),
        ("const WIDTH = 4u;", 1),
        ("struct Uniform", 1),
        ("    @align(16) second: Uniform,", 1),
        ("const_assert WIDTH == WIDTH;", 1),
        ("@compute @workgroup_size(WIDTH)\nfn same(", 1),
        ("@compute", 1),
        ("var<uniform>", 1),
        ("twice", 0),
    ] {
        assert_eq!(wgsl.matches(what).count(), times, "{what}\n{wgsl}");
    }
}

#[test]
fn what_cannot_be_joined_is_named() {
    let two = "join both = package::first::main, package::second::main;";
    let second = FIRST.replace("import package::common::sums::{sum, WIDTH};", "");
    let second = second.replace("Uniform", "Other");
    for (kernel, second, expected) in [
        (
            "join both = package::first::main;",
            "",
            "kernel: a join is `join NAME = package::FILE::ENTRY, package::FILE::ENTRY;`",
        ),
        (
            two,
            "fn main() {}",
            "`main` has no uniform struct to be joined by",
        ),
        (
            two,
            &*format!("{second} fn sum(x: f32) -> f32 {{ return x; }} const WIDTH = 4u;"),
            "common::sums and second both declare `sum`",
        ),
        (
            two,
            "@group(0) @binding(0) var<uniform> u: u32; fn main() { let x = u; }",
            "`main` is no entry point",
        ),
    ] {
        let sources = [
            ("kernel", kernel),
            ("first", FIRST),
            ("second", second),
            ("common::sums", SUMS),
        ];
        let find = |path: &str| Some(sources.iter().find(|(known, _)| *known == path)?.1);
        let error = link(find, "kernel", "both").err().unwrap_or_default();
        assert_eq!(error, expected);
    }
}
