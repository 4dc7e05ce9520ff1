//! Where data sets come from: folders, archives, pictures of one's own, and the net.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../cases/mod.rs"]
mod cases;
mod cifar10;
mod cifar100;
#[cfg(feature = "download")]
mod download;
mod emnist;
mod folder;
mod idx_folder;
mod mnist;
mod pickles;
#[cfg(feature = "download")]
mod server;
mod svhn;
mod whole;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use nin_wgpu::data::Dataset;

/// Asserts that the message of an error holds all these parts, and keeps the house style.
fn assert_says(error: &dyn Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert!(!message.ends_with('.'), "punctuated: {message}");
}

/// Asserts that two sets hold the same pictures and labels.
fn assert_same(got: &Dataset, want: &Dataset) {
    assert_eq!(got.outline(), want.outline());
    assert_eq!(got.labels(), want.labels());
    assert!(got.images().unwrap() == want.images().unwrap());
}

/// Writes a file, and its folder if need be.
fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An archive of these files.
fn tar_gz(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, bytes.as_slice())
            .unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

/// An idx file of bytes.
fn idx(dims: &[u32], values: &[u8]) -> Vec<u8> {
    idx_of(8, dims, values)
}

/// An idx file of elements of this type.
fn idx_of(code: u8, dims: &[u32], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, code, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend(values);
    bytes
}

/// Numbers that are the same every time (Marsaglia's xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }
}
