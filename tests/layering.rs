//! The layers of the library: only `src/gpu` names wgpu.

use std::path::Path;

fn rust_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn only_the_gpu_module_names_wgpu() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 30, "only {} files", files.len());
    for path in files
        .iter()
        .filter(|path| !path.starts_with(src.join("gpu")))
    {
        let source = std::fs::read_to_string(path).expect("readable");
        for (i, line) in source.lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            assert!(
                !code.replace("nin_wgpu", "").contains("wgpu::"),
                "{}:{}: {line}",
                path.display(),
                i + 1
            );
        }
    }
}
