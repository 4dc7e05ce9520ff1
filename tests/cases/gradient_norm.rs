//! The norm of gradients, few and a million, whole and in parts.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{GradientNorm, Optimizer};

fn case(sizes: &[usize], in_parts: bool) -> Case {
    let mut case = CaseBuilder::new();
    let mut inputs = Vec::new();
    if in_parts {
        let hyper = Optimizer::default().hyper_of_part(1e-3, 3, false, 0.4, true);
        inputs.push(case.input(&[6], hyper.to_vec()));
    }
    let mut sums = Vec::new();
    for &n in sizes {
        let parameter = case.with_role(&[n], Role::Parameter, vec![0.0; n]);
        let role = Role::Gradient(parameter);
        inputs.push(case.with_role(&[n], role, floats(n, n as u32)));
        if in_parts {
            let role = Role::Moment(parameter, 2);
            sums.push(case.with_role(&[n], role, floats(n, 5)));
        }
    }
    case.op(GradientNorm { in_parts }, &inputs, &sums);
    case.case(format!("norm of {sizes:?} in parts {in_parts}"))
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for in_parts in [false, true] {
        for sizes in [&[1][..], &[7, 256, 1000], &[1_500_000, 3]] {
            cases.push(case(sizes, in_parts));
        }
    }
    cases
}

/// Gradients that do not fit in 4096 bytes together.
pub fn in_two_slabs() -> Vec<Case> {
    [false, true]
        .map(|in_parts| case(&[1, 17, 64, 1000], in_parts))
        .to_vec()
}
