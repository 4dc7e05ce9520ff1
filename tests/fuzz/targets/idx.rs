//! Files of idx, plain and as gzip: pictures and labels of one's own.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nin_wgpu::data::idx;
use nin_wgpu_fuzz::{folder, load, write};

fuzz_target!(|bytes: &[u8]| {
    for rank in 1..=4 {
        let _ = idx::read_from(Path::new("fuzz"), rank, bytes);
    }
    // Pictures, then labels, parted where the first byte says.
    let Some((&at, rest)) = bytes.split_first() else {
        return;
    };
    let (images, labels) = rest.split_at(rest.len().min(usize::from(at) * 16));
    for (name, bytes) in [("images", images), ("labels", labels)] {
        write(&format!("train-{name}"), bytes);
        write(&format!("test-{name}"), bytes);
    }
    load("idx", folder());
});
