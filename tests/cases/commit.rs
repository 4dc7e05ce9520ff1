//! What a step leaves behind: gradients that are finite and that are not, in the last part of a batch and before it.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{Commit, Gate, Optimizer};

/// Norms of gradients: zero, some, the largest; too large, no number.
const NORMS: [f32; 6] = [
    0.0,
    1.7,
    f32::MAX,
    f32::INFINITY,
    f32::NAN,
    f32::NEG_INFINITY,
];

fn gate(norm: f32) -> Case {
    let mut case = CaseBuilder::new();
    let norm_value = case.input(&[1], vec![norm]);
    for n in [1, 6, 1000] {
        let x = case.random(&[n]);
        case.op(Gate, &[x, norm_value], &[]);
    }
    case.case(format!("gate at a norm of {norm}"))
}

/// Sums of `m` numbers, and statistics of `channels`.
fn commit(norm: f32, last: bool, m: usize, channels: &[usize]) -> Case {
    let mut case = CaseBuilder::new();
    let hyper = Optimizer::default().hyper_of_part(1e-3, 3, false, 0.4, last);
    let inputs = [
        case.input(&[6], hyper.to_vec()),
        case.input(&[1], vec![norm]),
    ];
    let mut sums = floats(m, 3);
    // A step that is skipped has sums that are no numbers.
    if last && !norm.is_finite() {
        sums[0] = f32::NAN;
    }
    let mut updates = vec![case.with_role(&[m], Role::Accumulator, sums)];
    updates.push(case.with_role(&[m + 1], Role::Accumulator, floats(m + 1, 5)));
    let mut running = Vec::new();
    for &c in channels {
        let mut data = floats(c, 7);
        // It goes back whatever the norm.
        if last {
            data[c - 1] = f32::INFINITY;
        }
        running.push(case.with_role(&[c], Role::Statistic, data));
    }
    let kept = running.iter().zip(channels);
    let kept: Vec<_> = kept
        .map(|(&of, &c)| case.with_role(&[c], Role::Kept(of), floats(c, 11)))
        .collect();
    updates.extend(running.iter().chain(&kept));
    case.op(Commit, &inputs, &updates);
    case.case(format!(
        "commit of {m} sums and {channels:?} at a norm of {norm}, last {last}"
    ))
}

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = NORMS.map(gate).to_vec();
    for norm in NORMS {
        for last in [false, true] {
            cases.push(commit(norm, last, 5, &[]));
            cases.push(commit(norm, last, 14, &[3, 3, 70, 70]));
        }
    }
    // More than one workgroup, of which the count alone is the last.
    cases.push(commit(1.7, true, 128, &[1]));
    cases.push(commit(f32::NAN, true, 128, &[1]));
    cases
}
