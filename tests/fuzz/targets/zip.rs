//! The zip archive of EMNIST, and the idx files in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_wgpu::data::emnist::ARCHIVE;
use nin_wgpu_fuzz::{folder, load, write};

fuzz_target!(|bytes: &[u8]| {
    write(ARCHIVE, bytes);
    load("emnist-digits", folder());
});
