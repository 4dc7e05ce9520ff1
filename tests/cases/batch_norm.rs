//! Batch normalisation, its gradient, and what it is in evaluation: small maps and odd ones, and channels in chunks.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::{Role, ValueId};
use nin_wgpu::ops::{
    BatchNorm, BatchNormBackward, BatchNormEval, BatchNormEvalBackward, FoldBatchNorm,
};

/// Weight, bias, running mean and running variance, all `[C]`.
fn state(case: &mut CaseBuilder, c: usize) -> [ValueId; 4] {
    let (weight, bias) = (case.random(&[c]), case.random(&[c]));
    let mean = case.with_role(&[c], Role::Statistic, floats(c, 31));
    let variance = floats(c, 37).iter().map(|x| x + 1.5).collect();
    let variance = case.with_role(&[c], Role::Statistic, variance);
    [weight, bias, mean, variance]
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dims in [
        &[2, 1][..],
        &[37, 5],
        &[1, 3, 2, 3],
        &[2, 3, 5, 7],
        &[3, 70, 7, 7],
        &[1, 2, 33, 31],
        // In two chunks, and in three of which the last is smaller; as many as it takes to keep a GPU busy.
        &[2, 3, 181, 183],
        &[5, 1, 127, 157],
        &[1, 500, 257, 256],
    ] {
        let c = dims[1];
        let mut case = CaseBuilder::new();
        // A mean that is not zero, nor the same in each chunk.
        let len = dims.iter().product();
        let x = floats(len, 3).into_iter().enumerate();
        let x: Vec<f32> = x
            .map(|(i, x)| 2.0 * x + 3.0 * i as f32 / len as f32)
            .collect();
        let x = case.input(dims, x);
        let plain = BatchNorm::default();
        let [weight, bias, mean, variance] = state(&mut case, c);
        let inputs = [x, weight, bias];
        let saved = case.op(plain, &inputs, &[mean, variance])[1];
        let dy = case.random(dims);
        let operands = [dy, x, saved, weight];
        // Of two values nothing is left to go down but the rounding.
        if dims[0] > 2 || dims.len() > 2 {
            case.op(BatchNormBackward::default(), &operands, &[]);
        }
        if dims[1] < 500 {
            let shortcut = case.random(dims);
            for op in [plain.with_shortcut(), plain.with_shortcut().with_relu()] {
                let [.., mean, variance] = state(&mut case, c);
                case.op(op, &[x, weight, bias, shortcut], &[mean, variance]);
            }
            // So large that a kernel without it would be seen.
            let other = BatchNorm::new(0.1, 0.3).expect("valid").with_relu();
            let [.., mean, variance] = state(&mut case, c);
            case.op(other, &inputs, &[mean, variance]);
            case.op(BatchNormBackward::default().with_mask(), &operands, &[]);
            let inputs = [x, weight, bias, mean, variance];
            case.op(BatchNormEval::from(plain), &inputs, &[]);
            case.op(BatchNormEval::from(other).with_relu(), &inputs, &[]);
            let gradient = BatchNormEvalBackward::from(plain);
            let inputs = [dy, x, weight, mean, variance];
            case.op(gradient, &inputs, &[]);
            case.op(BatchNormEvalBackward::from(other).with_mask(), &inputs, &[]);
            // PyTorch has no bounds for it.
            let overshot = BatchNorm::new(1e-5, -1.2).expect("a number");
            case.op(overshot, &[x, weight, bias], &[mean, variance]);
        }
        cases.push(case.case(format!("batch_norm {dims:?}")));
    }
    cases.push(far_from_zero());
    cases.push(in_evaluation());
    for filters in [&[1, 1, 1, 1][..], &[7, 3, 5, 5], &[70, 9, 1, 1]] {
        let mut case = CaseBuilder::new();
        let [weight, bias, mean, variance] = state(&mut case, filters[0]);
        let (w, b) = (case.random(filters), case.random(&filters[..1]));
        let fold = FoldBatchNorm::from(BatchNorm::new(0.1, 0.1).expect("valid"));
        let inputs = [weight, bias, mean, variance, w, b];
        case.op(fold, &inputs[..5], &[]);
        case.op(fold, &inputs, &[]);
        cases.push(case.case(format!("batch_norm.fold {filters:?}")));
    }
    cases
}

/// A mean that is large beside the deviation: squares of what is not taken from it first have no digits left.
fn far_from_zero() -> Case {
    let dims = &[2, 3, 5, 7];
    let mut case = CaseBuilder::new();
    let x = floats(210, 5).iter().map(|x| x + 100.0).collect();
    let x = case.input(dims, x);
    let [weight, bias, mean, variance] = state(&mut case, 3);
    let updates = [mean, variance];
    case.op(BatchNorm::default(), &[x, weight, bias], &updates);
    case.case("batch_norm far from zero")
}

/// The gradient in evaluation by itself, behind a rectifier: half of what it is masked by is zero.
fn in_evaluation() -> Case {
    let dims = &[2, 3, 5, 7];
    let mut case = CaseBuilder::new();
    let x = floats(210, 5).iter().map(|x| x.max(0.0)).collect();
    let (x, dy) = (case.input(dims, x), case.random(dims));
    let [weight, _, mean, variance] = state(&mut case, 3);
    let gradient = BatchNormEvalBackward::from(BatchNorm::default()).with_mask();
    case.op(gradient, &[dy, x, weight, mean, variance], &[]);
    case.case("batch_norm in evaluation, of zeros")
}
