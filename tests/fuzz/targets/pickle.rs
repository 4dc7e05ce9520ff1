//! Pickles of CIFAR-100.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_wgpu::data::cifar100::PYTHON_FILES;
use nin_wgpu_fuzz::{folder, load, write};

fuzz_target!(|bytes: &[u8]| {
    for name in PYTHON_FILES {
        write(name, bytes);
    }
    load("cifar100", folder());
});
