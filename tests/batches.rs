//! Batches of millions of images: in few runs, by another algorithm, or refused, but never image by image.

use nin_wgpu::graph::{Graph, Role, ValueId};
use nin_wgpu::ops::{Conv2d, Conv2dDgrad, Conv2dWgrad, Linear, LinearDgrad, LinearWgrad, Op};
use nin_wgpu::plan::{
    Conv2dAlgorithm, Conv2dChoices, Dispatch, Plan, PlanError, PlanLimits, PlanOptions, Product,
};
use nin_wgpu::shape::{DType, Shape};

fn add(graph: &mut Graph, name: &str, dims: &[usize], role: Role) -> ValueId {
    graph.add_value(name, Shape::new(dims).expect("valid"), DType::F32, role)
}

fn push(graph: &mut Graph, op: impl Into<Op>, inputs: &[ValueId]) {
    let y = graph.push("layer", op, inputs, &[]).expect("fits");
    y.into_iter().for_each(|y| graph.keep(y));
}

/// All three computations of a linear layer of one feature and one output.
fn linear(images: usize) -> Graph {
    let mut graph = Graph::default();
    let x = add(&mut graph, "x", &[images, 1], Role::Input);
    let w = add(&mut graph, "w", &[1, 1], Role::Parameter);
    let b = add(&mut graph, "b", &[1], Role::Parameter);
    let dy = add(&mut graph, "dy", &[images, 1], Role::Input);
    let linear = Linear::default();
    push(&mut graph, linear, &[x, w, b]);
    let dgrad = LinearDgrad::new(graph.value(x).shape);
    push(&mut graph, dgrad, &[dy, w]);
    push(&mut graph, LinearWgrad::new(linear), &[x, dy]);
    graph
}

/// Those of a convolution of images of one pixel, most of whose filter lies on padding.
fn conv2d(images: usize, filter: usize) -> Graph {
    let mut graph = Graph::default();
    let x = add(&mut graph, "x", &[images, 1, 1, 1], Role::Input);
    let w = add(&mut graph, "w", &[1, 1, filter, filter], Role::Parameter);
    let dy = add(&mut graph, "dy", &[images, 1, 1, 1], Role::Input);
    let conv = Conv2d::new(filter, 1, filter / 2).expect("valid");
    let conv = conv.without_bias();
    push(&mut graph, conv, &[x, w]);
    push(&mut graph, Conv2dDgrad::new(conv, 1, 1), &[dy, w]);
    push(&mut graph, Conv2dWgrad::new(conv), &[x, dy]);
    graph
}

fn options(limits: PlanLimits, conv2d: impl Into<Conv2dChoices>) -> PlanOptions {
    let conv2d = conv2d.into();
    PlanOptions { limits, conv2d }
}

/// Limits of software devices: lavapipe's, with subgroups and without, and SwiftShader's, of narrow subgroups and larger bindings.
fn software() -> [PlanLimits; 3] {
    let limits = PlanLimits::WEBGPU;
    [(8, 128), (0, 128), (4, 1024)].map(|(subgroup, mebibytes)| PlanLimits {
        subgroup,
        max_binding: mebibytes << 20,
        ..limits
    })
}

/// Dispatches of a plan.
fn dispatches(graph: Graph, options: &PlanOptions) -> usize {
    let plan = Plan::new(graph, options).expect("fits");
    plan.dispatches().len()
}

#[test]
fn a_linear_layer_over_millions_of_images_is_planned_in_runs_of_as_many_as_fit() {
    // A filter gradient takes 65,534 images at a time: 65 runs of four dispatches, the others two and four of three.
    let batch = 1 << 22;
    let [eights, none, fours] = software().map(|limits| {
        let options = options(limits, Conv2dChoices::SOFTWARE);
        dispatches(linear(batch), &options)
    });
    assert_eq!((eights, none, fours), (287, 275, 275));
    // On hardware nothing is packed.
    assert_eq!(dispatches(linear(batch), &PlanOptions::default()), 4);
}

#[test]
fn what_would_take_more_than_some_thousand_runs_is_left_to_kernels_that_pack_nothing() {
    let direct = |plan: &Plan, op: &str| {
        let mut of = plan.dispatches().iter().filter(|each| each.op == op);
        of.all(|each| !each.name().contains("pack") && !each.name().contains("winograd"))
    };
    for limits in software() {
        // 250 of these images fit in a run, of whichever direction.
        let columns = options(limits, Conv2dChoices::SOFTWARE);
        let plan = Plan::new(conv2d(4096 * 250, 129), &columns).expect("fits");
        assert!(!direct(&plan, "conv2d.wgrad"));
        let plan = Plan::new(conv2d(4096 * 250 + 1, 129), &columns).expect("fits");
        assert!(direct(&plan, "conv2d.wgrad"));
        // By Winograd's filter gradient fewer do than forward.
        let winograd = options(limits, Conv2dAlgorithm::Winograd(Product::Plain));
        let plan = Plan::new(conv2d(12_000_000, 3), &winograd).expect("fits");
        assert!(!direct(&plan, "conv2d"));
        assert!(direct(&plan, "conv2d.wgrad"));
    }
}

#[test]
fn a_batch_that_no_binding_holds_is_refused_by_name_before_its_runs_are_planned() {
    for limits in software() {
        let options = options(limits, Conv2dChoices::SOFTWARE);
        let error = Plan::new(linear(u32::MAX as usize), &options).expect_err("too large");
        assert!(matches!(error, PlanError::Binding { .. }), "{error}");
        let says = error.to_string();
        assert!(says.starts_with("`x` needs 17179869180 bytes"), "{says}");
    }
}

/// Panels are no larger than what is bound, and no run has more workgroups than a dispatch may have.
#[test]
fn runs_are_shorter_where_a_device_binds_or_dispatches_less() {
    let small = PlanLimits {
        max_binding: 1 << 20,
        max_workgroups: 1 << 10,
        ..PlanLimits::WEBGPU
    };
    let options = options(small, Conv2dAlgorithm::Columns);
    let plan = Plan::new(linear(1 << 18), &options).expect("fits");
    let packs = |d: &&Dispatch| d.kernel.shader == "conv2d_pack";
    assert!(plan.dispatches().iter().any(|d| packs(&d)));
    let most = plan.slots().iter().map(|slot| slot.bytes).max();
    assert_eq!(most, Some(1 << 20));
}
