//! Scaled bytes against doubles.

use super::*;

fn picture(bytes: &[u8], size: [usize; 2]) -> Picture<'_> {
    let channels = bytes.len() / size[0] / size[1];
    Picture::new([size[0], size[1], channels], bytes).expect("a picture")
}

/// Scales `bytes` `[h,w,C]`.
fn scaled(bytes: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<u8> {
    let picture = picture(bytes, from);
    let mut out = vec![0; to[0] * to[1] * picture.shape()[2]];
    resample(&picture, Part::Whole, to, filter, &mut out);
    out
}

fn weight(filter: Filter, distance: f64) -> f64 {
    let x = distance.abs();
    match filter {
        Filter::Bilinear => (1.0 - x).max(0.0),
        _ if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        _ if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// The same in doubles, nothing rounded.
fn exact(bytes: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<f64> {
    let weights = |from: usize, to: usize| -> Vec<Vec<f64>> {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let of = |at: usize| {
            let centre = (at as f64 + 0.5) * scale;
            let weight = |i: usize| weight(filter, (i as f64 + 0.5 - centre) / stretch);
            let raw: Vec<f64> = (0..from).map(weight).collect();
            let sum: f64 = raw.iter().sum();
            raw.iter().map(|weight| weight / sum).collect()
        };
        (0..to).map(of).collect()
    };
    let (rows, columns) = (weights(from[0], to[0]), weights(from[1], to[1]));
    let mut out = Vec::new();
    for row in &rows {
        for column in &columns {
            let mut sum = 0.0;
            for (y, a) in row.iter().enumerate() {
                for (x, b) in column.iter().enumerate() {
                    sum += a * b * f64::from(bytes[y * from[1] + x]);
                }
            }
            out.push(sum.clamp(0.0, 255.0));
        }
    }
    out
}

fn noise(len: usize) -> Vec<u8> {
    let word = |i| crate::graph::rng::pcg4d([i as u32, 0, 0, 0])[0];
    (0..len).map(|i| (word(i) >> 24) as u8).collect()
}

/// Each axis rounds to bytes and its weights to 16 bits: half a level and a little, once along one axis and twice along two.
/// Before the second, Catmull-Rom's overshoot is cut off where it leaves the range of bytes, so its range is kept from the ends.
#[test]
fn scaled_bytes_are_the_exact_ones_but_for_the_rounding_of_each_axis() {
    for filter in [Filter::Bilinear, Filter::CatmullRom] {
        for (from, to, most) in [
            ([37, 50], [37, 34], 0.6),
            ([37, 50], [25, 50], 0.6),
            ([90, 7], [11, 7], 0.6),
            ([37, 50], [25, 34], 1.2),
            ([20, 31], [45, 70], 1.2),
            ([1, 300], [3, 2], 1.2),
            ([3, 2], [1, 1], 1.2),
        ] {
            let bytes: Vec<u8> = noise(from[0] * from[1])
                .iter()
                .map(|byte| 64 + byte / 2)
                .collect();
            let want = exact(&bytes, from, to, filter);
            for (got, want) in scaled(&bytes, from, to, filter).iter().zip(want) {
                let off = (f64::from(*got) - want).abs();
                assert!(off < most, "{filter:?} {from:?} {to:?}: {got} for {want}");
            }
        }
    }
}

#[test]
fn flat_colour_and_equal_size_keep_every_level() {
    let ramp: Vec<u8> = (0..=255).collect();
    for filter in [Filter::Bilinear, Filter::CatmullRom] {
        assert_eq!(scaled(&ramp, [16, 16], [16, 16], filter), ramp);
        for level in 0..=255 {
            for to in [[5, 3], [1, 1], [100, 90]] {
                let got = scaled(&[level; 40 * 40], [40, 40], to, filter);
                assert!(got.iter().all(|&got| got == level), "{level} {to:?}");
            }
        }
    }
}

#[test]
fn each_channel_is_scaled_as_a_picture_of_its_own_and_a_box_as_if_nothing_lay_outside() {
    let bytes = noise(20 * 30 * 3);
    let part = CropBox {
        top: 2,
        left: 4,
        height: 17,
        width: 25,
    };
    let mut got = vec![0; 11 * 13 * 3];
    let whole = picture(&bytes, [20, 30]);
    resample(
        &whole,
        Part::Box(part),
        [11, 13],
        Filter::Bilinear,
        &mut got,
    );
    let mut planes = vec![0; got.len()];
    to_planes(&got, 3, &mut planes);
    for (channel, got) in planes.chunks(11 * 13).enumerate() {
        let boxed = (2..19).flat_map(|y| (4..29).map(move |x| (y * 30 + x) * 3 + channel));
        let plane: Vec<u8> = boxed.map(|i| bytes[i]).collect();
        assert_eq!(got, scaled(&plane, [17, 25], [11, 13], Filter::Bilinear));
    }
}

/// But for a level: how finely weights are rounded follows from the largest of those that are wanted.
#[test]
fn window_is_a_part_of_the_whole() {
    let bytes = noise(20 * 30);
    let part = CropBox {
        top: 3,
        left: 5,
        height: 6,
        width: 7,
    };
    for to in [[33, 14], [20, 30], [9, 12]] {
        let whole = scaled(&bytes, [20, 30], to, Filter::Bilinear);
        let mut got = vec![0; 6 * 7];
        let from = picture(&bytes, [20, 30]);
        resample(
            &from,
            Part::Window(to, part),
            [6, 7],
            Filter::Bilinear,
            &mut got,
        );
        let want = (3..9).flat_map(|y| &whole[y * to[1] + 5..y * to[1] + 12]);
        let off = got.iter().zip(want).map(|(a, &b)| a.abs_diff(b)).max();
        assert!(off <= Some(u8::from(to != [20, 30])), "{to:?}: {off:?}");
    }
}
