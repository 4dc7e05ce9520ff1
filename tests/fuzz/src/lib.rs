//! What the fuzz targets share: files in a folder of their own.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use nin_wgpu::data::{Loader, Split};

/// A folder of this process's. `scripts/fuzz` says where by `TMPDIR`, and clears up.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder for the targets' files");
        folder.keep()
    })
}

/// Writes a file of it.
pub fn write(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("the folder can be written");
    path
}

/// Loads a data set whose files are there, and reads what it holds.
pub fn load(set: &str, from: &Path) {
    let loader = Loader::new(set).data_dir(Some(from)).system_dir("/nowhere");
    let Ok(Split { train, test, .. }) = loader.load() else {
        return;
    };
    for part in [train, test] {
        assert!(
            part.labels()
                .iter()
                .all(|&label| usize::from(label) < part.classes().len())
        );
        for i in [0, part.len() - 1] {
            // A picture of a table may be none.
            if let Ok(image) = part.image(i) {
                assert_eq!(image.len(), part.channels() * part.height() * part.width());
            }
        }
    }
}

/// An idx file of bytes.
pub fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(values);
    bytes
}
