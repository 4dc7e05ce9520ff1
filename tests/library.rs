//! The library as a program of one's own uses it: define, train, save, load, predict.

mod cases;

use nin_wgpu::checkpoint;
use nin_wgpu::classifier::Classifier;
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::data::{Dataset, Split};
use nin_wgpu::device::Device;
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Augment, Conv2d, Normalize};
use nin_wgpu::program::Parameters;
use nin_wgpu::train::{Schedule, TrainOptions, evaluate, fit};

const TINY: Model = Model::new("tiny", |net, x, classes| {
    let x = net.conv2d("conv1", x, 16, Conv2d::new(5, 2, 2)?)?;
    let x = net.relu(x)?;
    let x = net.conv2d("conv2", x, classes, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
});

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

/// Gratings of four classes, 16x16.
fn gratings() -> Dataset {
    let split = Synthetic {
        shape: [1, 16, 16],
        classes: 4,
        train: 400,
        test: 1,
        ..Synthetic::default()
    }
    .generate();
    split.expect("valid").train
}

fn options() -> TrainOptions {
    TrainOptions {
        batch_size: 20,
        epochs: 6,
        learning_rate: 0.02,
        schedule: Schedule::Cosine,
        ..TrainOptions::default()
    }
}

fn same(a: &Parameters, b: &Parameters) -> bool {
    a.iter().zip(b).all(|(a, b)| a.1.data == b.1.data)
}

#[test]
fn a_network_of_ones_own_is_trained_saved_loaded_and_predicts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tiny.safetensors");
    let split = gratings().split(0.25, 1).expect("two parts");
    for device in devices() {
        let options = TrainOptions {
            normalize: Normalize::from_channels(&split.train.mean_std()),
            ..options()
        };
        let fitted = fit(&device, &TINY, &split, &options).expect("trains");
        assert!(fitted.summary.best_accuracy > 0.8, "{:?}", fitted.summary);
        fitted.save(&path).expect("written");
        assert!(
            Classifier::open(&device, &path, 7).is_err(),
            "`tiny` is no preset"
        );

        let mut classifier = Classifier::open_as(&device, &path, &TINY, 7).expect("opens");
        let pictures: Vec<_> = (0..split.test.len())
            .map(|i| split.test.image(i).expect("in memory"))
            .collect();
        let predictions = classifier.predict(&pictures).expect("predicts");
        assert_eq!(predictions.len(), 100);
        let right = predictions.iter().zip(split.test.labels());
        let right = right.filter(|(of, label)| of.ranked()[0] == usize::from(*label));
        let accuracy = right.count() as f64 / 100.0;
        assert!(
            (accuracy - fitted.summary.best_accuracy).abs() < 0.015,
            "{device}: {accuracy}, in training {}",
            fitted.summary.best_accuracy
        );
        for prediction in &predictions {
            let logits = prediction
                .maps
                .chunks(8 * 8)
                .map(|map| map.iter().sum::<f32>() / 64.0);
            let ranked = logits
                .zip(&prediction.probabilities)
                .max_by(|a, b| a.0.total_cmp(&b.0));
            let most = prediction.probabilities[prediction.ranked()[0]];
            assert_eq!(
                ranked.map(|(_, p)| *p),
                Some(most),
                "maps and classes agree"
            );
        }
        assert!(
            classifier.predict(&[[0u8; 5]]).is_err(),
            "a picture of another size"
        );
    }
}

#[test]
fn sixteen_bit_floats_take_half_the_space_and_predict_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, half] = ["whole", "half"].map(|name| folder.path().join(name));
    let split = gratings().split(0.25, 1).expect("two parts");
    let fitted = fit(&Device::Cpu, &TINY, &split, &options()).expect("trains");
    checkpoint::save(&whole, &fitted.parameters, None).expect("written");
    checkpoint::save_f16(&half, &fitted.parameters, None).expect("written");
    let bytes = |path: &std::path::Path| path.metadata().expect("there").len() as f64;
    let numbers: usize = fitted
        .parameters
        .iter()
        .map(|(_, tensor)| tensor.data.len())
        .sum();
    // The headers differ by some digits.
    let saved = bytes(&whole) - bytes(&half);
    assert!((saved - 2.0 * numbers as f64).abs() < 64.0, "{saved}");

    let (loaded, _) = checkpoint::load(&half).expect("a whole file");
    let mut exact = fitted.parameters.clone();
    exact.sort_by(|a, b| a.0.cmp(&b.0));
    for ((name, a), (_, b)) in loaded.iter().zip(&exact) {
        for (a, b) in a.data.iter().zip(&b.data) {
            // Half a unit in the last of 11 bits, or of the smallest number.
            assert!(
                (a - b).abs() <= b.abs() / 2048.0 + 3e-8,
                "{name}: {a} for {b}"
            );
        }
    }
    let test = |parameters| {
        let metrics = evaluate(&Device::Cpu, &TINY, parameters, &split.test, &options());
        metrics.expect("evaluates").accuracy()
    };
    assert!((test(&loaded) - test(&fitted.parameters)).abs() < 0.02);

    let mut huge = fitted.parameters;
    huge[0].1.data[0] = 1e6;
    let error = checkpoint::save_f16(&half, &huge, None).expect_err("beyond 65504");
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert!(source.is_some_and(|text| text.contains("beyond the range of 16 bits")));
}

#[test]
fn the_validation_set_is_held_out_and_chosen_by_the_seed() {
    let data = gratings();
    let all = Split::new(data.clone(), data.clone().limit(8));
    let split = all.clone().hold_out(100, 1);
    let val = split.val.as_ref().expect("held out");
    assert_eq!(
        (split.train.len(), val.len(), split.test.len()),
        (300, 100, 8)
    );
    let images = |data: &Dataset| {
        (0..data.len())
            .map(|i| data.image(i).expect("in memory"))
            .collect()
    };
    let [mut both, mut before]: [Vec<Vec<u8>>; 2] = [images(&split.train), images(&data)];
    both.extend::<Vec<_>>(images(val));
    both.sort_unstable();
    before.sort_unstable();
    assert!(both == before, "no image is lost or doubled");
    let val_of = |split: Split| {
        split
            .val
            .map(|val| (val.images().expect("in memory"), val.labels()))
    };
    let held_out = val_of(split);
    assert!(val_of(all.clone().hold_out(100, 1)) == held_out);
    assert!(val_of(all.hold_out(100, 2)) != held_out);
    let single = Split::new(data.clone().limit(1), data.limit(1)).hold_out(1, 1);
    assert!(single.train.len() == 1 && single.val.is_none());
}

#[test]
fn patience_ends_a_run_that_gets_no_better() {
    let split = gratings()
        .split(0.25, 1)
        .expect("two parts")
        .hold_out(60, 1);
    let options = TrainOptions {
        // So little that accuracy stays as it is.
        learning_rate: 1e-12,
        epochs: 9,
        patience: Some(2),
        ..options()
    };
    let fitted = fit(&Device::Cpu, &TINY, &split, &options).expect("trains");
    assert!(fitted.summary.early);
    let to_the_end = TrainOptions {
        epochs: 3,
        ..options.clone()
    };
    let last = fit(&Device::Cpu, &TINY, &split, &to_the_end).expect("trains");
    assert!(!last.summary.early, "it ended with its last epoch");
    assert_eq!(
        (fitted.summary.best_epoch, fitted.summary.steps),
        (1, 3 * (240 / 20))
    );
}

#[test]
fn augmentation_changes_training_alone_and_repeats() {
    let split = gratings().split(0.25, 1).expect("two parts");
    for device in devices() {
        let run = |augment| {
            let options = TrainOptions {
                epochs: 1,
                augment,
                ..options()
            };
            fit(&device, &TINY, &split, &options)
                .expect("trains")
                .parameters
        };
        let augment = Augment {
            crop: 2,
            flip: true,
            ..Augment::NONE
        };
        let (plain, changed, again) = (run(Augment::NONE), run(augment), run(augment));
        assert!(
            !same(&plain, &changed) && same(&changed, &again),
            "{device}"
        );
    }
}
