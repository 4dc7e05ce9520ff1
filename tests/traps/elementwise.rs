//! ReLU, activations and sums.

use crate::cases::CaseBuilder;
use crate::{ANY, INF, NAN, TINY, agreed, assert_are, of};
use nin_wgpu::ops::{Activation, ActivationBackward, Add, Relu, ReluBackward};

#[test]
fn relu_passes_what_is_no_number_and_cuts_minus_infinity() {
    let x = [NAN, -INF, INF, -0.0, -1.0, 2.0, TINY[1], -TINY[0]];
    let y = of("relu", Relu, &[8], &x);
    assert_are(&y[0][..6], &[NAN, 0.0, INF, 0.0, 0.0, 2.0]);

    let mut case = CaseBuilder::new();
    let dy = case.input(&[6], vec![1.0, 2.0, NAN, NAN, INF, 5.0]);
    let y = case.input(&[6], vec![NAN, INF, 0.0, 1.0, 0.0, -INF]);
    case.op(ReluBackward, &[dy, y], &[]);
    let dx = agreed(&case.case("relu.backward"), ANY);
    assert_are(&dx[0], &[1.0, 2.0, 0.0, NAN, 0.0, 0.0]);
}

/// Activations, and `f(-inf)`, `f(inf)`, `f'(-inf)`, `f'(inf)`, `f'` of no number.
const AT_INFINITY: [(Activation, [f32; 5]); 8] = [
    (Activation::ALL[0], [-INF, INF, 0.01, 1.0, 0.01]),
    (Activation::Sigmoid, [0.0, 1.0, 0.0, 0.0, NAN]),
    (Activation::Tanh, [-1.0, 1.0, 0.0, 0.0, NAN]),
    (Activation::Silu, [NAN, INF, NAN, NAN, NAN]),
    (Activation::Gelu, [NAN, INF, NAN, NAN, NAN]),
    (Activation::GeluTanh, [NAN, INF, NAN, NAN, NAN]),
    (Activation::HardSwish, [NAN, INF, 0.0, 1.0, NAN]),
    (Activation::Mish, [NAN, INF, NAN, NAN, NAN]),
];

#[test]
fn activations_of_infinite_and_no_numbers_are_what_pytorch_says() {
    for (activation, [below, above, slope_below, slope_above, slope_of_none]) in AT_INFINITY {
        let name = format!("{activation:?}");
        let y = of(&name, activation, &[3], &[NAN, -INF, INF]);
        assert_are(&y[0], &[NAN, below, above]);
        let mut case = CaseBuilder::new();
        let dy = case.input(&[4], vec![1.0, 1.0, 1.0, NAN]);
        let x = case.input(&[4], vec![NAN, -INF, INF, 1.0]);
        case.op(ActivationBackward::new(activation), &[dy, x], &[]);
        let dx = agreed(&case.case(name), ANY);
        assert_are(&dx[0], &[slope_of_none, slope_below, slope_above, NAN]);
    }
}

#[test]
fn no_activation_overflows_at_huge_numbers() {
    for (activation, _) in AT_INFINITY {
        for huge in [200.0, 1e3, 1e4, 1e20, 3e38] {
            let name = format!("{activation:?} at {huge}");
            let x = [-huge, huge];
            let y = of(&name, activation, &[2], &x);
            let (below, above) = match activation {
                Activation::LeakyRelu { negative_slope } => (-negative_slope * huge, huge),
                Activation::Sigmoid => (0.0, 1.0),
                Activation::Tanh => (-1.0, 1.0),
                _ => (0.0, huge),
            };
            let near =
                |got: f64, want: f32| (got - f64::from(want)).abs() <= 1e-7 * got.abs() + 1e-30;
            assert!(
                near(y[0][0], below) && near(y[0][1], above),
                "{name}: {y:?}"
            );
            let mut case = CaseBuilder::new();
            let dy = case.input(&[2], vec![1.0, 1.0]);
            let x = case.input(&[2], x.to_vec());
            case.op(ActivationBackward::new(activation), &[dy, x], &[]);
            let dx = agreed(&case.case(&*name), ANY);
            let (below, above) = match activation {
                Activation::LeakyRelu { negative_slope } => (negative_slope, 1.0),
                Activation::Sigmoid | Activation::Tanh => (0.0, 0.0),
                _ => (0.0, 1.0),
            };
            assert!(
                near(dx[0][0], below) && near(dx[0][1], above),
                "{name}: {dx:?}"
            );
        }
    }
}

#[test]
fn a_sum_passes_what_is_no_number_and_its_relu_cuts_minus_infinity() {
    let mut case = CaseBuilder::new();
    let a = case.input(&[7], vec![NAN, INF, -INF, INF, -1.0, 2.0, INF]);
    let b = case.input(&[7], vec![1.0, -INF, 5.0, 1.0, 1.0, -3.0, INF]);
    let activation = case.input(&[7], vec![NAN, 1.0, INF, 0.0, -INF, 1.0, -0.0]);
    case.op(Add::default(), &[a, b], &[]);
    case.op(Add::default().with_relu(), &[a, b], &[]);
    case.op(Add::default().with_mask(), &[a, b, activation], &[]);
    let sums = agreed(&case.case("add"), ANY);
    assert_are(&sums[0], &[NAN, NAN, -INF, INF, 0.0, -1.0, INF]);
    assert_are(&sums[1], &[NAN, NAN, 0.0, INF, 0.0, 0.0, INF]);
    assert_are(&sums[2], &[NAN, NAN, -INF, 0.0, 0.0, -1.0, 0.0]);
}
