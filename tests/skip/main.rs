//! Steps whose gradients are not finite are skipped: nothing moves, on either device, under each optimizer, on whole batches and in
//! parts, and a run goes on as if they had not been.

#[path = "../cases/mod.rs"]
mod cases;

mod runs;
mod steps;

use nin_wgpu::device::Device;
use nin_wgpu::ops::Normalize;
use nin_wgpu::program::Parameters;

const SIZE: [usize; 2] = [14, 15];
const PIXELS: usize = SIZE[0] * SIZE[1];

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

/// The third channel is taken times 5e37.
fn normalize() -> Normalize {
    Normalize::from_channels(&[(0.5, 0.25), (0.5, 0.25), (0.0, 2e-38)])
}

/// The third channel of the first eight is black; that of the next is white, that of the last nearly black.
fn pixels() -> Vec<u8> {
    let image = |i: usize| {
        let third = [0, 255, 1][i.saturating_sub(7)];
        let noise = cases::integers(2 * PIXELS, 256, i as u32).into_iter();
        let noise = noise.map(|x| x as u8);
        noise.chain(std::iter::repeat_n(third, PIXELS))
    };
    (0..10).flat_map(image).collect()
}

fn labels() -> Vec<u16> {
    (0..10).map(|i| i % 3).collect()
}

/// So that a white third channel overflows at once.
fn with_large_filters(mut parameters: Parameters) -> Parameters {
    // Those of the first layer are the first.
    let filters = parameters.first_mut();
    let (_, filters) = filters.expect("there");
    let taps = filters.shape.dims()[2] * filters.shape.dims()[3];
    for of_channel in filters.data.chunks_mut(taps).skip(2).step_by(3) {
        of_channel.fill(4.0);
    }
    parameters
}
