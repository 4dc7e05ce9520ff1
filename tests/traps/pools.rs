//! Pools and means.

use crate::cases::{CaseBuilder, floats, shape};
use crate::{ANY, INF, NAN, agreed, assert_are, of};
use nin_wgpu::ops::{AvgPool2d, GlobalAvgPool, MaxPool2d, MaxPool2dBackward, Pool2d};

#[test]
fn max_pooling_takes_what_is_no_number_for_the_largest_and_padding_for_the_smallest() {
    let pool = Pool2d::new(2, 2).expect("valid");
    // Four windows of four: one number that is none, two of them, minus infinities, and infinities of both signs.
    let x = [
        1.0, NAN, NAN, 5.0, -INF, -INF, -INF, 2.0, //
        9.0, 2.0, NAN, 7.0, -INF, -INF, INF, INF,
    ];
    let mut case = CaseBuilder::new();
    let input = case.input(&[1, 1, 2, 8], x.to_vec());
    let argmax = case.op(MaxPool2d::new(pool), &[input], &[])[1];
    let dy = case.input(&[1, 1, 1, 4], vec![1.0, NAN, 3.0, INF]);
    case.op(MaxPool2dBackward::new(pool, 2, 8), &[dy, argmax], &[]);
    let results = agreed(&case.case("max_pool2d"), ANY);
    assert_are(&results[0], &[NAN, NAN, -INF, INF]);
    // The last that is no number; else the first of the largest.
    assert_are(&results[1], &[1.0, 10.0, 4.0, 14.0]);
    assert_are(&results[2][..4], &[0.0, 1.0, 0.0, 0.0]);
    assert_are(&results[2][8..], &[0.0, 0.0, NAN, 0.0, 0.0, 0.0, INF, 0.0]);
}

#[test]
fn pools_of_other_windows_pass_what_is_no_number_too() {
    let pool = Pool2d::rectangular([1, 4], [1, 4]).expect("valid");
    let x = [
        1.0, NAN, 9.0, 2.0, NAN, 5.0, NAN, 7.0, //
        -INF, -INF, -INF, -INF, -INF, 2.0, INF, INF,
    ];
    let dims = [1, 1, 1, 16];
    let results = of("max_pool2d 1x4", MaxPool2d::new(pool), &dims, &x);
    assert_are(&results[0], &[NAN, NAN, -INF, INF]);
    assert_are(&results[1], &[1.0, 6.0, 8.0, 14.0]);
    let op = AvgPool2d::new(pool);
    let results = of("avg_pool2d 1x4", op, &dims, &x);
    assert_are(&results[0], &[NAN, NAN, -INF, NAN]);
}

#[test]
fn no_window_of_a_max_pooling_lies_in_the_padding_alone() {
    for window in 1..=5 {
        for pad in 0..window {
            for (stride, [h, w]) in [(1, [1, 1]), (2, [3, 4]), (5, [6, 5]), (9, [7, 12])] {
                let pool = Pool2d::new(window, stride).and_then(|pool| pool.with_pad(pad));
                let pool = pool.expect("valid");
                if pool.geometry(shape(&[1, 1, h, w])).is_err() {
                    continue;
                }
                let name = format!("window {window} stride {stride} pad {pad} on {h}x{w}");
                let x: Vec<f32> = floats(h * w, 1).iter().map(|x| x - 1e30).collect();
                let y = of(&name, MaxPool2d::new(pool), &[1, 1, h, w], &x);
                assert!(y[0].iter().all(|y| *y < -1e29 && y.is_finite()), "{name}");
            }
        }
    }
}

#[test]
fn a_mean_of_infinities_is_infinite_and_of_both_signs_no_number() {
    let mut x = vec![1.0; 4 * 6];
    x[7] = INF;
    x[13] = -INF;
    (x[18], x[20]) = (INF, -INF);
    let y = of(
        "global_avg_pool",
        GlobalAvgPool::default(),
        &[1, 4, 2, 3],
        &x,
    );
    assert_are(&y[0], &[1.0, INF, -INF, NAN]);
}
