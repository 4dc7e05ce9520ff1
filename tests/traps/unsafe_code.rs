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
            sources(&path, found);
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
