//! A network that branches and joins.

use crate::cases::fixture::Fixture;
use crate::cases::{Case, Data, shape};
use crate::check;
use nin_wgpu::autodiff;
use nin_wgpu::fuse::fuse;
use nin_wgpu::graph::{GraphBuilder, Phase, Role, ValueId};
use nin_wgpu::ops::{Conv2d, Pool2d, SoftmaxCrossEntropy, Tolerance};
use nin_wgpu::shape::DType;

/// The network `Branches` in `make.py`.
fn branches(net: &mut GraphBuilder, x: ValueId) -> nin_wgpu::Result<ValueId> {
    let conv = Conv2d::new(3, 1, 1)?;
    let x = net.conv2d("stem", x, 4, conv)?;
    let x = net.relu(x)?;
    let y = net.conv2d("one", x, 4, conv)?;
    let y = net.relu(y)?;
    let y = net.conv2d("two", y, 4, conv)?;
    let x = net.add(y, x)?;
    let x = net.relu(x)?;
    let left = net.conv2d("left", x, 3, Conv2d::new(1, 1, 0)?)?;
    let left = net.relu(left)?;
    let x = net.concat(&[x, left, x])?;
    let x = net.max_pool2d(x, Pool2d::new(2, 2)?)?;
    let x = net.flatten(x)?;
    let x = net.conv2d("dense", x, 5, Conv2d::new(1, 1, 0)?)?;
    Ok(net.global_avg_pool(x)?)
}

#[test]
fn a_network_that_branches_and_joins_has_the_gradients_of_pytorch() {
    let fixture = Fixture::load("branches.safetensors");
    let mut net = GraphBuilder::new(Phase::Train);
    let images = net.input("images", fixture.dims("images")).expect("valid");
    let logits = branches(&mut net, images).expect("fits");
    let mut graph = net.finish();
    graph.keep(logits);
    let labels = graph.add_value("labels", shape(&[2]), DType::U32, Role::Input);
    let len = shape(&[SoftmaxCrossEntropy::metrics_len(5)]);
    let metrics = graph.add_value("metrics", len, DType::F32, Role::Accumulator);
    let loss = graph.push(
        "loss",
        SoftmaxCrossEntropy::default(),
        &[logits, labels],
        &[metrics],
    );
    autodiff::backward(&mut graph, logits, loss.expect("fits")[0]).expect("differentiable");
    fuse(&mut graph);
    let numbers = fixture.get("labels").iter().map(|&x| x as u32).collect();
    let mut data = vec![
        (images, Data::F32(fixture.f32("images"))),
        (labels, Data::U32(numbers)),
    ];
    let exact = Tolerance {
        relative: 0.0,
        absolute: 0.0,
    };
    let (mut results, mut want) = (vec![(logits, exact)], vec![fixture.get("logits")]);
    for (parameter, gradient) in graph.gradients() {
        let name = &graph.value(parameter).name;
        let of = fixture.f32(&format!("param.{name}"));
        data.push((parameter, Data::F32(of)));
        results.push((gradient, exact));
        want.push(fixture.get(&format!("grad.{name}")));
    }
    assert_eq!(results.len(), 11);
    let case = Case {
        name: "branches".to_owned(),
        graph,
        data,
        results,
    };
    check(&case, 2e-6, &want);
}
