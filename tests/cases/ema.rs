//! Moving averages at the first step, later, and where a step's last part is still to come.

use super::{Case, CaseBuilder, floats};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::Ema;

pub fn cases() -> Vec<Case> {
    let weights = [Ema::weight(0.99, 1), Ema::weight(0.99, 2), 0.0];
    let of_weight = |weight: f32| {
        let mut case = CaseBuilder::new();
        let mut inputs = vec![case.input(&[1], vec![weight])];
        let mut averages = Vec::new();
        for n in [1, 17, 64, 1000] {
            let parameter = case.with_role(&[n], Role::Parameter, floats(n, n as u32));
            inputs.push(parameter);
            averages.push(case.with_role(&[n], Role::Average(parameter), floats(n, 3)));
        }
        case.op(Ema, &inputs, &averages);
        case.case(format!("ema of weight {weight}"))
    };
    weights.map(of_weight).to_vec()
}
