//! Agreement with plain loops, and the same bits every time.

use std::sync::Arc;

use super::scratch::{Need, Scratch};
use super::{dgrad, forward, wgrad, winograd};
use crate::graph::shape::{Shape, ShapeError};
use crate::ops::{Conv2d, Geometry};
use crate::reference::{Convolving, conv2d};

fn geometry(
    n: usize,
    c: usize,
    k: usize,
    [h, w]: [usize; 2],
    [r, stride, pad]: [usize; 3],
) -> Geometry {
    let conv = Conv2d::new(r, stride, pad).expect("valid");
    let x = Shape::new(&[n, c, h, w]).expect("valid");
    conv.geometry(x, k).expect("fits")
}

/// Of `x [n,c,h,w]` to `k` channels.
fn general([n, c, h, w, k]: [usize; 5], conv: Result<Conv2d, ShapeError>) -> Geometry {
    let x = Shape::new(&[n, c, h, w]).expect("valid");
    conv.and_then(|conv| conv.geometry(x, k)).expect("fits")
}

/// Odd shapes, after some so large that they take several blocks.
fn geometries() -> Vec<Geometry> {
    let grouped = |groups| Conv2d::new(3, 1, 1).and_then(|conv| conv.with_groups(groups));
    if cfg!(miri) {
        // It takes a thousand times as long. Winograd's, panels, columns, groups and rows.
        return vec![
            geometry(1, 16, 16, [1, 1], [3, 1, 1]),
            geometry(1, 3, 9, [3, 7], [1, 1, 0]),
            geometry(2, 3, 4, [5, 3], [3, 2, 1]),
            general([1, 4, 5, 3, 6], grouped(2)),
            general([1, 3, 4, 9, 3], grouped(3)),
        ];
    }
    let mut all = vec![
        geometry(3, 24, 7, [61, 45], [5, 1, 2]),
        geometry(2, 16, 5, [120, 90], [5, 2, 2]),
        geometry(1, 130, 70, [27, 23], [3, 1, 1]),
        geometry(2, 70, 96, [40, 40], [1, 1, 0]),
    ];
    // Winograd's: one band and many, tiles and vectors cut off, several images in a band, paddings apart.
    all.extend([
        geometry(1, 16, 16, [1, 1], [3, 1, 1]),
        geometry(3, 37, 70, [13, 13], [3, 1, 1]),
        geometry(9, 20, 33, [5, 3], [3, 1, 0]),
        geometry(1, 16, 130, [61, 70], [3, 1, 2]),
        geometry(2, 96, 40, [27, 27], [5, 1, 2]),
        geometry(3, 18, 20, [10, 10], [5, 1, 4]),
    ]);
    let apart = Conv2d::new(3, 1, 0).and_then(|conv| conv.with_paddings([[0, 2], [1, 0]]));
    all.push(general([2, 17, 20, 9, 21], apart));
    for n in [1, 3] {
        for (c, k) in [(1, 10), (3, 17), (5, 1)] {
            for (r, pad) in [(1, 0), (2, 1), (3, 0), (3, 1), (5, 2), (11, 5)] {
                for stride in 1..=4 {
                    all.push(geometry(n, c, k, [13, 11], [r, stride, pad]));
                }
            }
        }
    }
    let dilated = |rows, columns| {
        let conv = Conv2d::rectangular([3, 2], [rows, columns])?;
        conv.with_dilation([2, 3])?.with_paddings([[1, 3], [4, 0]])
    };
    for (stride, groups) in [(1, 1), (2, 1), (1, 2), (3, 6), (1, 6)] {
        let conv = dilated(1, stride).and_then(|conv| conv.with_groups(groups));
        for n in [1, 3] {
            all.push(general([n, 6, 13, 17, 12], conv.clone()));
        }
    }
    // Several blocks and parts in each group; many groups; rows longer than the lanes of a sum.
    all.push(general([2, 60, 61, 45, 10], grouped(2)));
    all.push(general([1, 66, 3, 5, 99], grouped(33)));
    all.push(general([2, 5, 40, 45, 5], grouped(5)));
    all
}

fn random(seed: usize, len: usize) -> Vec<f32> {
    let mut state = seed as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
        ((word >> 22) ^ word) as f32 / u32::MAX as f32 - 0.5
    };
    (0..len).map(|_| next()).collect()
}

fn widen(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v.into()).collect()
}

fn check(what: &str, g: &Geometry, got: &[f32], expected: &[f64]) {
    let scale = expected.iter().fold(1e-30, |max: f64, e| max.max(e.abs()));
    for (i, (&got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(got) - expected).abs() / scale;
        assert!(
            error < 1e-4,
            "{what} of {g:?}: element {i} is {got}, expected {expected}"
        );
    }
}

struct Case {
    x: Vec<f32>,
    w: Vec<f32>,
    b: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(g: &Geometry) -> Self {
        Self {
            x: random(1, g.n * g.c * g.h * g.w),
            w: random(2, g.k * g.terms()),
            b: random(3, g.k),
            dy: random(4, g.n * g.k * g.pixels()),
        }
    }

    /// Outputs start as not-a-number, since they must be overwritten.
    fn run(&self, g: &Geometry, fused: bool, how: &mut Convolving<f32>) -> [Vec<f32>; 4] {
        let b = g.biased.then_some(self.b.as_slice());
        let like = |of: &[f32]| vec![f32::NAN; of.len()];
        let [mut y, mut dx, mut dw, mut db] =
            [&self.dy, &self.x, &self.w, &self.b].map(|of| like(of));
        forward(g, how, fused, &self.x, &self.w, b, &mut y);
        let mask = fused.then_some(self.x.as_slice());
        dgrad(g, how, &self.dy, &self.w, mask, &mut dx);
        wgrad(
            g,
            how,
            &self.x,
            &self.dy,
            &mut dw,
            b.is_some().then_some(&mut db),
        );
        [y, dx, dw, db]
    }
}

#[test]
fn agrees_with_plain_loops_in_f64() {
    assert_agreement(geometries());
}

/// More bands and places than threads, and the same of columns: what of the others takes longest, in small.
#[test]
#[cfg_attr(miri, ignore = "takes hours")]
fn several_bands_agree_with_plain_loops() {
    let many = vec![
        geometry(2, 8, 9, [61, 70], [3, 1, 1]),
        geometry(2, 5, 7, [61, 45], [3, 2, 1]),
    ];
    many.iter().for_each(assert_need);
    assert_agreement(many);
}

fn assert_agreement(geometries: Vec<Geometry>) {
    for g in geometries {
        let case = Case::new(&g);
        let [x, w, b, dy] = [&case.x, &case.w, &case.b, &case.dy].map(|of| widen(of));
        for fused in [false, true] {
            let [mut y, mut dx, mut dw, mut db] =
                [&dy, &x, &w, &b].map(|of| vec![f64::NAN; of.len()]);
            conv2d::forward(
                &g,
                &mut Convolving::default(),
                fused,
                &x,
                &w,
                Some(&b),
                &mut y,
            );
            let plain = &Convolving::default();
            conv2d::dgrad(&g, plain, &dy, &w, fused.then_some(&x), &mut dx);
            conv2d::wgrad(&g, plain, &x, &dy, &mut dw, Some(&mut db));
            let expected = [y, dx, dw, db];
            for precise in [false, true] {
                let mut how = Convolving {
                    precise,
                    ..Convolving::default()
                };
                let got = case.run(&g, fused, &mut how);
                for (what, (got, expected)) in ["y", "dx", "dw", "db"]
                    .iter()
                    .zip(got.iter().zip(&expected))
                {
                    check(what, &g, got, expected);
                }
            }
        }
    }
}

#[test]
fn repeats_bit_for_bit() {
    for g in geometries() {
        let case = Case::new(&g);
        // The second run's filters are those that the first kept, where any are.
        let mut how = Convolving {
            filters: Some(Vec::new()),
            ..Convolving::default()
        };
        let mut bits = || {
            case.run(&g, true, &mut how)
                .map(|of| of.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        let first = bits();
        assert_eq!(first, bits(), "{g:?}");
    }
}

#[test]
fn not_a_number_passes_relu_and_mask() {
    let g = geometry(1, 1, 1, [1, 1], [1, 1, 0]);
    let (mut y, mut dx) = ([0.0], [0.0]);
    let mut how = Convolving::default();
    forward(&g, &mut how, true, &[f32::NAN], &[1.0], None, &mut y);
    dgrad(&g, &how, &[2.0], &[1.0], Some(&[f32::NAN]), &mut dx);
    assert!(y[0].is_nan());
    assert_eq!(dx, [2.0]);
}

/// Root of the mean square error, in units of the same of the expected.
fn rms_error(got: &[f32], expected: &[f64]) -> f64 {
    let errors = got.iter().zip(expected);
    let errors: f64 = errors.map(|(&got, e)| (f64::from(got) - e).powi(2)).sum();
    (errors / expected.iter().map(|e| e * e).sum::<f64>()).sqrt()
}

/// The fewest multiplications where tiles are many, smaller tiles where they are few, and none where it would not pay.
#[test]
fn the_method_follows_from_the_shape() {
    let how = Convolving::default();
    for (g, want) in [
        (geometry(1, 96, 96, [14, 14], [3, 1, 1]), "F(2,3)"),
        (geometry(20, 96, 96, [15, 15], [3, 1, 1]), "F(5,3)"),
        (geometry(2, 96, 96, [28, 28], [3, 1, 1]), "F(4,3)"),
        (geometry(60, 96, 96, [4, 4], [5, 1, 2]), "F(2,5)"),
        (geometry(2, 96, 96, [27, 27], [5, 1, 2]), "F(3,5)"),
        (geometry(2, 7, 96, [28, 28], [3, 1, 1]), "none"),
        (geometry(2, 96, 96, [28, 28], [3, 2, 1]), "none"),
        (geometry(2, 96, 96, [28, 28], [3, 1, 3]), "none"),
        (geometry(2, 96, 96, [28, 28], [1, 1, 0]), "none"),
        (geometry(1, 256, 256, [2, 2], [3, 1, 1]), "none"),
    ] {
        let method = winograd::method(&g, &how);
        let name = method.map_or("none".to_owned(), |method| method.to_string());
        assert_eq!(name, want, "{g}");
        let precise = Convolving {
            precise: true,
            ..Convolving::default()
        };
        assert!(winograd::method(&g, &precise).is_none(), "{g}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "takes hours")]
fn winograd_is_chosen_for_large_layers_and_rounds_little() {
    // F(2,3), F(4,3), F(5,3), F(2,5) and F(3,5).
    for (g, most) in [
        (geometry(1, 96, 96, [14, 14], [3, 1, 1]), 1e-6),
        (geometry(20, 96, 96, [15, 15], [3, 1, 1]), 5e-6),
        (geometry(2, 96, 96, [28, 28], [3, 1, 1]), 2e-6),
        (geometry(60, 96, 96, [4, 4], [5, 1, 2]), 3e-6),
        (geometry(2, 96, 96, [27, 27], [5, 1, 2]), 5e-6),
    ] {
        let case = Case::new(&g);
        let mut plain = vec![0.0; case.dy.len()];
        let [x, w] = [&case.x, &case.w].map(|of| widen(of));
        conv2d::forward(
            &g,
            &mut Convolving::default(),
            false,
            &x,
            &w,
            None,
            &mut plain,
        );
        let [fast, precise] = [false, true].map(|precise| {
            let mut how = Convolving {
                precise,
                ..Convolving::default()
            };
            let mut y = vec![f32::NAN; plain.len()];
            forward(&g, &mut how, false, &case.x, &case.w, None, &mut y);
            rms_error(&y, &plain)
        });
        assert!(
            precise != fast && fast < most,
            "{g}: {fast:e}, precise {precise:e}"
        );
    }
}

#[test]
#[cfg_attr(miri, ignore = "runs what the others run, three times")]
fn what_it_works_in_is_known_before() {
    geometries().iter().for_each(assert_need);
}

fn assert_need(g: &Geometry) {
    for (precise, keeps) in [(false, false), (true, false), (false, true)] {
        let how = |scratch| Convolving {
            precise,
            filters: keeps.then(Vec::new),
            scratch: Arc::new(scratch),
        };
        let known = how(Scratch::default());
        let need = forward::need(g, &known)
            .or(dgrad::need(g, &known))
            .or(wgrad::need(g, &known));
        let mut grown = how(Scratch::new(Need::default()));
        Case::new(g).run(g, true, &mut grown);
        assert_eq!(grown.scratch.len(), need, "{g}, precise {precise}");
    }
}
