//! Pictures of every kind, brought to a network's size.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use nin_wgpu::data::image_file::{Invert, Picture, load_bytes};
use nin_wgpu::data::{Draw, Fit, View};

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else {
        return;
    };
    let channels = [1, 3][usize::from(how & 1)];
    let side = [1, 5, 28, 33][usize::from(how >> 1 & 3)];
    let fit = [Fit::Crop, Fit::Pad, Fit::Stretch][usize::from(how >> 3 & 3) % 3];
    let invert = [Invert::Auto, Invert::Yes, Invert::No][usize::from(how >> 5 & 3) % 3];
    let shape = [channels, side, side + 2];
    let Ok(planes) = load_bytes(Path::new("fuzz"), bytes, shape, fit, invert) else {
        return;
    };
    let picture = Picture::from_planes(shape, &planes).expect("of this shape");
    let view = View {
        shape: [channels, 7, 6],
        fit,
        invert: false,
    };
    let draw = Draw {
        n: u32::from(how),
        step: bytes.len() as u32,
        crop: how & 0x80 != 0,
        flip: true,
        ..Draw::default()
    };
    let mut out = vec![0; channels * 7 * 6];
    view.fill(&picture, Some(draw), &mut out).expect("filled");
});
