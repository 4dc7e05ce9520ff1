//! The published sets at their full size, on a device of default limits: a step reads the picture that it asks for.

use std::path::Path;

use nin_wgpu::data::{Dataset, cifar10, cifar100, load, mnist, svhn as svhn_set};
use nin_wgpu::gpu::Executor;
use nin_wgpu::ops::IGNORE;
use nin_wgpu::plan::Plan;
use nin_wgpu::program::{Program, Source};
use nin_wgpu::runtime::Runtime;
use tempfile::tempdir;

use crate::{cases, idx, svhn, write};

/// The value of all pixels of a channel of picture `i`.
fn value(i: usize, channel: usize) -> u8 {
    ((i * 37 + i / 256 * 11 + channel * 91) % 251) as u8
}

fn label(i: usize) -> u8 {
    (i * 7 % 10) as u8
}

/// Pictures `from..to`, each channel of 1,024 pixels, behind labels of `LABELS` bytes.
fn records<const LABELS: usize>(from: usize, to: usize) -> Vec<u8> {
    let record = |i: usize| {
        let planes = (0..3).flat_map(move |c| std::iter::repeat_n(value(i, c), 1024));
        std::iter::repeat_n(label(i), LABELS).chain(planes)
    };
    (from..to).flat_map(record).collect()
}

fn write_cifar10(folder: &Path) {
    for (file, name) in cifar10::FILES.iter().enumerate() {
        let first = file % 5 * 10_000;
        write(&folder.join(name), &records::<1>(first, first + 10_000));
    }
}

fn write_cifar100(folder: &Path) {
    for (name, count) in cifar100::FILES.iter().zip([50_000, 10_000]) {
        write(&folder.join(name), &records::<2>(0, count));
    }
}

fn write_svhn(folder: &Path) {
    for (name, count) in svhn_set::FILES.iter().zip([73_257, 26_032]) {
        let pixels: Vec<u8> = (0..count)
            .flat_map(|i| (0..3).flat_map(move |c| std::iter::repeat_n(value(i, c), 1024)))
            .collect();
        // The digit 0 is stored as 10.
        let labels: Vec<u8> = (0..count)
            .map(|i| if label(i) == 0 { 10 } else { label(i) })
            .collect();
        write(&folder.join(name), &svhn::of(&pixels, &labels));
    }
}

fn write_mnist(folder: &Path) {
    for (files, count) in mnist::FILES.chunks(2).zip([60_000, 10_000]) {
        let pixels: Vec<u8> = (0..count)
            .flat_map(|i| std::iter::repeat_n(value(i, 0), 784))
            .collect();
        let labels: Vec<u8> = (0..count).map(label).collect();
        write(
            &folder.join(files[0]),
            &idx(&[count as u32, 28, 28], &pixels),
        );
        write(&folder.join(files[1]), &idx(&[count as u32], &labels));
    }
}

/// What a step makes of pictures at the ends of the set and of each of its pages: the mean of each channel.
fn check_on_a_device(data: &Dataset, pages: usize) {
    let Some(gpu) = cases::gpu_at_default_limits() else {
        return;
    };
    let image @ [channels, h, w] = data.outline().image;
    let source = Source::new(data.len(), image);
    let program = Program::inference(&source, [h, w], 16, |net, x| net.global_avg_pool(x));
    let program = program.unwrap();
    let plan = Plan::new(program.graph().clone(), &gpu.plan_options()).unwrap();
    let [images, wanted] =
        ["data.images", "indices"].map(|name| program.graph().find(name).unwrap());
    let starts: Vec<usize> = plan.pages(images).iter().map(|page| page.first).collect();
    assert_eq!(starts.len(), pages, "{}", data.name());
    let mut indices: Vec<u32> = starts
        .iter()
        .flat_map(|&first| {
            [
                first.saturating_sub(1) as u32,
                first as u32,
                first as u32 + 1,
            ]
        })
        .chain([0, data.len() as u32 / 3, data.len() as u32 - 1])
        .collect();
    indices.resize(16, IGNORE);

    let mut executor = Executor::new(&gpu, plan).unwrap();
    let row = channels * h * w;
    for (chunk, pixels) in data.images().unwrap().chunks(1_000 * row).enumerate() {
        executor
            .write_rows(images, 1_000 * chunk, pixels.into())
            .unwrap();
    }
    executor.write(wanted, indices.as_slice().into()).unwrap();
    executor.run().unwrap();
    let means = executor.read(program.logits()).unwrap();
    for (&index, means) in indices.iter().zip(means.chunks(channels)) {
        for (channel, mean) in means.iter().enumerate() {
            let want = match index {
                IGNORE => 0.0,
                i => f32::from(value(i as usize, channel)) / 255.0,
            };
            assert!((mean - want).abs() < 1e-5, "{index}: {mean} for {want}");
        }
    }
}

#[test]
fn published_sets_load_whole_and_steps_read_the_right_pictures_across_pages() {
    type Write = fn(&Path);
    for (name, write, lens, pages) in [
        ("cifar10", write_cifar10 as Write, [50_000, 10_000], 2),
        ("cifar100", write_cifar100, [50_000, 10_000], 2),
        ("svhn", write_svhn, [73_257, 26_032], 2),
        ("mnist", write_mnist, [60_000, 10_000], 0),
    ] {
        let dir = tempdir().unwrap();
        write(dir.path());
        let split = load(name, Some(dir.path())).unwrap();
        assert_eq!([split.train.len(), split.test.len()], lens, "{name}");
        for i in [0, lens[0] / 2, lens[0] - 1] {
            assert_eq!(
                split.train.label(i).unwrap(),
                u16::from(label(i)),
                "{name} {i}"
            );
        }
        check_on_a_device(&split.train, pages);
    }
}
