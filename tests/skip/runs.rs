//! Whole runs: what they tell, how they go on, and where they end.

use std::path::Path;

use nin_wgpu::checkpoint::Metadata;
use nin_wgpu::data::{Dataset, Split};
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::program::Training;
use nin_wgpu::train::{
    Event, RunFolder, Summary, TrainError, TrainOptions, Trainer, training_program,
};
use nin_wgpu::{Error, Result};

use crate::{PIXELS, SIZE, devices, labels, normalize, pixels, with_large_filters};

/// Ten training pictures, more often if there are to be more; the bad ones are the seventh and the eighth.
fn split(times: usize) -> Split {
    let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
    let image = [3, SIZE[0], SIZE[1]];
    let (pixels, labels) = (pixels(), labels());
    let set = |order: &[usize], times: usize| {
        let image_of = |&i: &usize| {
            pixels
                .chunks(3 * PIXELS)
                .nth(i)
                .unwrap_or_default()
                .to_vec()
        };
        let images: Vec<Vec<u8>> = order.iter().map(image_of).collect();
        let labels: Vec<u16> = order.iter().map(|&i| labels[i]).collect();
        let (images, labels) = (images.concat().repeat(times), labels.repeat(times));
        Dataset::new("made", images, labels, image, classes.clone()).expect("valid")
    };
    let train = set(&[0, 1, 2, 3, 4, 5, 8, 9, 6, 7], times);
    Split::new(train, set(&[0, 1, 2, 3, 4, 5, 6, 7], 1))
}

fn options() -> TrainOptions {
    TrainOptions {
        batch_size: 2,
        epochs: 3,
        learning_rate: 0.01,
        warmup_steps: 0,
        normalize: normalize(),
        // The order is that of the pictures: of each five steps the fourth is skipped.
        shuffle: false,
        log_every: 3,
        training: Training {
            skip_non_finite: true,
            ema: Some(0.9),
            ..Adam::default().into()
        },
        ..TrainOptions::default()
    }
}

fn model() -> Model {
    let mut model = *Model::find("nin-small").expect("exists");
    model.form.batch_norm = true;
    model
}

/// Begins a run in `folder` or goes on with it; what it told, without times.
fn run_in(device: &Device, folder: &Path, options: TrainOptions) -> Result<Summary> {
    let (model, split) = (model(), split(1));
    let (mut folder, parameters, resumed) = match folder.join("resume.safetensors").exists() {
        true => {
            let (folder, resumed) = RunFolder::resume(folder)?;
            (folder, resumed.parameters.clone(), Some(resumed))
        }
        false => {
            let program = training_program(&model, &split.train.outline(), &options)?;
            let parameters = Init::Kaiming.parameters(program.graph(), 1)?;
            let parameters = with_large_filters(parameters);
            let metadata = Metadata::new(&model, &split.train, normalize().channels(3), 1);
            (
                RunFolder::create(folder, &"test", metadata)?,
                parameters,
                None,
            )
        }
    };
    let mut trainer = Trainer::new(device, &model, &split, &parameters, options)?;
    if let Some(resumed) = &resumed {
        trainer.resume(resumed.metadata.step, &resumed.moments, &resumed.state)?;
    }
    trainer.run(|event| folder.record(&event))
}

/// The lines of a run's metrics, without times.
fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("written");
    let timeless = |line: &str| {
        let mut line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let fields = line.as_object_mut().expect("an object");
        fields.retain(|name, _| name != "seconds" && name != "waited");
        line
    };
    text.lines().map(timeless).collect()
}

#[test]
fn a_run_in_parts_with_steps_that_are_skipped_is_the_run_in_one() {
    for device in devices() {
        // With log intervals of one step too, of which that which is skipped has no loss.
        for log_every in [3, 1] {
            let [one, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            let of = |max_steps| TrainOptions {
                max_steps,
                log_every,
                ..options()
            };
            let whole = run_in(&device, one.path(), of(None)).expect("trains");
            // Behind a step that was skipped, alone in an interval that goes on; at the end of an epoch; and before and behind another.
            for until in [4, 5, 8, 9, 10, 11] {
                run_in(&device, parts.path(), of(Some(until))).expect("trains");
            }
            let last = run_in(&device, parts.path(), of(None)).expect("trains");
            assert_eq!((whole.steps, whole.skipped), (15, 3));
            assert_eq!(last, whole, "{device}");
            let steps = |folder: &Path| {
                let mut lines = lines(folder);
                lines.retain(|line| line["kind"] == "step");
                lines
            };
            assert_eq!(steps(parts.path()), steps(one.path()), "{device}");
            let skipped = steps(one.path());
            let skipped: u64 = skipped
                .iter()
                .filter_map(|line| line["skipped"].as_u64())
                .sum();
            assert_eq!(skipped, 3);
            if log_every == 1 {
                let line = &steps(one.path())[3];
                assert!(
                    line["loss"].is_null() && line["accuracy"].is_null(),
                    "{line}"
                );
                assert_eq!((&line["step"], &line["skipped"]), (&4.into(), &1.into()));
            }
            let read = |folder: &Path| std::fs::read(folder.join("resume.safetensors"));
            let [one, parts] = [&one, &parts].map(|folder| read(folder.path()).expect("written"));
            assert!(one == parts, "{device}");
        }
    }
}

#[test]
fn a_hundred_steps_skipped_in_a_row_are_a_training_that_diverged() {
    for device in devices() {
        let (model, split) = (model(), split(4));
        let options = TrainOptions {
            epochs: 10,
            ..options()
        };
        let program = training_program(&model, &split.train.outline(), &options).expect("builds");
        let mut parameters = Init::Kaiming
            .parameters(program.graph(), 1)
            .expect("initialises");
        // Finite, but nothing that comes of them is.
        for (name, tensor) in &mut parameters {
            if name.ends_with("weight") {
                tensor.data.fill(f32::MAX);
            }
        }
        let mut trainer =
            Trainer::new(&device, &model, &split, &parameters, options).expect("loads");
        let (mut skipped, mut epochs) = (0, 0);
        let ended = trainer.run(|event| {
            match event {
                Event::Interval(interval) => {
                    assert!(interval.loss.is_nan());
                    skipped += interval.skipped.expect("told");
                }
                Event::Epoch(epoch) => {
                    assert!(epoch.train_loss.is_nan() && epoch.skipped == Some(20));
                    epochs += 1;
                }
                _ => {}
            }
            Ok(())
        });
        let error = ended.expect_err("no step counts");
        let Error::Train(TrainError::NonFinite { interval, step, .. }) = error else {
            panic!("{error}")
        };
        assert_eq!((interval, step, epochs), (100, 100, 4), "{device}");
        assert_eq!(skipped, 99, "{device}");
    }
}

#[test]
fn a_run_may_stop_skipping_when_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = TrainOptions {
        max_steps: Some(4),
        log_every: 5,
        ..options()
    };
    assert_eq!(
        run_in(&Device::Cpu, folder.path(), first)
            .expect("trains")
            .skipped,
        1
    );
    let mut second = TrainOptions {
        max_steps: Some(8),
        log_every: 5,
        ..options()
    };
    second.training.skip_non_finite = false;
    let summary = run_in(&Device::Cpu, folder.path(), second).expect("trains");
    assert_eq!((summary.steps, summary.skipped), (8, 1));
    let told = lines(folder.path());
    let last = told.last().expect("a line");
    assert!(last.get("skipped").is_none(), "{last}");
}
