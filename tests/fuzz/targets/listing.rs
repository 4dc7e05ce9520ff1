//! Tables of pictures.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nin_wgpu_fuzz::{load, write};

/// The smallest BMP: one white pixel.
const PICTURE: &[u8] = &[
    b'B', b'M', 58, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0,
    24, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255,
    0,
];

fuzz_target!(|bytes: &[u8]| {
    for name in ["a.bmp", "b.bmp", "c.bmp", "d.bmp"] {
        if !nin_wgpu_fuzz::folder().join(name).exists() {
            write(name, PICTURE);
        }
    }
    load("csv", &write("table.csv", bytes));
});
