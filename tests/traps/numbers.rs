//! Where numbers that are none go in a convolution, and those that are tiny.

use crate::cases::{CaseBuilder, floats};
use crate::{ANY, INF, NAN, TINY, agreed, of};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{Adam, Conv2d, GlobalAvgPool, MaxPool2d, Pool2d, Relu, Softmax, Update};
use nin_wgpu::plan::Conv2dAlgorithm;

#[test]
fn a_convolution_spreads_what_is_no_number_to_the_pixels_that_see_it_and_no_further() {
    let (dims, k) = ([1, 3, 9, 11], 5);
    for at in [0, 40, 98, 296] {
        let mut x = floats(dims.iter().product(), 1);
        x[at] = NAN;
        x[at / 2 + 100] = INF;
        let mut case = CaseBuilder::new();
        let x = case.input(&dims, x);
        let w = case.random(&[k, 3, 3, 3]);
        let b = case.random(&[k]);
        let conv = Conv2d::new(3, 2, 1).expect("valid").with_relu();
        case.op(conv, &[x, w, b], &[]);
        let y = agreed(
            &case.case(format!("conv2d, no number at {at}")),
            &Conv2dAlgorithm::ALL,
        );
        let spoilt = y[0].iter().filter(|y| y.is_nan()).count();
        assert!(
            (k..=4 * k * 2).contains(&spoilt),
            "{spoilt} of {}",
            y[0].len()
        );
    }
}

#[test]
fn tiny_numbers_may_be_flushed_to_zero_but_spoil_nothing() {
    let tiny: Vec<f32> = floats(2 * 3 * 8 * 8, 7)
        .iter()
        .map(|x| x * TINY[1])
        .collect();
    of("relu", Relu, &[384], &tiny);
    of(
        "global_avg_pool",
        GlobalAvgPool::default(),
        &[2, 3, 8, 8],
        &tiny,
    );
    of("softmax", Softmax::default(), &[64, 6], &tiny);
    let pool = MaxPool2d::new(Pool2d::new(8, 8).expect("valid"));
    let mut case = CaseBuilder::new();
    let x = case.input(&[2, 3, 8, 8], tiny.clone());
    case.op(pool, &[x], &[]);
    // Where all may be zero, any place may hold the largest.
    case.results.truncate(1);
    agreed(&case.case("max_pool2d"), ANY);

    let mut case = CaseBuilder::new();
    let x = case.input(&[2, 3, 8, 8], tiny.clone());
    let w = case.input(
        &[4, 3, 3, 3],
        floats(108, 3).iter().map(|x| 1e30 * x).collect(),
    );
    let b = case.input(&[4], vec![0.0, TINY[0], -TINY[1], 1e-3]);
    case.op(Conv2d::new(3, 1, 1).expect("valid"), &[x, w, b], &[]);
    agreed(&case.case("conv2d"), &Conv2dAlgorithm::ALL);

    // Squares of such gradients are zero: the step is then a rate by eps, and finite.
    let mut case = CaseBuilder::new();
    let hyper = case.input(&[3], Adam::default().hyper(1e-3, 1).to_vec());
    let p = case.with_role(&[64], Role::Parameter, vec![1.0; 64]);
    let g = case.with_role(&[64], Role::Gradient(p), tiny[..64].to_vec());
    let [m, v] = [0, 1].map(|n| case.with_role(&[64], Role::Moment(p, n), vec![0.0; 64]));
    case.op(Update::from(Adam::default()), &[hyper, g], &[p, m, v]);
    agreed(&case.case("adam"), ANY);
}
