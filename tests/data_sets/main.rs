//! Where data sets come from: folders, archives, pictures of one's own, and the net.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod cifar10;
#[cfg(feature = "download")]
mod download;
mod folder;
mod mnist;
#[cfg(feature = "download")]
mod server;

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Asserts that the message of an error holds all these parts, and keeps the house style.
fn assert_says(error: &dyn Error, parts: &[&str]) {
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is missing in: {message}");
    }
    assert!(!message.ends_with('.'), "punctuated: {message}");
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
