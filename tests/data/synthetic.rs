//! The synthetic data set.

use nin_wgpu::data::DataError;
use nin_wgpu::data::synthetic::Synthetic;

#[test]
fn synthetic_set_is_the_same_for_the_same_seed_only() {
    let spec = Synthetic {
        shape: [3, 9, 12],
        classes: 4,
        train: 10,
        test: 10,
        seed: 7,
    };
    let split = spec.generate().unwrap();
    let again = spec.generate().unwrap().train;
    assert_eq!(split.train.images().unwrap(), again.images().unwrap());
    assert_eq!(split.train.labels(), again.labels());
    assert_eq!(split.train.labels()[..6], [0, 1, 2, 3, 0, 1]);
    assert_ne!(split.train.images().unwrap(), split.test.images().unwrap());
    let other = Synthetic { seed: 8, ..spec }.generate().unwrap();
    assert_ne!(split.train.images().unwrap(), other.train.images().unwrap());
}

#[test]
fn synthetic_classes_are_told_apart_by_their_mean_pictures() {
    for shape in [[1, 28, 28], [3, 32, 32], [1, 12, 10]] {
        let split = Synthetic {
            shape,
            train: 500,
            test: 200,
            ..Synthetic::default()
        }
        .generate()
        .unwrap();
        let len = shape.iter().product::<usize>();
        let mut means = vec![vec![0.0_f32; len]; 10];
        for (i, &label) in split.train.labels().iter().enumerate() {
            for (sum, value) in means[usize::from(label)]
                .iter_mut()
                .zip(split.train.image(i).unwrap())
            {
                *sum += f32::from(value) / 50.0;
            }
        }
        let nearest = |image: &[u8]| {
            let distance = |mean: &[f32]| -> f32 {
                mean.iter()
                    .zip(image)
                    .map(|(m, &v)| (m - f32::from(v)).powi(2))
                    .sum()
            };
            (0..10).min_by(|&a, &b| distance(&means[a]).total_cmp(&distance(&means[b])))
        };
        let right = (0..200)
            .filter(|&i| {
                nearest(&split.test.image(i).unwrap()) == Some(usize::from(split.test.labels()[i]))
            })
            .count();
        assert!(right > 180, "{right} of 200 for {shape:?}");
    }
}

/// Of the one class the grating goes along x; its phase is as often ahead as behind.
#[test]
fn a_synthetic_channel_is_a_third_of_a_period_ahead_of_the_one_before() {
    let spec = Synthetic {
        shape: [3, 4, 16],
        classes: 1,
        train: 100,
        ..Synthetic::default()
    };
    let set = spec.generate().unwrap().train;
    let third = std::f32::consts::TAU / 3.0;
    for channel in 0..3 {
        let agreement = |ahead: usize| -> f32 {
            let images = (0..100).map(|i| set.image(i).unwrap()[64 * channel..][..64].to_vec());
            let terms = images.flatten().enumerate().map(|(i, value)| {
                let along = std::f32::consts::TAU * 1.5 * (i % 16) as f32 / 16.0;
                (f32::from(value) - 127.5) * (along + third * ahead as f32).sin()
            });
            terms.sum()
        };
        let agreements = [0, 1, 2].map(agreement);
        let most = (0..3).max_by(|&a, &b| agreements[a].total_cmp(&agreements[b]));
        assert_eq!(most, Some(channel), "{agreements:?}");
    }
}

#[test]
fn synthetic_set_of_impossible_form_is_refused() {
    for spec in [
        Synthetic {
            classes: 0,
            ..Synthetic::default()
        },
        Synthetic {
            classes: 70_000,
            ..Synthetic::default()
        },
        Synthetic {
            test: 0,
            ..Synthetic::default()
        },
        Synthetic {
            shape: [1, 0, 28],
            ..Synthetic::default()
        },
    ] {
        let error = spec.generate().unwrap_err();
        assert!(matches!(error, DataError::Form { .. }), "{error:?}");
    }
}
