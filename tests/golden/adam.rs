//! PyTorch's worked example of Adam.

use crate::cases::fixture::Fixture;
use crate::cases::{CaseBuilder, on_gpu, on_reference};
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{Adam, Update};
use nin_wgpu::plan::Conv2dAlgorithm;

#[test]
fn adam_matches_pytorchs_worked_example() {
    let fixture = Fixture::load("ops.safetensors");
    let n = fixture.get("op.adam.param0").len();
    let rate = fixture.metadata["op.adam.lr"].parse().expect("a number");
    let (mut p, mut m, mut v) = (fixture.f32("op.adam.param0"), vec![0.0; n], vec![0.0; n]);
    for step in 0..3 {
        let of =
            |name: &str| fixture.get(&format!("op.adam.{name}"))[step * n..(step + 1) * n].to_vec();
        let mut case = CaseBuilder::new();
        let hyper = case.input(&[3], Adam::default().hyper(rate, step as u64 + 1).to_vec());
        let parameter = case.with_role(&[n], Role::Parameter, p);
        let g = of("grads").iter().map(|&x| x as f32).collect();
        let g = case.with_role(&[n], Role::Gradient(parameter), g);
        let m0 = case.with_role(&[n], Role::Moment(parameter, 0), m);
        let v0 = case.with_role(&[n], Role::Moment(parameter, 1), v);
        case.op(
            Update::from(Adam::default()),
            &[hyper, g],
            &[parameter, m0, v0],
        );
        let case = case.case(format!("adam step {}", step + 1));
        // Each result against its own size: gradients here span eleven powers of ten.
        let want = [of("params"), of("m"), of("v")];
        let gpu = crate::cases::gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
        for got in [Some(on_reference::<f32>(&case)), gpu]
            .into_iter()
            .flatten()
        {
            for (got, want) in got.iter().zip(&want) {
                for (got, want) in got.iter().zip(want) {
                    assert!(
                        (got - want).abs() <= 2e-6 * want.abs() + 1e-30,
                        "step {}: {got} and {want}",
                        step + 1
                    );
                }
            }
        }
        let next = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        (p, m, v) = (next(&want[0]), next(&want[1]), next(&want[2]));
    }
}
