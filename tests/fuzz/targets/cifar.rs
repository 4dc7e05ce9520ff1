//! Records of CIFAR-100, and archives of them.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_wgpu::data::cifar100::{ARCHIVE, FILES};
use nin_wgpu_fuzz::{folder, load, write};

fuzz_target!(|bytes: &[u8]| {
    let files = FILES.map(|name| folder().join(name));
    if bytes.starts_with(&[0x1f, 0x8b]) {
        files
            .iter()
            .for_each(|file| drop(std::fs::remove_file(file)));
        write(ARCHIVE, bytes);
    } else {
        for name in FILES {
            write(name, bytes);
        }
    }
    load("cifar100", folder());
    load("cifar100-coarse", folder());
});
