//! Loading pictures: decoded to their centres and to random parts, on one thread and on all.
//!
//! The photos are made here, JPEGs of 500x375 at quality 90. `benches/peers/compare_data.py` sets them beside torchvision's.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use nin_wgpu::data::{Dataset, Draw, Loader};
use nin_wgpu::rng::pcg4d;

const SIZE: [usize; 2] = [224, 224];

/// Photos that are made: a cache is kept of 64 MiB of pictures and more, which quick benches are not.
fn count() -> usize {
    match std::env::var_os("NIN_BENCH_QUICK") {
        Some(_) => 8,
        None => (64 << 20) / (3 * SIZE[0] * SIZE[1]) + 1,
    }
}

/// Photos that are decoded in a round.
const DECODED: usize = 64;

/// A smooth field of colours with a grain.
fn photo(seed: u32) -> RgbImage {
    RgbImage::from_fn(500, 375, |x, y| {
        let words = pcg4d([x, y, seed, 1]);
        let field = |k: usize| {
            let turn = (seed as usize + 1 + k) as f32 / 90.0;
            let wave = (x as f32 * turn / 8.0).sin() + (y as f32 * turn / 5.0).cos();
            let grain = (words[k] >> 27) as f32 - 16.0;
            (127.0 + 55.0 * wave + grain) as u8
        };
        Rgb([field(0), field(1), field(2)])
    })
}

fn make(folder: &Path) {
    for i in 0..count() {
        let place = folder.join(format!("class{}", i % 2));
        std::fs::create_dir_all(&place).expect("writable");
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, 90)
            .encode_image(&photo(i as u32))
            .expect("encodes");
        std::fs::write(place.join(format!("{i}.jpg")), bytes).expect("writable");
    }
}

fn open(folder: &Path, cache: Option<&Path>) -> Dataset {
    let loader = Loader::new("folder").data_dir(Some(folder));
    let loader = loader.pictures_cache(cache.map(Into::into));
    let split = loader.image_size(Some(SIZE)).load();
    split.expect("a data set").train
}

fn draw(i: usize) -> Draw {
    Draw {
        n: i as u32,
        step: 1,
        seed: 1,
        crop: true,
        flip: true,
    }
}

fn load(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let photos = folder.path().join("photos");
    make(&photos);
    let data = open(&photos, None);
    let mut pixels = vec![0; 3 * SIZE[0] * SIZE[1]];
    let mut group = criterion.benchmark_group("data");
    group.sample_size(10);
    let decoded = DECODED.min(data.len());
    group.throughput(Throughput::Elements(decoded as u64));
    group.bench_function("jpeg 500x375 to the centre of 224x224", |bencher| {
        bencher.iter(|| {
            for i in 0..decoded {
                data.load(i, None, &mut pixels).expect("loads");
                black_box(&pixels);
            }
        });
    });
    let drawn = |data: &Dataset, pixels: &mut Vec<u8>| {
        for i in 0..decoded {
            data.load(i, Some(draw(i)), pixels).expect("loads");
            black_box(&pixels);
        }
    };
    group.bench_function("jpeg 500x375 to random parts of 224x224", |bencher| {
        bencher.iter(|| drawn(&data, &mut pixels));
    });
    let cache = folder.path().join("cache");
    let cached = open(&photos, Some(&cache));
    // The first pass, which fills the cache, is criterion's to get warm.
    if cache.exists() {
        group.bench_function("the cache's copies to random parts of 224x224", |bencher| {
            bencher.iter(|| drawn(&cached, &mut pixels));
        });
    }
    group.throughput(Throughput::Elements(data.len() as u64));
    group.bench_function("jpeg 500x375 to centres, all threads", |bencher| {
        bencher.iter(|| black_box(data.images().expect("loads")));
    });
    group.finish();
}

criterion_group!(benches, load);
criterion_main!(benches);
