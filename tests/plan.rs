//! Plans, without a GPU: their size, their memory, their limits.

mod cases;

use cases::slots::assert_slots_hold;
use nin_wgpu::autodiff;
use nin_wgpu::graph::{Graph, GraphBuilder, GraphError, Node, Phase, Role, ValueId};
use nin_wgpu::models::{MODELS, Model, layers};
use nin_wgpu::ops::{
    Adam, AvgPool2d, AvgPool2dBackward, Conv2d, Conv2dDgrad, Conv2dWgrad, Dropout,
    LocalResponseNorm, LocalResponseNormBackward, MaxPool2d, MaxPool2dBackward, Op, Pool2d,
};
use nin_wgpu::plan::{
    Conv2dAlgorithm, Conv2dChoices, Dispatch, Plan, PlanError, PlanLimits, PlanOptions, Product,
    Region, Tile,
};
use nin_wgpu::program::{Program, Source};
use nin_wgpu::shape::{DType, Shape};

fn program(model: &Model, batch: usize) -> Program {
    let source = Source::new(60_000, [1, 28, 28]);
    let build = |net: &mut _, x: ValueId| model.build(net, x, 10);
    Program::training(
        &source,
        // As small as AlexNet may be.
        model.input_size(64, 64),
        batch,
        Adam::default(),
        build,
    )
    .expect("the preset builds")
}

fn plan(model: &Model, batch: usize, conv2d: Conv2dAlgorithm) -> Plan {
    let options = PlanOptions {
        conv2d: conv2d.into(),
        ..PlanOptions::SOFTWARE
    };
    Plan::new(program(model, batch).graph().clone(), &options).expect("the preset fits")
}

fn nin() -> &'static Model {
    Model::find("nin").expect("exists")
}

#[test]
fn a_training_step_of_nin_is_at_most_36_dispatches_and_79_gflop() {
    let plan = plan(nin(), 16, Conv2dAlgorithm::HARDWARE);
    assert!(
        plan.dispatches().len() <= 36,
        "{} dispatches",
        plan.dispatches().len()
    );
    let gflop = plan.flops() as f64 / 1e9;
    assert!((gflop - 79.0).abs() < 0.5, "{gflop} GFLOP");
    let parameters: usize = plan
        .graph()
        .parameters()
        .map(|id| plan.graph().value(id).shape.len())
        .sum();
    assert_eq!(parameters, 1_992_166);
}

#[test]
fn winograd_halves_the_multiplications_of_a_training_step_of_nin_on_hardware_in_44_dispatches() {
    let gflop = [Conv2dChoices::HARDWARE.precise(), Conv2dChoices::HARDWARE].map(|conv2d| {
        let options = PlanOptions {
            conv2d,
            ..PlanOptions::default()
        };
        let plan = Plan::new(program(nin(), 16).graph().clone(), &options).expect("fits");
        assert!(plan.dispatches().len() <= 44, "{plan}");
        plan.flops() as f64 / 1e9
    });
    assert!(
        (gflop[0] - 79.0).abs() < 0.5 && gflop[1] < 45.0,
        "{gflop:?} GFLOP"
    );
}

#[test]
fn a_training_step_of_nin_takes_at_most_300_mb_and_500_where_it_is_fastest() {
    let without_subgroups = PlanOptions {
        conv2d: Conv2dChoices::SOFTWARE,
        ..PlanOptions::default()
    };
    let precise = PlanOptions {
        conv2d: Conv2dChoices::HARDWARE.precise(),
        ..PlanOptions::default()
    };
    // On hardware Winograd's panels and products are those of all images at once, and of both gradients.
    for (options, most) in [
        (PlanOptions::default(), 500_000_000),
        (precise, 300_000_000),
        (PlanOptions::SOFTWARE, 300_000_000),
        (without_subgroups, 300_000_000),
    ] {
        let plan = Plan::new(program(nin(), 16).graph().clone(), &options).expect("fits");
        assert!(plan.bytes() <= most, "{} bytes", plan.bytes());
    }
}

#[test]
fn the_plan_ends_with_its_totals() {
    let plan = plan(nin(), 16, Conv2dAlgorithm::HARDWARE);
    let text = plan.to_string();
    let last = text.lines().last().expect("not empty");
    assert_eq!(
        last,
        format!(
            "{} dispatches, {} slots, {:.1} MB, {:.2} GFLOP",
            plan.dispatches().len(),
            plan.slots().len(),
            plan.bytes() as f64 / 1e6,
            plan.flops() as f64 / 1e9
        )
    );
    assert_eq!(text.lines().count(), plan.dispatches().len() + 2);
}

#[test]
fn no_slot_is_used_by_another_buffer_while_its_contents_are_needed() {
    for model in MODELS {
        for conv2d in Conv2dAlgorithm::ALL {
            assert_slots_hold(&plan(model, 2, conv2d));
        }
    }
}

#[test]
fn no_slot_is_used_by_another_buffer_while_a_branch_needs_its_contents() {
    let source = Source::new(6, [3, 17, 16]);
    for (name, network) in cases::branches::NETWORKS {
        let program = Program::training(&source, [17, 16], 2, Adam::default(), network);
        let graph = program.expect("builds").graph().clone();
        for conv2d in Conv2dAlgorithm::ALL {
            let options = PlanOptions {
                conv2d: conv2d.into(),
                ..PlanOptions::SOFTWARE
            };
            let plan = Plan::new(graph.clone(), &options).expect(name);
            assert_slots_hold(&plan);
            assert_eq!(
                plan.to_string().lines().count(),
                plan.dispatches().len() + 2
            );
        }
    }
}

#[test]
fn a_join_is_a_dispatch_and_a_flattening_none() {
    let source = Source::new(6, [3, 16, 16]);
    let dispatches = |network: fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>| {
        let program = Program::training(&source, [16, 16], 2, Adam::default(), network);
        let options = PlanOptions::default();
        let plan = Plan::new(program.expect("builds").graph().clone(), &options).expect("fits");
        let ops = plan.dispatches().iter().map(|dispatch| dispatch.op);
        ops.map(str::to_owned).collect::<Vec<_>>()
    };
    let count = |ops: &[String], op: &str| ops.iter().filter(|&other| other == op).count();
    let named = |name| {
        let mut networks = cases::branches::NETWORKS.iter();
        dispatches(networks.find(|(other, _)| *other == name).expect("there").1)
    };
    // The join with its ReLU, and the sum of the gradients with the mask of the ReLU before.
    let residual = named("a residual block");
    assert_eq!(count(&residual, "add"), 2);
    assert_eq!(count(&residual, "relu"), 0);
    // The join's mask rides in the dgrad behind it, since both branches read the same gradient.
    assert_eq!(count(&residual, "relu.backward"), 0);
    assert_eq!(count(&named("a value read three times"), "add"), 4);
    let dense = named("a dense layer beside a pooled one");
    assert_eq!(count(&dense, "reshape"), 0);
    let concat = named("three branches side by side");
    assert_eq!(count(&concat, "concat"), 3);
    assert_eq!(count(&concat, "concat.backward"), 3);
}

#[test]
fn slots_take_less_memory_than_buffers() {
    let plan = plan(nin(), 16, Conv2dAlgorithm::HARDWARE);
    let buffers: u64 = plan.buffers().iter().map(|buffer| buffer.bytes).sum();
    assert!(
        plan.bytes() * 10 < buffers * 8,
        "{} of {buffers} bytes",
        plan.bytes()
    );
}

#[test]
fn a_tensor_above_the_binding_limit_fails_and_is_named() {
    let limits = PlanLimits {
        max_binding: 18_000_000,
        ..PlanLimits::default()
    };
    let options = PlanOptions {
        limits,
        ..PlanOptions::default()
    };
    let error = Plan::new(program(nin(), 16).graph().clone(), &options).expect_err("too large");
    let PlanError::Binding { tensor, limit, .. } = &error else {
        panic!("{error}")
    };
    // Not the data set's 47,040,000 bytes, which lie in three pages, nor the parts of all gradients, which each layer then sums.
    assert_eq!((tensor.as_str(), *limit), ("conv.0.0:relu", 18_000_000));
    let says = error.to_string();
    assert!(
        says.contains("`conv.0.0:relu` needs 18585600 bytes"),
        "{says}"
    );
}

#[test]
fn a_data_set_lies_in_one_buffer_if_a_binding_holds_it_and_else_in_pages_of_fours() {
    let source = Source::new(300, [1, 3, 5]);
    let program = Program::inference(&source, [3, 5], 30, |net, x| net.global_avg_pool(x));
    let program = program.expect("builds");
    let images = program.graph().find("data.images").expect("is there");
    for (max_binding, rows) in [
        (4500, vec![]),
        (4499, vec![296, 4]),
        (1860, vec![124, 124, 52]),
    ] {
        let limits = PlanLimits {
            max_binding,
            ..PlanLimits::default()
        };
        let options = PlanOptions {
            limits,
            ..PlanOptions::default()
        };
        let plan = Plan::new(program.graph().clone(), &options).expect("fits");
        let pages = plan.pages(images);
        let got: Vec<usize> = pages.iter().map(|page| page.rows).collect();
        assert_eq!(got, rows, "of {max_binding} bytes");
    }
}

#[test]
fn an_algorithm_over_subgroups_fails_on_a_device_without_them_and_says_why() {
    let options = PlanOptions {
        conv2d: Conv2dAlgorithm::ColumnsSubgroup.into(),
        ..PlanOptions::default()
    };
    assert!(
        !Conv2dAlgorithm::available(options.limits).contains(&Conv2dAlgorithm::ColumnsSubgroup)
    );
    let with = PlanLimits {
        subgroup: 8,
        ..options.limits
    };
    assert!(Conv2dAlgorithm::available(with).contains(&Conv2dAlgorithm::ColumnsSubgroup));
    let error = Plan::new(program(nin(), 1).graph().clone(), &options).expect_err("no subgroups");
    assert!(
        error
            .to_string()
            .contains("subgroups of 8 lanes, the device has 0"),
        "{error}"
    );
}

#[test]
fn a_tile_above_the_workgroup_limits_fails_and_says_why() {
    let limits = PlanLimits {
        workgroup_memory: 4096,
        ..PlanLimits::default()
    };
    let options = PlanOptions {
        limits,
        conv2d: Conv2dAlgorithm::HARDWARE.into(),
    };
    let error = Plan::new(program(nin(), 1).graph().clone(), &options).expect_err("too large");
    assert!(
        error
            .to_string()
            .contains("14848 bytes of workgroup memory"),
        "{error}"
    );
}

#[test]
fn a_device_of_few_storage_buffers_is_refused_with_the_kernel_and_the_limit() {
    let mut options = PlanOptions::default();
    options.limits.storage_buffers = 4;
    let error = Plan::new(program(nin(), 1).graph().clone(), &options).expect_err("too many");
    let text = error.to_string();
    assert!(
        text.starts_with(
            "`gather.forward` binds 5 storage buffers, but this device allows 4 (max_"
        ),
        "{text}"
    );
}

/// The largest tile that is chosen without measuring fits exactly, and with a byte or an invocation less none is chosen.
#[test]
fn a_device_of_small_workgroups_gets_kernels_that_need_no_more() {
    let plan = |limits: PlanLimits, conv2d| {
        let options = PlanOptions { limits, conv2d };
        Plan::new(program(nin(), 16).graph().clone(), &options)
    };
    let enough = PlanLimits {
        max_invocations: 256,
        workgroup_memory: 14_848,
        ..PlanLimits::default()
    };
    let conv2d = Conv2dChoices::of_hardware(&enough);
    assert_eq!(conv2d, Conv2dChoices::HARDWARE);
    plan(enough, conv2d).expect("fits");
    let largest = Conv2dChoices::from(Conv2dAlgorithm::HARDWARE);
    plan(enough, largest.clone()).expect("fits");
    for limits in [
        PlanLimits {
            max_invocations: 255,
            ..enough
        },
        PlanLimits {
            workgroup_memory: 14_847,
            ..enough
        },
    ] {
        let refused = plan(limits, largest.clone());
        assert!(refused.is_err(), "a tile is too large");
        let plan = plan(limits, Conv2dChoices::of_hardware(&limits)).expect("a smaller plan");
        let mut dispatches = plan.dispatches().iter();
        assert!(dispatches.all(|d| !d.kernel.shader.starts_with("conv2d_implicit_gemm")));
    }
}

/// Each of many groups has workgroups of its own, so nothing else would ask for parts.
#[test]
fn a_filter_gradient_in_groups_is_cut_where_its_loop_would_be_too_long_for_a_driver() {
    for conv2d in [Conv2dAlgorithm::Naive, Conv2dAlgorithm::Direct] {
        let mut graph = Graph::default();
        let [x, dy] = [256, 256].map(|channels| {
            let shape = Shape::new(&[2, channels, 200, 200]).expect("valid");
            graph.add_value("maps", shape, DType::F32, Role::Input)
        });
        let conv = Conv2d::new(1, 1, 0).and_then(|conv| conv.with_groups(256));
        let wgrad = Conv2dWgrad::new(conv.expect("valid"));
        graph.push("wgrad", wgrad, &[x, dy], &[]).expect("fits");
        let options = PlanOptions {
            conv2d: conv2d.into(),
            ..PlanOptions::SOFTWARE
        };
        let plan = Plan::new(graph, &options).expect("fits");
        let dispatch = &plan.dispatches()[0];
        let mut fields = dispatch.kernel.uniform.iter();
        let turns = fields.position(|(name, _)| *name == "pixels_per_split");
        assert_eq!(dispatch.uniform[turns.expect("a member")], 40_000);
        assert_eq!(dispatch.workgroups[2], 512);
    }
}

#[test]
fn a_depthwise_convolution_has_its_kernel_on_every_kind_of_device() {
    let network = |net: &mut GraphBuilder, x| -> Result<ValueId, GraphError> {
        let x = net.conv2d("stem", x, 8, Conv2d::new(1, 1, 0)?)?;
        let depthwise = Conv2d::new(3, 1, 1)?.with_groups(8)?;
        let x = net.conv2d("depthwise", x, 8, depthwise)?;
        let x = net.conv2d("grouped", x, 8, Conv2d::new(3, 1, 1)?.with_groups(2)?)?;
        net.global_avg_pool(x)
    };
    let source = Source::new(2, [1, 16, 16]);
    let program = Program::training(&source, [16, 16], 2, Adam::default(), network);
    let graph = program.expect("builds").graph().clone();
    let kinds: Vec<_> = layers(&graph).into_iter().map(|layer| layer.kind).collect();
    // Pooling is a part of the loss there.
    let want = ["conv 1x1", "conv 3x3, 8 groups", "conv 3x3, 2 groups"];
    assert_eq!(kinds, want);
    let limits = PlanLimits::default();
    let small = PlanLimits {
        max_invocations: 64,
        ..limits
    };
    for (limits, conv2d, shader) in [
        (limits, Conv2dChoices::HARDWARE, "conv2d_depthwise"),
        (limits, Conv2dChoices::SOFTWARE, "conv2d_depthwise"),
        (
            small,
            Conv2dChoices::of_hardware(&small),
            "conv2d_depthwise",
        ),
        // Panels are of one group; where they were asked for, the direct kernels stand in.
        (limits, Conv2dAlgorithm::Columns.into(), "conv2d_direct"),
    ] {
        let options = PlanOptions { limits, conv2d };
        let plan = Plan::new(graph.clone(), &options).expect("fits");
        let shaders = |layer| -> Vec<&str> {
            let dispatches = plan.dispatches().iter().filter(|d| d.layer == layer);
            dispatches.map(|d| d.kernel.shader).collect()
        };
        assert_eq!(shaders("depthwise"), [shader; 3]);
        let grouped = shaders("grouped");
        assert_eq!(grouped.len(), 3);
        assert!(
            grouped
                .iter()
                .all(|shader| *shader == "conv2d_direct"
                    || shader.starts_with("conv2d_implicit_gemm"))
        );
    }
}

#[test]
fn a_dispatch_moves_its_operands_once_and_of_the_data_set_only_the_batch() {
    let plan = plan(nin(), 16, Conv2dAlgorithm::HARDWARE);
    let bytes = |layer: &str, op| {
        let mut dispatches = plan.dispatches().iter();
        let found = dispatches.find(|d| d.layer == layer && d.op == op);
        found.expect("dispatched").bytes
    };
    // Pixels of a byte, labels and indices in; pixels of four bytes and labels out.
    let gather = 16 * 28 * 28 + 2 * 4 * 16 + 16 * 224 * 224 * 4 + 4 * 16;
    assert_eq!(bytes(&plan.dispatches()[0].layer, "gather"), gather);
    let conv1 = 4 * (16 * 224 * 224 + 96 * 121 + 96 + 16 * 96 * 55 * 55);
    assert_eq!(bytes("conv.0.0", "conv2d"), conv1);
    // Gradients are read in parts and written; parameters and both moments are read and written, with the gaps between them.
    let adam = bytes("optimizer", "adam");
    let parts = plan
        .buffers()
        .iter()
        .find(|buffer| buffer.label == "gradient parts");
    let least = 7 * 4 * 1_992_166 + parts.expect("the optimizer sums").bytes;
    assert!((least..least + 100_000).contains(&adam), "{adam}");
}

/// Filters that no run writes are packed, and transformed, when they were written: before the first run of an inference plan.
#[test]
fn only_an_inference_plan_keeps_packed_filters() {
    let source = Source::new(8, [1, 224, 224]);
    let build = |net: &mut _, x: ValueId| nin().build(net, x, 10);
    let inference = Program::inference(&source, [224, 224], 1, build).expect("builds");
    let hardware = PlanOptions {
        conv2d: Conv2dAlgorithm::HARDWARE.into(),
        ..PlanOptions::SOFTWARE
    };
    for (options, packed) in [(PlanOptions::SOFTWARE, true), (hardware, false)] {
        let packs = |plan: &Plan| {
            let packs = |name: &str| name.ends_with("_a") || name == "over_pixels";
            let mut each_run = plan.dispatches()[plan.prologue()..].iter();
            let once = &plan.dispatches()[..plan.prologue()];
            assert!(once.iter().all(|dispatch| packs(dispatch.kernel.entry)));
            each_run.any(|dispatch| dispatch.kernel.entry.ends_with("_a"))
        };
        let kept = Plan::new(inference.graph().clone(), &options).expect("fits");
        let trained = Plan::new(program(nin(), 1).graph().clone(), &options).expect("fits");
        assert_eq!(kept.prologue(), if packed { 12 } else { 0 });
        assert_eq!(trained.prologue(), 0);
        assert_eq!((packs(&kept), packs(&trained)), (false, packed));
        let says = |plan: &Plan| {
            plan.to_string()
                .contains("only after parameters were written")
        };
        assert_eq!((says(&kept), says(&trained)), (packed, false));
    }
}

#[test]
fn layers_in_a_row_hand_their_sums_on() {
    let nin = Model::find("nin").expect("a preset");
    let source = Source::new(1, [1, 224, 224]);
    let build = |net: &mut GraphBuilder, x| nin.build(net, x, 10);
    let inference = Program::inference(&source, [224, 224], 1, build).expect("builds");
    let plan = Plan::new(inference.graph().clone(), &PlanOptions::SOFTWARE).expect("fits");
    let of = |kernel: &str| -> Vec<&str> {
        let dispatches = plan.dispatches().iter();
        let of = dispatches
            .filter(|dispatch| dispatch.kernel.name(dispatch.variant).starts_with(kernel));
        of.map(|dispatch| dispatch.layer.as_str()).collect()
    };
    // What a pool reads, or Winograd's transform writes, lies in maps; ten classes fill no panel.
    let small = ["conv.6.0", "conv.6.2", "conv.6.4"];
    assert_eq!(of("conv2d_pack.forward_b")[3..], small);
    assert_eq!(
        of("conv2d_pack.forward_b")[..3],
        ["conv.0.0", "conv.2.2", "conv.4.0"]
    );
    assert_eq!(
        of("conv2d_unpack.forward")[..3],
        ["conv.0.4", "conv.2.4", "conv.4.4"]
    );
    assert_eq!(of("conv2d_unpack.forward")[3..], small);
}

/// The second layer reads the first one's sums only if it looks at each pixel by itself, and they fill whole panels.
#[test]
fn sums_that_the_layer_behind_cannot_read_as_they_are_are_unpacked() {
    for (maps, filter, unpacked) in [(16, 1, 1), (16, 3, 2), (10, 1, 2), (15, 1, 2), (10, 3, 2)] {
        let mut graph = Graph::default();
        let mut add = |dims: &[usize], role| {
            let shape = Shape::new(dims).expect("a shape");
            graph.add_value(format!("{dims:?}"), shape, DType::F32, role)
        };
        let x = add(&[2, 16, 6, 6], Role::Input);
        let first = add(&[maps, 16, 1, 1], Role::Parameter);
        let second = add(&[16, maps, filter, filter], Role::Parameter);
        let conv = |filter| {
            let conv = Conv2d::new(filter, 1, filter / 2).expect("valid");
            conv.without_bias()
        };
        let y = graph.push("first", conv(1), &[x, first], &[]);
        let y = y.expect("fits")[0];
        let z = graph.push("second", conv(filter), &[y, second], &[]);
        graph.keep(z.expect("fits")[0]);
        let options = PlanOptions {
            conv2d: Conv2dAlgorithm::Columns.into(),
            ..PlanOptions::SOFTWARE
        };
        let plan = Plan::new(graph, &options).expect("fits");
        let unpacks = plan.dispatches().iter();
        let unpacks = unpacks.filter(|d| d.kernel.shader == "conv2d_unpack");
        assert_eq!(
            unpacks.count(),
            unpacked,
            "{maps} maps, {filter}x{filter}\n{plan}"
        );
    }
}

/// Panels of 8 rows for at most as many, else of 16.
#[test]
fn few_rows_lie_in_narrow_panels() {
    for (rows, panel) in [(1, 8), (8, 8), (9, 16), (17, 16)] {
        let mut graph = Graph::default();
        let [x, w] = [[2, 16, 6, 6], [rows, 16, 1, 1]].map(|dims| {
            let shape = Shape::new(&dims).expect("a shape");
            graph.add_value(format!("{dims:?}"), shape, DType::F32, Role::Input)
        });
        let conv = Conv2d::new(1, 1, 0).expect("valid").without_bias();
        let y = graph.push("conv", conv, &[x, w], &[]).expect("fits")[0];
        graph.keep(y);
        let options = PlanOptions {
            conv2d: Conv2dAlgorithm::Columns.into(),
            ..PlanOptions::SOFTWARE
        };
        let plan = Plan::new(graph, &options).expect("fits");
        let products = plan.dispatches().iter();
        let products = products.filter(|d| d.kernel.entry == "product");
        let panels: Vec<String> = products.map(|d| d.variant.to_string()).collect();
        assert_eq!(panels, [format!("[{panel}x64]")], "{rows} rows");
    }
}

/// Its panels would be larger than a binding, so that layer alone is computed without.
#[test]
fn a_convolution_whose_panels_do_not_fit_takes_direct_kernels_and_the_others_keep_theirs() {
    let mut graph = Graph::default();
    let mut add = |name: &str, dims: &[usize], role| {
        let shape = Shape::new(dims).expect("a shape");
        graph.add_value(name, shape, DType::F32, role)
    };
    let x = add("x", &[1, 24, 1025, 1025], Role::Input);
    let w = add("w", &[1, 24, 1, 1], Role::Parameter);
    let v = add("v", &[8, 1, 3, 3], Role::Parameter);
    let dy = add("dy", &[1, 1, 1025, 1025], Role::Input);
    let pointwise = Conv2d::new(1, 1, 0).expect("valid").without_bias();
    let small = Conv2d::new(3, 8, 0).expect("valid").without_bias();
    let mut push = |layer: &str, op: Op, inputs: &[ValueId]| {
        let y = graph.push(layer, op, inputs, &[]).expect("fits")[0];
        graph.keep(y);
        y
    };
    let y = push("large", pointwise.into(), &[x, w]);
    push("small", small.into(), &[y, v]);
    push("large", Conv2dWgrad::new(pointwise).into(), &[x, dy]);
    push(
        "large",
        Conv2dDgrad::new(pointwise, 1025, 1025).into(),
        &[dy, w],
    );
    for subgroup in [0, 8] {
        let limits = PlanLimits {
            subgroup,
            ..PlanLimits::default()
        };
        let options = PlanOptions {
            limits,
            conv2d: Conv2dChoices::SOFTWARE,
        };
        let plan = Plan::new(graph.clone(), &options).expect("falls back");
        let kernels = |layer: &str| -> Vec<String> {
            let of = plan.dispatches().iter().filter(|each| each.layer == layer);
            of.map(|each| each.name()).collect()
        };
        let (large, small) = (kernels("large"), kernels("small"));
        assert!(
            large.iter().any(|name| name.contains("direct")),
            "{large:?}"
        );
        assert!(
            small.iter().all(|name| !name.contains("direct")),
            "{small:?}"
        );
        assert!(plan.to_string().contains("direct"), "{plan}");
    }
}

/// What an op counts, by its name: so many operations for each element of an operand; `None` for those that are told apart by more.
fn operations(graph: &Graph, node: &Node) -> Option<u64> {
    let len = |id: ValueId| graph.value(id).shape.len() as u64;
    let [input, output] =
        [&node.inputs, &node.outputs].map(|ids| ids.first().map_or(0, |&id| len(id)));
    let sum = |ids: &[ValueId]| ids.iter().map(|&id| len(id)).sum::<u64>();
    // Products of matrices: the filters, or their gradient, once for each pixel of each image.
    let maps = |y: ValueId, w: ValueId| {
        let filters = graph.value(w).shape.dims()[0] as u64;
        2 * len(y) * len(w) / filters
    };
    let (inputs, outputs) = (&node.inputs, &node.outputs);
    if let Op::LocalResponseNorm(norm) = &node.op {
        return Some((2 * norm.size() as u64 + 4) * input);
    }
    Some(match node.op.name() {
        "conv2d" | "linear" => maps(outputs[0], inputs[1]),
        "conv2d.dgrad" | "linear.dgrad" => maps(inputs[0], inputs[1]),
        "conv2d.wgrad" => maps(inputs[1], outputs[0]),
        "linear.wgrad" if graph.value(outputs[0]).shape.dims().len() == 2 => {
            maps(inputs[1], outputs[0])
        }
        "linear.wgrad" => 2 * len(inputs[1]),
        "relu" | "relu.backward" | "dropout" | "dropout.backward" | "global_avg_pool" => input,
        "sigmoid" | "tanh" | "silu" | "gelu" | "mish" | "hard_swish" | "leaky_relu" => input,
        "add" | "global_avg_pool.backward" => output,
        "softmax" | "log_softmax" => 4 * input,
        "softmax_cross_entropy" | "mean_squared_error" => 6 * input,
        "pooled_cross_entropy" => 2 * input + 6 * output,
        "soft_target_cross_entropy" => 8 * input,
        "gather" => 8 * output,
        "batch_norm.eval" => 3 * input,
        "concat" | "concat.backward" | "reshape" | "one_hot" | "gate" => 0,
        "commit" => len(node.updates[0]),
        // Those of parts of a batch come behind the step's numbers.
        "gradient_norm" => 2 * sum(&inputs[usize::from(!node.updates.is_empty())..]),
        "ema" => 3 * sum(&node.updates),
        _ => return None,
    })
}

#[test]
fn each_op_counts_its_operations_and_a_plan_those_of_its_dispatches() {
    let mut seen = std::collections::BTreeSet::new();
    for case in cases::tables::all() {
        let plan = |conv2d: Conv2dAlgorithm| {
            let options = PlanOptions {
                conv2d: conv2d.into(),
                ..PlanOptions::SOFTWARE
            };
            Plan::new(case.graph.clone(), &options).expect("fits")
        };
        let nodes = case.graph.nodes();
        let each: Option<Vec<u64>> = nodes.iter().map(|of| operations(&case.graph, of)).collect();
        let Some(each) = each else { continue };
        seen.extend(nodes.iter().map(|node| node.op.name()));
        let want: u64 = each.iter().sum();
        // By these convolutions need as many as they are defined by.
        for conv2d in [
            Conv2dAlgorithm::Naive,
            Conv2dAlgorithm::Direct,
            Conv2dAlgorithm::Columns,
            Conv2dAlgorithm::HARDWARE,
        ] {
            let plan = plan(conv2d);
            let name = format!("{} by {conv2d:?}", case.name);
            assert_eq!(plan.nominal_flops(), want, "{name}");
            assert_eq!(plan.flops(), want, "{name}\n{plan}");
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
    let norm = LocalResponseNorm::new(5).expect("valid");
    assert_eq!(norm.size(), 5);
    let mut case = cases::CaseBuilder::new();
    let x = case.random(&[2, 7, 3, 5]);
    case.op(norm, &[x], &[]);
    let plan = Plan::new(case.case("norm").graph, &PlanOptions::SOFTWARE).expect("fits");
    assert_eq!(plan.flops(), (2 * 5 + 4) * 210);

    let mut case = cases::CaseBuilder::new();
    let x = case.with_role(&[2, 5], Role::Parameter, vec![0.0; 10]);
    let random = case.input_u32(&[3], vec![0; 3]);
    let y = case.op(Dropout::new(0.5, 1).expect("valid"), &[x, random], &[])[0];
    let mut graph = case.case("dropout").graph;
    let shape = Shape::new(&[2, 5]).expect("a shape");
    let dy = graph.add_value("dy", shape, DType::F32, Role::Input);
    autodiff::backward(&mut graph, y, dy).expect("differentiable");
    let plan = Plan::new(graph, &PlanOptions::SOFTWARE).expect("fits");
    assert_eq!(plan.nominal_flops(), 2 * 10);
}

/// Rows of a product fill whole panels, so that it may be larger than its maps: here 16 rows of 9.
#[test]
fn as_many_images_are_multiplied_at_once_as_a_binding_holds_products_of() {
    let mut graph = Graph::default();
    let [x, w] = [[4, 4, 8, 8], [9, 4, 1, 1]].map(|dims| {
        let shape = Shape::new(&dims).expect("a shape");
        graph.add_value(format!("{dims:?}"), shape, DType::F32, Role::Input)
    });
    let conv = Conv2d::new(1, 1, 0).expect("valid").without_bias();
    let y = graph.push("conv", conv, &[x, w], &[]).expect("fits")[0];
    graph.keep(y);
    for (max_binding, runs) in [(4 * 16 * 256, 1), (4 * 16 * 256 - 1, 2)] {
        let limits = PlanLimits {
            max_binding,
            ..PlanLimits::default()
        };
        let options = PlanOptions {
            limits,
            conv2d: Conv2dAlgorithm::Columns.into(),
        };
        let plan = Plan::new(graph.clone(), &options).expect("fits");
        let dispatches = plan.dispatches().iter();
        let products = dispatches.filter(|d| d.kernel.entry == "product").count();
        assert_eq!(products, runs, "{max_binding} bytes\n{plan}");
    }
}

#[test]
fn square_windows_of_pools_have_kernels_that_divide_less() {
    let mut seen = [0, 0];
    for case in cases::max_pool2d::cases() {
        let plan = Plan::new(case.graph.clone(), &PlanOptions::SOFTWARE).expect("fits");
        let Some(Op::MaxPool2d(pool)) = case.graph.nodes().first().map(|node| &node.op) else {
            continue;
        };
        let is_square = *pool == MaxPool2d::new(Pool2d::new(2, 2).expect("valid"))
            || *pool == MaxPool2d::new(Pool2d::new(3, 2).expect("valid"));
        let shader = plan.dispatches()[0].kernel.shader;
        if is_square {
            assert_eq!(shader, "max_pool2d", "{}", case.name);
        }
        seen[usize::from(shader == "max_pool2d_general")] += 1;
    }
    assert!(seen.iter().all(|&n| n > 0), "{seen:?}");
}

#[test]
fn two_statistics_are_bound_at_once_and_class_weights_are_a_constant() {
    let mut seen = 0;
    for case in cases::batch_norm::cases() {
        let plan = Plan::new(case.graph.clone(), &PlanOptions::SOFTWARE).expect("fits");
        let mut nodes = plan.graph().nodes().iter();
        let Some(node) = nodes.find(|node| node.op.name() == "batch_norm") else {
            continue;
        };
        seen += 1;
        let [mean, var] = [0, 1].map(|i| plan.region(node.updates[i]).expect("used"));
        let apart = var.offset - mean.offset;
        assert!(apart >= mean.bytes && mean.buffer == var.buffer);
        let whole = Region {
            bytes: apart + var.bytes,
            ..mean
        };
        let binds = |d: &&Dispatch| d.op == "batch_norm" && d.bindings.contains(&whole);
        let dispatch = plan.dispatches().iter().find(binds);
        let dispatch = dispatch.unwrap_or_else(|| panic!("both in one binding: {plan}"));
        let mut fields = dispatch.kernel.uniform.iter();
        let at = fields
            .position(|(name, _)| *name == "var_at")
            .expect("a member");
        assert_eq!(u64::from(dispatch.uniform[at]), apart / 4);
    }
    assert!(seen > 0);
    let mut weighted = cases::softmax_cross_entropy::cases().into_iter();
    let weighted = weighted.find(|case| case.name.contains("16x10, weighted"));
    let graph = weighted.expect("is one of them").graph;
    let plan = Plan::new(graph, &PlanOptions::SOFTWARE).expect("fits");
    let mut constants = plan.buffers().iter();
    let weights = constants.find(|buffer| buffer.label == "class weights");
    assert_eq!(weights.expect("bound").bytes, 40);
}

/// Operations of Winograd's transforms of a tile or filter: a multiplication and an addition for each coefficient that is not zero, of
/// each row and column.
#[test]
fn winograds_convolution_counts_its_transforms_and_its_products() {
    // Outputs of a tile and taps, the coefficients of input, filter and output, and the side of the maps.
    for ([m, r], [input, filter, output], side) in [
        ([4, 3], [26, 14, 18], 16_usize),
        ([2, 5], [26, 22, 10], 4),
        ([3, 5], [34, 27, 17], 12),
        ([3, 5], [34, 27, 17], 8),
    ] {
        let points = m + r - 1;
        let [input, filter, output] = [
            2 * input * (points + points),
            2 * filter * (points + r),
            2 * output * (m + points),
        ];
        let (n, c, k) = (3, 16, 24);
        let tiles = n * side.div_ceil(m).pow(2);
        let conv = Conv2d::new(r, 1, r / 2).expect("valid").without_bias();
        let products = 2 * points * points * k * c * tiles;
        let [x, y] = [c, k].map(|channels| [n, channels, side, side]);
        let w = [k, c, r, r];
        for (op, operands, want) in [
            (
                Op::from(conv),
                [x, w],
                k * c * filter + c * tiles * input + products + k * tiles * output,
            ),
            (
                Conv2dDgrad::new(conv, side, side).into(),
                [y, w],
                k * c * filter + k * tiles * input + products + c * tiles * output,
            ),
            (
                Conv2dWgrad::new(conv).into(),
                [x, y],
                k * tiles * output + c * tiles * input + products + k * c * filter,
            ),
        ] {
            let mut graph = Graph::default();
            let inputs = operands.map(|dims| {
                let shape = Shape::new(&dims).expect("a shape");
                graph.add_value(format!("{dims:?}"), shape, DType::F32, Role::Input)
            });
            let outputs = graph.push("layer", op, &inputs, &[]).expect("fits");
            graph.keep(outputs[0]);
            for by in [Product::Plain, Product::Tiled] {
                let options = PlanOptions {
                    conv2d: Conv2dAlgorithm::Winograd(by).into(),
                    ..PlanOptions::SOFTWARE
                };
                let plan = Plan::new(graph.clone(), &options).expect("fits");
                assert_eq!(plan.flops(), want as u64, "F({m},{r}) {by:?}\n{plan}");
            }
        }
        // Filters that stay as they are are transformed once.
        let mut graph = Graph::default();
        let [x, w] = [(x, Role::Input), (w, Role::Parameter)].map(|(dims, role)| {
            let shape = Shape::new(&dims).expect("a shape");
            graph.add_value(format!("{dims:?}"), shape, DType::F32, role)
        });
        let y = graph.push("layer", conv, &[x, w], &[]).expect("fits")[0];
        graph.keep(y);
        let options = PlanOptions {
            conv2d: Conv2dAlgorithm::Winograd(Product::Plain).into(),
            ..PlanOptions::SOFTWARE
        };
        let plan = Plan::new(graph, &options).expect("fits");
        assert_eq!(plan.prologue(), 1, "{plan}");
        assert_eq!(plan.dispatches()[0].flops, (k * c * filter) as u64);
        let want = c * tiles * input + products + k * tiles * output;
        assert_eq!(plan.flops(), want as u64, "F({m},{r})\n{plan}");
    }
}

/// Each of those that are refused breaks one rule alone.
#[test]
fn a_tile_is_refused_where_its_copies_would_leave_a_rest() {
    let mut graph = Graph::default();
    let [x, w] = [[1, 16, 8, 8], [16, 16, 3, 3]].map(|dims| {
        let shape = Shape::new(&dims).expect("a shape");
        graph.add_value(format!("{dims:?}"), shape, DType::F32, Role::Input)
    });
    let conv = Conv2d::new(3, 1, 1).expect("valid").without_bias();
    graph.push("conv", conv, &[x, w], &[]).expect("fits");
    for ([m, n, k, micro], is_taken) in [
        ([8, 16, 4, 4], true),
        ([8, 32, 4, 4], true),
        ([32, 64, 16, 8], true),
        ([20, 40, 4, 4], false),
        ([8, 8, 4, 2], false),
        ([32, 64, 4, 16], false),
        ([80, 20, 4, 8], false),
        ([8, 16, 2, 4], false),
        ([8, 16, 8, 4], false),
        ([24, 16, 4, 4], false),
        ([0, 16, 4, 4], false),
        ([8, 0, 4, 4], false),
        ([8, 16, 0, 4], false),
        ([8, 16, 4, 0], false),
        ([0, 0, 4, 4], false),
    ] {
        let options = PlanOptions {
            conv2d: Conv2dAlgorithm::ImplicitGemm(Tile { m, n, k, micro }).into(),
            ..PlanOptions::SOFTWARE
        };
        let plan = Plan::new(graph.clone(), &options);
        match is_taken {
            true => assert!(plan.is_ok(), "{m}x{n}x{k}, {micro}: {plan:?}"),
            false => assert!(
                matches!(plan, Err(PlanError::Variant { .. })),
                "{m}x{n}x{k}, {micro}: {plan:?}"
            ),
        }
    }
}

#[test]
fn pools_count_their_windows_and_have_an_invocation_for_each_strip() {
    let pool = Pool2d::rectangular([3, 2], [2, 1]).expect("valid");
    let mut case = cases::CaseBuilder::new();
    let x = case.random(&[2, 3, 9, 8]);
    let dy = case.random(&[2, 3, 4, 7]);
    let places = case.op(MaxPool2d::new(pool), &[x], &[])[1];
    let average = AvgPool2d::new(pool);
    case.op(MaxPool2dBackward::new(pool, 9, 8), &[dy, places], &[]);
    case.op(average, &[x], &[]);
    case.op(AvgPool2dBackward::new(average, 9, 8), &[dy], &[]);
    let plan = Plan::new(case.case("pools").graph, &PlanOptions::SOFTWARE).expect("fits");
    for dispatch in plan.dispatches() {
        assert_eq!(dispatch.flops, 6 * 2 * 3 * 4 * 7, "{}", dispatch.op);
    }

    let mut case = cases::CaseBuilder::new();
    let [x, dy] = [0, 1].map(|_| case.random(&[2, 3, 9, 8]));
    let norm = LocalResponseNorm::new(3).expect("valid");
    case.op(LocalResponseNormBackward::new(norm), &[dy, x], &[]);
    let plan = Plan::new(case.case("norm").graph, &PlanOptions::SOFTWARE).expect("fits");
    // For each of three channels twelve operations, and fourteen more.
    assert_eq!(plan.flops(), 50 * 2 * 3 * 9 * 8);

    let values = |window, stride| {
        let mut net = GraphBuilder::new(Phase::Eval);
        let x = net.input("x", &[2, 96, 55, 55]).expect("valid");
        let pool = Pool2d::new(window, stride).expect("valid");
        net.max_pool2d(x, pool).expect("fits");
        let plan = Plan::new(net.finish(), &PlanOptions::SOFTWARE).expect("fits");
        plan.dispatches()[0].clone()
    };
    // A row lies in two windows at most, or in three.
    assert_eq!(values(4, 2).kernel.entry, "values");
    assert_ne!(values(5, 2).kernel.entry, "values");
    let dispatch = values(3, 2);
    assert_eq!(dispatch.kernel.entry, "values");
    // 27 rows in strips of four, 64 to a workgroup.
    let strips: u32 = 2 * 96 * 7 * 27;
    assert_eq!(dispatch.workgroups, [strips.div_ceil(64), 1, 1]);
}

/// The panels of 16 images take what is packed at once, those that the layer behind makes of its 32 channels twice that.
#[test]
fn sums_are_handed_on_only_where_both_layers_pack_all_images_at_once() {
    for (images, hands_on) in [(8, true), (16, false)] {
        let mut net = GraphBuilder::new(Phase::Eval);
        let mut build = || -> Result<(), GraphError> {
            let x = net.input("x", &[images, 16, 128, 128])?;
            let x = net.conv2d("first", x, 32, Conv2d::new(1, 1, 0)?)?;
            net.conv2d("second", x, 32, Conv2d::new(1, 1, 0)?)?;
            Ok(())
        };
        build().expect("builds");
        let options = PlanOptions {
            conv2d: Conv2dAlgorithm::Columns.into(),
            ..PlanOptions::SOFTWARE
        };
        let plan = Plan::new(net.finish(), &options).expect("fits");
        let unpacks = |d: &Dispatch| d.layer == "first" && d.kernel.shader == "conv2d_unpack";
        let unpacked = plan.dispatches().iter().any(unpacks);
        assert_eq!(unpacked, !hands_on, "{images} images\n{plan}");
    }
}

#[test]
fn winograds_points_that_no_binding_holds_are_left_to_other_kernels() {
    let mut net = GraphBuilder::new(Phase::Eval);
    let x = net.input("x", &[1, 16, 64, 64]).expect("valid");
    let conv = Conv2d::new(3, 1, 1).expect("valid");
    net.conv2d("conv", x, 16, conv).expect("fits");
    let graph = net.finish();
    // Of 256 tiles at 36 points; the maps have 262,144 bytes.
    for (max_binding, is_winograds) in [(36 * 256 * 16 * 4, true), (300_000, false)] {
        let limits = PlanLimits {
            max_binding,
            ..PlanLimits::default()
        };
        let options = PlanOptions {
            limits,
            conv2d: Conv2dAlgorithm::Winograd(Product::Plain).into(),
        };
        let plan = Plan::new(graph.clone(), &options).expect("fits");
        let mut shaders = plan.dispatches().iter().map(|d| d.kernel.shader);
        let found = shaders.any(|shader| shader.starts_with("conv2d_winograd"));
        assert_eq!(found, is_winograds, "{max_binding} bytes\n{plan}");
    }
}
