//! The files of a run folder: the metadata of its checkpoint, `config.json`, `metrics.jsonl`, with a zero byte between.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nin_wgpu::train::RunFolder;
use nin_wgpu_fuzz::{folder, write};

/// A checkpoint of one parameter with this metadata.
fn checkpoint(metadata: &str) -> Vec<u8> {
    let header = serde_json::json!({
        "__metadata__": { "nin-wgpu": metadata },
        "conv1.weight": { "dtype": "F32", "shape": [1], "data_offsets": [0, 4] },
    });
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(1_f32.to_le_bytes());
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |&byte| byte == 0);
    let metadata = String::from_utf8_lossy(parts.next().unwrap_or_default());
    for name in ["best.safetensors", "last.safetensors"] {
        let _ = std::fs::remove_file(Path::new(folder()).join(name));
    }
    write("resume.safetensors", &checkpoint(&metadata));
    for name in ["config.json", "metrics.jsonl"] {
        write(name, parts.next().unwrap_or_default());
    }
    if let Ok((mut run, resumed)) = RunFolder::resume(folder()) {
        let _ = resumed.metadata.preset();
        let _ = run.finish();
    }
});
