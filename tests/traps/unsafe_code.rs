//! Unsafe code lies in three files, and nowhere else.

use std::path::{Path, PathBuf};

/// Files that say why they may.
const MAY: [&str; 3] = [
    "src/gpu/pipeline.rs",
    "src/gpu/pipeline_cache.rs",
    "src/reference/conv2d_gemm/matrix.rs",
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            // What was built there is not ours.
            if !path.ends_with("target") {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn unsafe_code_is_only_where_its_reason_is_given() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "examples", "benches"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 100);
    let mut found: Vec<String> = Vec::new();
    for path in files {
        let source = std::fs::read_to_string(&path).expect("readable");
        let code = source
            .lines()
            .map(|line| line.split("//").next().unwrap_or(line));
        let calls = code.filter(|line| line.contains("unsafe ")).count();
        if calls > 0 {
            assert_eq!(calls, 1, "{}", path.display());
            assert!(source.contains("reason = "), "{}", path.display());
            let inside = path.strip_prefix(root).expect("within");
            found.push(inside.to_string_lossy().replace('\\', "/"));
        }
    }
    found.sort();
    assert_eq!(found, MAY);
}

/// What is denied can be allowed again further down; what is forbidden cannot.
#[test]
fn modules_without_unsafe_code_forbid_it() {
    const FORBIDS: &str = "#[forbid(unsafe_code)]";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = std::fs::read_to_string(root.join("src/lib.rs")).expect("readable");
    assert!(library.contains("#![deny(unsafe_code)]"));
    let lines: Vec<&str> = library.lines().collect();
    let module = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.starts_with("mod ") && line.ends_with(';')
    };
    let lax = lines
        .windows(2)
        .filter(|pair| module(pair[1]) && pair[0] != FORBIDS);
    let lax: Vec<&str> = lax.map(|pair| pair[1]).collect();
    assert_eq!(lax, ["pub mod gpu;", "pub mod reference;"]);

    let examples = std::fs::read_dir(root.join("examples")).expect("readable");
    let files = examples.map(|entry| entry.expect("readable").path());
    let programs = files.filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    for path in programs {
        let source = std::fs::read_to_string(&path).expect("readable");
        assert!(
            source.contains("#![forbid(unsafe_code)]"),
            "{}",
            path.display()
        );
    }
}
