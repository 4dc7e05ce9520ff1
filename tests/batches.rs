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

/// As many runs as there may be are none too many, one more is.
#[test]
fn winograds_runs_end_at_the_most_that_there_may_be() {
    let winograd = options(
        PlanLimits::WEBGPU,
        Conv2dAlgorithm::Winograd(Product::Plain),
    );
    let runs = |images: usize| {
        let plan = Plan::new(conv2d(images, 3), &winograd).expect("fits");
        let of = plan.dispatches().iter().filter(|d| d.op == "conv2d.wgrad");
        of.filter(|d| d.kernel.shader == "conv2d_columns").count()
    };
    // The most images of which there are any, to the last one.
    let (mut most, mut too_many) = (1, 16 << 20);
    assert_eq!((runs(most), runs(too_many)), (1, 0));
    while too_many - most > 1 {
        let middle = usize::midpoint(most, too_many);
        match runs(middle) {
            0 => too_many = middle,
            _ => most = middle,
        }
    }
    assert_eq!(runs(most), 4096, "{most} images");
}

/// A product of few panels is shared by up to eight workgroups, all of as many images.
#[test]
fn a_filter_gradient_of_few_panels_is_summed_in_as_many_even_parts_as_its_images_give() {
    let columns = options(PlanLimits::WEBGPU, Conv2dAlgorithm::Columns);
    for (images, parts) in [(1, 1), (5, 5), (8, 8), (12, 6), (11, 1), (64, 8)] {
        let plan = layer(images, 8, false, &columns);
        let of = plan.dispatches().iter().filter(|d| d.op == "conv2d.wgrad");
        let of: Vec<_> = of.filter(|d| d.kernel.shader == "conv2d_unpack").collect();
        assert_eq!(of.len(), 1, "{plan}");
        assert_eq!(of[0].workgroups, [1, 1, parts], "{images} images");
    }
}

/// All three of a layer of square images. Gradients are joined where that of the filters comes first.
fn layer(images: usize, side: usize, filters_first: bool, options: &PlanOptions) -> Plan {
    let mut graph = Graph::default();
    let [x, dy] = ["x", "dy"].map(|name| {
        let dims = [images, 1, side, side];
        add(&mut graph, name, &dims, Role::Input)
    });
    let w = add(&mut graph, "w", &[1, 1, 3, 3], Role::Parameter);
    let conv = Conv2d::new(3, 1, 1).expect("valid").without_bias();
    push(&mut graph, conv, &[x, w]);
    let wgrad = (Conv2dWgrad::new(conv).into(), [x, dy]);
    let dgrad = (Conv2dDgrad::new(conv, side, side).into(), [dy, w]);
    let gradients: [(Op, _); 2] = if filters_first {
        [wgrad, dgrad]
    } else {
        [dgrad, wgrad]
    };
    for (op, inputs) in gradients {
        push(&mut graph, op, &inputs);
    }
    Plan::new(graph, options).expect("fits")
}

/// What the dispatches of each do.
fn slices(images: usize, side: usize, options: &PlanOptions) -> [Vec<u64>; 3] {
    let plan = layer(images, side, false, options);
    ["conv2d", "conv2d.dgrad", "conv2d.wgrad"].map(|op| {
        let of = plan.dispatches().iter().filter(|d| d.op == op);
        of.map(|d| d.flops).filter(|&flops| flops > 0).collect()
    })
}

#[test]
fn a_layer_that_is_too_much_for_a_dispatch_is_cut_into_as_few_as_do_not_do_more() {
    for algorithm in [
        Conv2dAlgorithm::Naive,
        Conv2dAlgorithm::Direct,
        Conv2dAlgorithm::HARDWARE,
    ] {
        let at_most = |dispatch_flops| {
            let limits = PlanLimits {
                dispatch_flops,
                ..PlanLimits::WEBGPU
            };
            options(limits, algorithm)
        };
        let image = 2 * 64 * 9;
        let whole = [const { [30 * 2 * 64 * 9] }; 3].map(|of| of.to_vec());
        assert_eq!(slices(30, 8, &at_most(30 * image)), whole);
        // Halves; as many as fit, alike; an image each, also where even that is too much. A sum in 15 parts takes some of them each,
        // and more parts where those would be too much.
        for (most, images, sums) in [
            (30 * image - 1, vec![15, 15], 2),
            (7 * image, vec![6; 5], 5),
            (4 * image + image / 4, vec![4, 4, 4, 4, 4, 4, 4, 2], 8),
            (image, vec![1; 30], 30),
            (image / 3, vec![1; 30], 90),
        ] {
            let [forward, dgrad, wgrad] = slices(30, 8, &at_most(most));
            let want: Vec<u64> = images.iter().map(|images| image * images).collect();
            assert_eq!((&forward, &dgrad), (&want, &want), "{algorithm:?}, {most}");
            assert_eq!(wgrad.len(), sums, "{algorithm:?}, {most}");
            assert!(wgrad.iter().all(|&flops| flops <= most), "{wgrad:?}");
            assert_eq!(wgrad.iter().sum::<u64>(), 30 * image, "{wgrad:?}");
        }
        // An image of 36 floats begins where a binding may at every 16th.
        let image = 2 * 36 * 9;
        for (images, want) in [(16, vec![16]), (17, vec![16, 1]), (40, vec![16, 16, 8])] {
            let [forward, dgrad, _] = slices(images, 6, &at_most(4 * image));
            let want: Vec<u64> = want.iter().map(|images| image * images).collect();
            assert_eq!((&forward, &dgrad), (&want, &want), "{algorithm:?}");
        }
        // Nothing at all may be done: an image each, and a part each of as many as there may be.
        let [forward, dgrad, wgrad] = slices(2, 8, &at_most(0));
        assert_eq!([forward.len(), dgrad.len(), wgrad.len()], [2, 2, 2304]);
        // More than some thousand images of that kind are left whole.
        let [forward, ..] = slices(16 * 4096, 6, &at_most(1));
        assert_eq!(forward.len(), 4096);
        let [forward, ..] = slices(16 * 4096 + 1, 6, &at_most(1));
        assert_eq!(forward.len(), 1);
    }
}

#[test]
fn both_gradients_are_one_dispatch_only_if_together_they_are_not_too_much_for_it() {
    let both = 2 * 30 * (2 * 64 * 9);
    for (dispatch_flops, joined) in [(both, 1), (both - 1, 0)] {
        let limits = PlanLimits {
            dispatch_flops,
            ..PlanLimits::WEBGPU
        };
        let plan = layer(
            30,
            8,
            true,
            &options(limits, Conv2dChoices::HARDWARE.precise()),
        );
        let gradients = plan.dispatches().iter();
        let gradients = gradients.filter(|d| d.op == "conv2d.gradients");
        assert_eq!(gradients.count(), joined, "{plan}");
    }
}
