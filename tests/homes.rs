//! Where a data set lies makes no difference: in one buffer, in pages, or nowhere at all and streamed.

mod cases;

use std::sync::atomic::Ordering;

use nin_wgpu::data::image_file::Picture;
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::data::{DataError, Dataset, Draw, Fit, PictureSource, Split, View};
use nin_wgpu::device::Device;
use nin_wgpu::gpu::{Executor, Gpu};
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Augment, Conv2d};
use nin_wgpu::plan::{Plan, PlanLimits, PlanOptions};
use nin_wgpu::program::{Parameters, Program, Source};
use nin_wgpu::runtime::Runtime;
use nin_wgpu::train::{Event, Home, OnBad, TrainOptions, Trainer, evaluate, training_program};

const TINY: Model = Model::new("tiny", |net, x, classes| {
    let x = net.conv2d("conv1", x, 8, Conv2d::new(5, 2, 2)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("conv2", x, classes, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
});

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

/// The plan of a case on a device that binds no more than `max_binding` bytes.
fn plan_within(gpu: &Gpu, graph: nin_wgpu::graph::Graph, max_binding: u64) -> Plan {
    let options = gpu.plan_options();
    let limits = PlanLimits {
        max_binding,
        ..options.limits
    };
    Plan::new(graph, &PlanOptions { limits, ..options }).expect("fits")
}

#[test]
fn pictures_in_pages_are_gathered_as_those_in_one_buffer() {
    let Some(gpu) = cases::gpu() else { return };
    for source in [[200, 1, 3, 5], [150, 4, 5, 7], [61, 3, 9, 8]] {
        let moved = options(Home::Auto).augment;
        for augment in [Augment::NONE, moved, moved.of_parts()] {
            // First, last, at the pages' edges, and beyond the set.
            let len = source[0] as u32;
            let indices = vec![0, 3, 4, 27, 28, 51, 52, len - 1, len, u32::MAX];
            let case = cases::gather::case_of(source, [4, 3], augment, indices);
            let row: usize = source[1..].iter().product();
            let limit = (28 * row as u64)
                .max(4 * u64::from(len))
                .max(10 * 4 * 12 * 4);
            let plan = plan_within(gpu, case.graph.clone(), limit);
            let pages = plan.pages(case.data[0].0).len();
            assert!(pages > 1, "{source:?} lies in one buffer");
            let mut executor = Executor::new(gpu, plan).expect("loads");
            cases::write(&mut executor, &case);
            executor.run().expect("runs");
            let got = cases::results(&mut executor, &case);
            let by = format!("{} in {pages} pages", gpu.description());
            let want = cases::on_reference::<f64>(&case);
            cases::assert_agreement(&case, &by, &got, &want);
        }
    }
}

#[test]
fn rows_that_cross_a_pages_edge_are_written_to_both_and_refused_in_part() {
    let Some(gpu) = cases::gpu() else { return };
    let source = Source::new(301, [1, 3, 5]);
    let program = Program::inference(&source, [3, 5], 30, |net, x| net.global_avg_pool(x));
    let program = program.expect("builds");
    let plan = plan_within(gpu, program.graph().clone(), 30 * 15 * 4);
    let images = program.graph().find("data.images").expect("is there");
    let pages: Vec<_> = plan
        .pages(images)
        .iter()
        .map(|p| (p.first, p.rows))
        .collect();
    assert_eq!(pages, [(0, 120), (120, 120), (240, 61)]);
    let mut executor = Executor::new(gpu, plan).expect("loads");
    let pixels: Vec<u8> = (0..301).flat_map(|i| [(i % 256) as u8; 15]).collect();
    for (first, rows) in [(0, 4), (4, 232), (236, 65)] {
        let part = &pixels[first * 15..(first + rows) * 15];
        executor
            .write_rows(images, first, part.into())
            .expect("whole rows");
    }
    let indices: Vec<u32> = (0..30).map(|i| 300 - 10 * i).collect();
    let id = program.graph().find("indices").expect("is there");
    executor.write(id, indices.as_slice().into()).expect("fits");
    executor.run().expect("runs");
    let logits = executor.read(program.logits()).expect("kept");
    for (index, mean) in indices.iter().zip(&logits) {
        let want = (index % 256) as f32 / 255.0;
        assert!(
            (mean - want).abs() < 1e-6,
            "{index}: {mean}, expected {want}"
        );
    }
    for (first, bytes) in [(2, 60), (0, 30), (0, 59), (300, 4 * 15)] {
        let part = &pixels[..bytes];
        assert!(executor.write_rows(images, first, part.into()).is_err());
    }
}

fn gratings() -> Split {
    gratings_of(2)
}

fn gratings_of(channels: usize) -> Split {
    let made = Synthetic {
        shape: [channels, 12, 10],
        classes: 4,
        train: 70,
        test: 22,
        ..Synthetic::default()
    };
    made.generate().expect("valid")
}

fn options(home: Home) -> TrainOptions {
    TrainOptions {
        batch_size: 8,
        epochs: 3,
        learning_rate: 0.02,
        log_every: 1,
        home,
        augment: Augment {
            crop: 2,
            flip: true,
            ..Augment::NONE
        },
        ..TrainOptions::default()
    }
}

/// Trains; returns every loss as it is told of, and the parameters at the end.
fn losses(device: &Device, split: &Split, options: &TrainOptions) -> (Vec<f64>, Parameters) {
    let program = training_program(&TINY, &split.train.outline(), options).expect("builds");
    let parameters = Init::Kaiming.parameters(program.graph(), 1).expect("fits");
    let mut trainer =
        Trainer::new(device, &TINY, split, &parameters, options.clone()).expect("loads");
    let (mut losses, mut last) = (Vec::new(), parameters);
    let summary = trainer.run(|event| {
        match event {
            Event::Interval(interval) => losses.push(interval.loss),
            Event::Epoch(epoch) => losses.push(epoch.accuracy()),
            Event::Checkpoint { parameters, .. } => last = parameters.clone(),
            _ => {}
        }
        Ok(())
    });
    assert!(summary.expect("trains").steps > 0);
    (losses, last)
}

#[test]
fn streamed_and_resident_trainings_are_the_same_bit_for_bit() {
    let split = gratings().hold_out(9, 1);
    for device in devices() {
        let (want, parameters) = losses(&device, &split, &options(Home::Resident));
        assert_eq!(want.len(), 3 * (61 / 8 + 1));
        for (workers, prefetch) in [(1, 1), (3, 2), (5, 9)] {
            let streamed = TrainOptions {
                workers,
                prefetch,
                ..options(Home::Stream)
            };
            let (got, end) = losses(&device, &split, &streamed);
            assert_eq!(got, want, "{device}, {workers} workers");
            assert!(end == parameters, "{device}, {workers} workers");
        }
        let test = |home| {
            let metrics = evaluate(&device, &TINY, &parameters, &split.test, &options(home));
            metrics.expect("tests")
        };
        assert_eq!(test(Home::Stream), test(Home::Resident), "{device}");
        assert_eq!(test(Home::Stream).images(), 22);
    }
}

#[test]
fn a_streamed_run_goes_on_from_the_middle_of_an_epoch_bit_for_bit() {
    let split = gratings();
    for device in devices() {
        for home in [Home::Stream, Home::Resident] {
            let options = options(home);
            let (_, whole) = losses(&device, &split, &options);
            let resumed = resumed(&device, &split, &options);
            assert!(resumed == whole, "{device}, {home:?}");
        }
    }
}

/// The parameters at the end of a run that stopped in the middle of its second epoch and went on.
fn resumed(device: &Device, split: &Split, options: &TrainOptions) -> Parameters {
    let program = training_program(&TINY, &split.train.outline(), options).expect("builds");
    let mut parameters = Init::Kaiming.parameters(program.graph(), 1).expect("fits");
    let mut kept = None;
    for until in [11, 1000] {
        let part = TrainOptions {
            max_steps: Some(until),
            ..options.clone()
        };
        let trainer = Trainer::new(device, &TINY, split, &parameters, part);
        let mut trainer = trainer.expect("loads");
        if let Some((step, moments, state)) = &kept {
            trainer
                .resume(*step, moments, state)
                .expect("the same data");
        }
        let summary = trainer.run(|event| {
            if let Event::Checkpoint {
                step,
                parameters: now,
                moments,
                state,
                ..
            } = event
            {
                parameters = now.clone();
                kept = Some((step, moments.clone(), state.clone()));
            }
            Ok(())
        });
        summary.expect("trains");
    }
    parameters
}

/// A set that draws parts of its pictures when they are loaded, as photos do.
struct Drawn(Dataset);

impl PictureSource for Drawn {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn image(&self) -> [usize; 3] {
        self.0.outline().image
    }
    fn label(&self, i: usize) -> u16 {
        self.0.label(i).expect("there")
    }
    fn load(&self, i: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        self.0.load(i, None, pixels)
    }
    fn draws(&self) -> bool {
        true
    }
    fn load_drawn(&self, i: usize, draw: Draw, pixels: &mut [u8]) -> Result<(), DataError> {
        let view = View {
            shape: self.image(),
            fit: Fit::Crop,
            invert: false,
        };
        let picture = Picture::from_planes(self.image(), &self.0.image(i)?)?;
        view.fill(&picture, Some(draw), pixels)
    }
}

#[test]
fn resident_photos_are_cropped_on_the_device_as_streamed_ones_are_repeat_and_go_on_bit_for_bit() {
    let whole = gratings_of(3);
    let classes = whole.train.classes().to_vec();
    let drawn = Dataset::from_source("drawn", Drawn(whole.train.clone()), classes);
    let split = Split::new(drawn.expect("a set"), whole.test.clone());
    for device in devices() {
        let resident = options(Home::Resident);
        let (want, parameters) = losses(&device, &split, &resident);
        assert!(losses(&device, &split, &resident) == (want.clone(), parameters.clone()));
        assert!(
            resumed(&device, &split, &resident) == parameters,
            "{device}"
        );
        // The first steps see the same parts, but for rounding to bytes; those after them have learned from that.
        let (streamed, _) = losses(&device, &split, &options(Home::Stream));
        let (moved, _) = losses(&device, &whole, &resident);
        let off = |other: &[f64]| {
            let steps = other.iter().zip(&want).take(5);
            steps.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        let (off, moved) = (off(&streamed), off(&moved));
        assert!(off < 2e-3 && moved > 10.0 * off, "{device}: {off}, {moved}");
    }
}

/// A set whose third picture is not to be had.
struct Broken(Dataset);

impl PictureSource for Broken {
    fn len(&self) -> usize {
        self.0.len()
    }
    fn image(&self) -> [usize; 3] {
        self.0.outline().image
    }
    fn label(&self, i: usize) -> u16 {
        self.0.label(i).expect("there")
    }
    fn load(&self, i: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        match i {
            2 => Err(DataError::Source {
                name: "third.jpg".into(),
                source: "gone".into(),
            }),
            _ => self.0.load(i, None, pixels),
        }
    }
    fn describe(&self, i: usize) -> String {
        format!("{i}.jpg")
    }
}

#[test]
fn a_picture_that_cannot_be_loaded_ends_the_run_with_a_checkpoint_or_counts_for_nothing() {
    let whole = gratings();
    let classes = whole.train.classes().to_vec();
    let broken = Dataset::from_source("broken", Broken(whole.train.clone()), classes);
    let split = Split::new(broken.expect("a set"), whole.test.clone());
    for device in devices() {
        for home in [Home::Stream, Home::Resident] {
            let run = |on_bad| {
                let options = TrainOptions {
                    on_bad,
                    ..options(home)
                };
                let outline = split.train.outline();
                let program = training_program(&TINY, &outline, &options).expect("builds");
                let parameters = Init::Kaiming.parameters(program.graph(), 1).expect("fits");
                let mut trainer = Trainer::new(&device, &TINY, &split, &parameters, options)?;
                let (mut bad, mut saved) = (Vec::new(), None);
                let summary = trainer.run(|event| {
                    match event {
                        Event::BadPictures(all) => bad.extend(all.iter().map(|b| b.name.clone())),
                        Event::Checkpoint { step, .. } => saved = Some(step),
                        _ => {}
                    }
                    Ok(())
                });
                if home == Home::Stream {
                    assert!(saved.is_some(), "what was trained is saved");
                }
                summary.map(|summary| (summary.steps, bad))
            };
            let error = run(OnBad::Stop).expect_err("stops").to_string();
            assert!(error.contains("third.jpg"), "{error}");
            let (steps, bad) = run(OnBad::Skip).expect("goes on");
            assert_eq!(steps, 3 * 8);
            let times = if home == Home::Stream { bad.len() } else { 1 };
            // The last six of an epoch's order are in no batch, and may be these.
            assert!((1..=3).contains(&times), "{bad:?}");
            assert_eq!(bad, vec!["2.jpg"; times]);
        }
    }
}

#[test]
fn a_stream_is_stopped_after_a_step() {
    let split = gratings();
    let options = options(Home::Stream);
    let program = training_program(&TINY, &split.train.outline(), &options).expect("builds");
    let parameters = Init::Kaiming.parameters(program.graph(), 1).expect("fits");
    let trainer = Trainer::new(&Device::Cpu, &TINY, &split, &parameters, options);
    let mut trainer = trainer.expect("loads");
    let stop = trainer.stop_flag();
    let summary = trainer.run(|event| {
        if matches!(event, Event::Interval(ref interval) if interval.step == 3) {
            stop.store(true, Ordering::Relaxed);
        }
        Ok(())
    });
    assert_eq!(summary.expect("stops").steps, 4);
}
