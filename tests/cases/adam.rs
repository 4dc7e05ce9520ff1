//! Adam over parameters of odd sizes, at the first step and late.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::Adam;

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for step in [1, 10_000] {
        let adam = Adam::default();
        let mut case = CaseBuilder::new();
        let hyper = case.input(&[2], adam.hyper(1e-3, step).to_vec());
        let sizes = [1, 17, 64, 1000];
        let parameters = sizes.map(|n| case.with_role(&[n], Role::Parameter, floats(n, n as u32)));
        let with_role = |case: &mut CaseBuilder, role: fn(_) -> Role, scale: f32, shift: f32| {
            let mut ids = Vec::new();
            for (&n, &parameter) in sizes.iter().zip(&parameters) {
                let data = floats(n, 2).iter().map(|x| scale * (x + shift)).collect();
                ids.push(case.with_role(&[n], role(parameter), data));
            }
            ids
        };
        let mut inputs = vec![hyper];
        inputs.extend(with_role(&mut case, Role::Gradient, 0.1, 0.0));
        let mut updates = parameters.to_vec();
        updates.extend(with_role(&mut case, |p| Role::Moment(p, 0), 0.1, 0.5));
        updates.extend(with_role(&mut case, |p| Role::Moment(p, 1), 0.01, 1.0));
        case.op(adam, &inputs, &updates);
        cases.push(case.case(format!("adam step {step}")));
    }
    cases
}
