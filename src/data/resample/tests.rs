//! Scaled bytes against doubles.

use super::*;

/// Scales one plane of `from` `[h,w]`.
fn scaled(bytes: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<u8> {
    let mut out = vec![0; to[0] * to[1]];
    let source = Source::<1> {
        bytes,
        width: from[1],
    };
    let axis = |i: usize| Axis::new(0..from[i], to[i]);
    resample(source, &axis(0), &axis(1), filter, &mut out);
    out
}

/// The same in doubles.
fn exact(bytes: &[u8], from: [usize; 2], to: [usize; 2], filter: Filter) -> Vec<f64> {
    let weights = |from: usize, to: usize| -> Vec<Vec<f64>> {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let of = |at: usize| {
            let centre = (at as f64 + 0.5) * scale;
            let weight = |i: usize| filter.weight((i as f64 + 0.5 - centre) / stretch);
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
    let word = |i| crate::rng::pcg4d([i as u32, 0, 0, 0])[0];
    (0..len).map(|i| (word(i) >> 24) as u8).collect()
}

#[test]
fn scaled_bytes_are_within_a_level_of_the_exact_ones() {
    for filter in [Filter::Bilinear, Filter::CatmullRom] {
        for (from, to) in [
            ([37, 50], [25, 34]),
            ([20, 31], [45, 70]),
            ([90, 7], [11, 7]),
            ([1, 300], [3, 2]),
            ([3, 2], [1, 1]),
        ] {
            let bytes = noise(from[0] * from[1]);
            let want = exact(&bytes, from, to, filter);
            for (got, want) in scaled(&bytes, from, to, filter).iter().zip(want) {
                let off = (f64::from(*got) - want).abs();
                assert!(off < 0.7, "{filter:?} {from:?} {to:?}: {got} for {want}");
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
fn interleaved_channels_become_the_planes_of_each() {
    let bytes = noise(30 * 20 * 3);
    let mut got = vec![0; 3 * 11 * 13];
    let source = Source::<3> {
        bytes: &bytes,
        width: 30,
    };
    let (rows, columns) = (Axis::new(2..19, 11), Axis::new(4..29, 13));
    resample(source, &rows, &columns, Filter::Bilinear, &mut got);
    for (channel, got) in got.chunks(11 * 13).enumerate() {
        let boxed = (2..19).flat_map(|y| (4..29).map(move |x| (y * 30 + x) * 3 + channel));
        let plane: Vec<u8> = boxed.map(|i| bytes[i]).collect();
        assert_eq!(got, scaled(&plane, [17, 25], [11, 13], Filter::Bilinear));
    }
}

#[test]
fn window_is_a_part_of_the_whole() {
    let bytes = noise(30 * 20);
    for to in [[33, 14], [20, 30]] {
        let whole = scaled(&bytes, [20, 30], to, Filter::Bilinear);
        let source = Source::<1> {
            bytes: &bytes,
            width: 30,
        };
        let [mut rows, mut columns] = [Axis::new(0..20, to[0]), Axis::new(0..30, to[1])];
        (rows.window, columns.window) = (3..9, 5..12);
        let mut got = vec![0; 6 * 7];
        resample(source, &rows, &columns, Filter::Bilinear, &mut got);
        let want = (3..9).flat_map(|y| &whole[y * to[1] + 5..y * to[1] + 12]);
        assert!(got.iter().eq(want), "{to:?}");
    }
}
