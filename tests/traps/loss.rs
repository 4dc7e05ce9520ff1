//! Softmax and the loss.

use std::f32::consts::LN_2;

use crate::cases::CaseBuilder;
use crate::{ANY, INF, NAN, agreed, assert_are, of};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{Softmax, SoftmaxCrossEntropy};

/// Rows of three logits, their probabilities, and the loss of each class.
const ROWS: [([f32; 3], [f32; 3], [f32; 3]); 8] = [
    ([1e30, -1e30, 1e30], [0.5, 0.0, 0.5], [LN_2, 2e30, LN_2]),
    ([-1e30, -1e30, -2e30], [0.5, 0.5, 0.0], [LN_2, LN_2, 1e30]),
    ([-INF, 0.0, -INF], [0.0, 1.0, 0.0], [INF, 0.0, INF]),
    ([3e38, -3e38, -INF], [1.0, 0.0, 0.0], [0.0, INF, INF]),
    ([-INF, -INF, -INF], [NAN; 3], [NAN; 3]),
    ([0.0, INF, 1.0], [NAN; 3], [NAN; 3]),
    ([NAN, 0.0, 1.0], [NAN; 3], [NAN; 3]),
    ([0.0, 1.0, NAN], [NAN; 3], [NAN; 3]),
];

#[test]
fn softmax_keeps_its_digits_at_huge_logits_and_passes_what_is_no_number() {
    for (logits, probabilities, losses) in ROWS {
        let y = of(
            &format!("softmax {logits:?}"),
            Softmax::default(),
            &[1, 3],
            &logits,
        );
        assert_are(&y[0], &probabilities);
        // Differences of the largest logits are infinite in `f32` alone.
        if logits[0] == 3e38 {
            continue;
        }
        let name = format!("log_softmax {logits:?}");
        let y = of(&name, Softmax::default().log(), &[1, 3], &logits);
        for (got, loss) in y[0].iter().zip(losses) {
            let want = -f64::from(loss);
            let near = (got - want).abs() <= 1e-6 * want.abs();
            let same = *got == want || (got.is_nan() && want.is_nan());
            assert!(near || same, "{name}: {y:?}");
        }
    }
}

#[test]
fn cross_entropy_of_huge_infinite_or_no_logits_is_what_pytorch_says() {
    for (logits, probabilities, losses) in ROWS {
        for label in 0..3u32 {
            // Differences of the largest logits are infinite in `f32` alone.
            if logits[0] == 3e38 && label == 1 {
                continue;
            }
            let mut case = CaseBuilder::new();
            let x = case.input(&[1, 3], logits.to_vec());
            let labels = case.input_u32(&[1], vec![label]);
            let metrics = case.with_role(&[7], Role::Accumulator, vec![0.0; 7]);
            case.op(SoftmaxCrossEntropy::default(), &[x, labels], &[metrics]);
            let name = format!("cross entropy {logits:?}, label {label}");
            let results = agreed(&case.case(&name), ANY);
            let one_hot = |l: usize| if l == label as usize { 1.0 } else { 0.0 };
            let gradient: Vec<f32> = (0..3).map(|l| probabilities[l] - one_hot(l)).collect();
            assert_are(&results[0], &gradient);
            let (got, want) = (results[1][0], f64::from(losses[label as usize]));
            let same = (got - want).abs() <= 1e-6 * want.abs();
            assert!(
                same || got == want || (got.is_nan() && want.is_nan()),
                "{name}: {got}"
            );
        }
    }
}
