//! MATLAB files of SVHN.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_wgpu::data::svhn::FILES;
use nin_wgpu_fuzz::{folder, load, write};

fuzz_target!(|bytes: &[u8]| {
    for name in FILES {
        write(name, bytes);
    }
    load("svhn", folder());
});
