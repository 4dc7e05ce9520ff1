//! What a view shows, and what chance draws.

use super::*;

fn draw(n: u32) -> Draw {
    Draw {
        n,
        step: 3,
        seed: 5,
        crop: true,
        flip: true,
    }
}

/// A picture of `[C,h,w]` whose value is its column, plus 100 times its channel.
fn ramp([channels, height, width]: [usize; 3]) -> Picture<'static> {
    let pixel = |x: usize| (0..channels).map(move |c| (x + 100 * c) as u8);
    let row = |_| (0..width).flat_map(pixel);
    let pixels: Vec<u8> = (0..height).flat_map(row).collect();
    Picture::new([height, width, channels], pixels).expect("a picture")
}

fn planes(picture: &Picture<'_>) -> Vec<u8> {
    let mut out = vec![0; picture.pixels().len()];
    to_planes(picture.pixels(), picture.shape()[2], &mut out);
    out
}

fn seen(shape: [usize; 3], fit: Fit, picture: &Picture<'_>, draw: Option<Draw>) -> Vec<u8> {
    let view = View {
        shape,
        fit,
        invert: false,
    };
    let mut out = vec![0; shape.iter().product()];
    view.fill(picture, draw, &mut out).expect("fits");
    out
}

#[test]
fn random_parts_lie_inside_the_picture() {
    for [height, width] in [[375, 500], [1, 1], [2, 3], [7, 900], [900, 7]] {
        for n in 0..2000 {
            let part = resized_crop(height, width, draw(n));
            assert!(part.height >= 1 && part.width >= 1, "{part:?}");
            assert!(part.top + part.height <= height, "{part:?}");
            assert!(part.left + part.width <= width, "{part:?}");
        }
    }
}

/// The figures are torchvision's own, of 60,000 of its `RandomResizedCrop.get_params`.
#[test]
fn random_parts_are_spread_as_those_of_torchvision() {
    let parts: Vec<CropBox> = (0..20_000)
        .map(|n| resized_crop(375, 500, draw(n)))
        .collect();
    let moments = |of: &dyn Fn(&CropBox) -> f64| {
        let values: Vec<f64> = parts.iter().map(of).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
        [mean, (square / values.len() as f64).sqrt()]
    };
    let near = |name, got: [f64; 2], want: [f64; 2]| {
        let off = got.iter().zip(want).map(|(got, want)| (got - want).abs());
        assert!(
            off.fold(0.0, f64::max) < 0.01,
            "{name}: {got:?} for {want:?}"
        );
    };
    let area = |part: &CropBox| (part.height * part.width) as f64 / (375.0 * 500.0);
    let ratio = |part: &CropBox| (part.width as f64 / part.height as f64).ln();
    near("area", moments(&area), [0.4341, 0.2163]);
    near("ratio", moments(&ratio), [0.0313, 0.1641]);
    // Where a part lies is even, and told by words of its own.
    let place = |at: usize, free: usize| (at as f64 + 0.5) / (free as f64 + 1.0);
    let even = [0.5, 1.0 / 12_f64.sqrt()];
    near(
        "top",
        moments(&|part| place(part.top, 375 - part.height)),
        even,
    );
    near(
        "left",
        moments(&|part| place(part.left, 500 - part.width)),
        even,
    );
}

#[test]
fn after_ten_tries_the_middle_is_taken() {
    // A strip has few parts of such proportions: of torchvision's draws 785 of 1000 end there.
    let middle = CropBox {
        top: 0,
        left: 866,
        height: 200,
        width: 267,
    };
    let boxes = (0..1000).map(|n| resized_crop(200, 2000, draw(n)));
    let count = boxes.filter(|part| *part == middle).count();
    assert!((730..840).contains(&count), "{count}");
}

#[test]
fn half_of_the_draws_are_mirrored_as_the_device_does() {
    let count = (0..10_000).filter(|&n| mirrored(draw(n))).count();
    assert!((4_800..5_200).contains(&count), "{count}");
    let picture = ramp([3, 40, 50]);
    for n in 0..20 {
        let mut plain = draw(n);
        plain.flip = false;
        let [got, want] =
            [draw(n), plain].map(|draw| seen([3, 16, 16], Fit::Crop, &picture, Some(draw)));
        let turned = want.chunks(16).flat_map(|row| row.iter().rev());
        let same = if mirrored(draw(n)) {
            got.iter().eq(turned)
        } else {
            got == want
        };
        assert!(same, "{n}");
    }
}

#[test]
fn centre_of_a_picture_at_its_shorter_side_is_copied() {
    // 28 wants a shorter side of 32: nothing is scaled, 2 rows and 11 columns are left out on each side.
    let got = seen([3, 28, 28], Fit::Crop, &ramp([3, 32, 50]), None);
    for (i, row) in got.chunks(28).enumerate() {
        let want = (11..39).map(|x| x + (i / 28 * 100) as u8);
        assert!(row.iter().copied().eq(want), "row {i}: {row:?}");
    }
}

#[test]
fn shorter_side_is_scaled_up_or_down_to_256_of_224() {
    let view = View {
        shape: [3, 224, 300],
        fit: Fit::Crop,
        invert: false,
    };
    assert_eq!(view.shorter(), Some(256));
    assert_eq!(covering([375, 500], [224, 224]), [256, 341]);
    assert_eq!(covering([100, 80], [224, 224]), [320, 256]);
    assert_eq!(covering([1, 1], [28, 28]), [32, 32]);
    // Wider than the picture: the width decides.
    assert_eq!(covering([100, 100], [112, 224]), [256, 256]);
}

#[test]
fn padding_is_of_the_border_and_stretching_leaves_none() {
    let picture = ramp([1, 10, 40]);
    let padded = seen([1, 20, 20], Fit::Pad, &picture, None);
    let border = picture.border_mean(0);
    // 20x5 in the middle of 20 rows.
    let (above, rest) = padded.split_at(7 * 20);
    let (inside, below) = rest.split_at(5 * 20);
    assert!(above.iter().chain(below).all(|&value| value == border));
    let stretched = seen([1, 20, 20], Fit::Stretch, &picture, None);
    for row in inside.chunks(20).chain(stretched.chunks(20)) {
        let off = row
            .iter()
            .enumerate()
            .map(|(x, &value)| (2.0 * x as f64 + 0.5 - f64::from(value)).abs());
        assert!(off.fold(0.0, f64::max) <= 1.0, "{row:?}");
    }
}

#[test]
fn a_padded_picture_in_colour_lies_in_the_middle() {
    let picture = ramp([3, 4, 2]);
    let padded = seen([3, 4, 6], Fit::Pad, &picture, None);
    for (c, plane) in padded.chunks(4 * 6).enumerate() {
        let (border, value) = (picture.border_mean(c), 100 * c as u8);
        let row = [border, border, value, value + 1, border, border];
        assert_eq!(plane, row.repeat(4), "channel {c}");
    }
}

#[test]
fn picture_of_the_wanted_size_is_taken_as_it_is_and_swapped_if_wanted() {
    let picture = ramp([3, 9, 7]);
    for fit in [Fit::Crop, Fit::Pad, Fit::Stretch] {
        assert_eq!(seen([3, 9, 7], fit, &picture, None), planes(&picture));
        let view = View {
            shape: [3, 9, 7],
            fit,
            invert: true,
        };
        let mut out = vec![0; 3 * 9 * 7];
        view.fill(&picture, None, &mut out).expect("fits");
        assert!(out.iter().zip(planes(&picture)).all(|(a, b)| a + b == 255));
    }
}

#[test]
fn every_thread_sees_the_same() {
    let picture = ramp([3, 70, 90]);
    let views = || -> Vec<Vec<u8>> {
        let view = |n| seen([3, 32, 32], Fit::Crop, &picture, Some(draw(n)));
        (0..16).map(view).collect()
    };
    let here = views();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(views)).collect();
        for thread in threads {
            assert_eq!(thread.join().expect("a thread"), here);
        }
    });
}
