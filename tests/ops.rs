//! Agreement: every op, forward and gradient, on the GPU and in `f32` on the CPU, against the `f64` reference.

mod cases;

use std::collections::HashMap;

use cases::{Case, Data, assert_agreement, gpu, of_graph, on_gpu, on_reference, run_plan};
use nin_wgpu::data::image_file::Picture;
use nin_wgpu::data::{Fit, View};
use nin_wgpu::graph::Role;
use nin_wgpu::models::{MODELS, Model};
use nin_wgpu::ops::{
    Activation, Adam, Augment, Commit, Conv2d, Dropout, Ema, MaxPool2d, MeanSquaredError,
    Optimizer, Pool2d,
};
use nin_wgpu::plan::{Access, Conv2dAlgorithm, Dispatch, Plan, Product};
use nin_wgpu::program::{Program, Source};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;

fn check(cases: &[Case], algorithms: &[Conv2dAlgorithm]) {
    assert!(!cases.is_empty());
    for case in cases {
        let want = on_reference::<f64>(case);
        assert_agreement(case, "the CPU", &on_reference::<f32>(case), &want);
        let Some(gpu) = gpu() else { continue };
        let available = Conv2dAlgorithm::available(gpu.plan_options().limits);
        let mut nodes = case.graph.nodes().iter();
        let geometry = nodes.find_map(|node| Conv2d::of_node(&case.graph, node));
        let serves = |a: &Conv2dAlgorithm| geometry.is_none_or(|(_, g)| a.serves(&g));
        let algorithms = algorithms
            .iter()
            .filter(|a| available.contains(a) && serves(a));
        for &algorithm in algorithms {
            let by = format!("{} ({algorithm:?})", gpu.description());
            assert_agreement(case, &by, &on_gpu(gpu, case, algorithm), &want);
        }
    }
}

const ANY: &[Conv2dAlgorithm] = &[Conv2dAlgorithm::HARDWARE];

#[test]
fn conv2d_matches_the_reference_at_odd_shapes_in_every_algorithm() {
    check(&cases::conv2d::cases(), &Conv2dAlgorithm::ALL);
}

/// Bindings that hold a few images at a time: filter gradients add up over them, each in one dispatch with an input gradient.
#[test]
fn both_gradients_match_the_reference_in_several_runs_of_images() {
    let cases = cases::conv2d::cases();
    let name = |case: &&Case| case.name.starts_with("wgrad and dgrad 9x70x14x13");
    let case = cases.iter().find(name).expect("it is one of them");
    let want = on_reference::<f64>(case);
    let Some(gpu) = gpu() else { return };
    let mut options = gpu.plan_options();
    options.conv2d = Conv2dAlgorithm::Winograd(Product::Tiled).into();
    options.limits.max_binding = 1_400_000;
    let plan = Plan::new(case.graph.clone(), &options).expect("fits");
    let unpacks = |d: &&Dispatch| (d.op, d.kernel.entry) == ("conv2d.gradients", "unpack");
    let joined: Vec<_> = plan.dispatches().iter().filter(unpacks).collect();
    // The last run of the filter gradient is beside the first of the input gradient.
    let adds = |d: &&Dispatch| {
        d.kernel
            .bindings
            .iter()
            .any(|b| b.access == Access::ReadWrite)
    };
    assert!(joined.len() == 1 && joined.iter().all(adds), "{plan}");
    let by = format!("{} in several runs", gpu.description());
    assert_agreement(case, &by, &run_plan(gpu, case, plan), &want);
}

/// A third of a layer is the most that a dispatch may do: images of a slice are bound where they lie, parts of a filter gradient's sum
/// counted from the first.
#[test]
fn conv2d_matches_the_reference_in_slices_of_what_is_too_much_for_a_dispatch() {
    let Some(gpu) = gpu() else { return };
    let algorithms = [
        Conv2dAlgorithm::Naive,
        Conv2dAlgorithm::Direct,
        Conv2dAlgorithm::Depthwise,
        Conv2dAlgorithm::HARDWARE,
    ];
    let mut sliced = HashMap::<_, usize>::new();
    for case in cases::conv2d::cases() {
        let mut nodes = case.graph.nodes().iter();
        let geometry = nodes.find_map(|node| Conv2d::of_node(&case.graph, node));
        let Some((_, g)) = geometry.filter(|(_, g)| g.n > 1) else {
            continue;
        };
        let want = on_reference::<f64>(&case);
        for algorithm in algorithms.into_iter().filter(|of| of.serves(&g)) {
            let mut options = gpu.plan_options();
            options.conv2d = algorithm.into();
            options.limits.dispatch_flops = g.flops().div_ceil(3);
            let plan = Plan::new(case.graph.clone(), &options).expect("fits");
            let mut of_op = HashMap::<_, usize>::new();
            for dispatch in plan.dispatches().iter().filter(|d| d.flops > 0) {
                *of_op.entry(dispatch.op).or_default() += 1;
            }
            for (op, dispatches) in of_op {
                *sliced.entry((op, algorithm)).or_default() += usize::from(dispatches > 1);
            }
            let by = format!("{} ({algorithm:?}) in slices", gpu.description());
            assert_agreement(&case, &by, &run_plan(gpu, &case, plan), &want);
        }
    }
    for algorithm in algorithms {
        for op in ["conv2d", "conv2d.dgrad", "conv2d.wgrad"] {
            // A depthwise kernel does little: but its filter gradient is of the others' making.
            let of = sliced.get(&(op, algorithm)).copied().unwrap_or(0);
            let is_whole = algorithm == Conv2dAlgorithm::Depthwise && op != "conv2d.wgrad";
            assert!((of == 0) == is_whole, "{op}, {algorithm:?}: {sliced:?}");
        }
    }
}

#[test]
fn linear_matches_the_reference_at_odd_sizes_in_every_algorithm() {
    check(&cases::linear::cases(), &Conv2dAlgorithm::ALL);
}

#[test]
fn max_pool2d_matches_the_reference_with_overlap_rest_padding_and_ties() {
    check(&cases::max_pool2d::cases(), ANY);
}

#[test]
fn avg_pool2d_matches_the_reference_with_overlap_rest_and_padding() {
    check(&cases::avg_pool2d::cases(), ANY);
}

#[test]
fn batch_norm_matches_the_reference_whole_and_in_chunks_with_all_that_rides_behind_it() {
    check(&cases::batch_norm::cases(), ANY);
}

#[test]
fn local_response_norm_matches_the_reference_with_odd_and_even_windows() {
    check(&cases::local_response_norm::cases(), ANY);
}

#[test]
fn global_avg_pool_matches_the_reference() {
    check(&cases::global_avg_pool::cases(), ANY);
}

#[test]
fn relu_matches_the_reference() {
    check(&cases::relu::cases(), ANY);
}

#[test]
fn add_matches_the_reference_alone_and_with_each_epilogue() {
    check(&cases::add::cases(), ANY);
}

#[test]
fn concat_matches_the_reference_with_more_parts_than_a_kernel_binds_buffers() {
    check(&cases::concat::cases(), ANY);
}

#[test]
fn reshape_matches_the_reference_where_it_shares_its_memory() {
    check(&cases::reshape::cases(), ANY);
}

#[test]
fn activations_match_the_reference_near_zero_and_far_from_it() {
    check(&cases::activation::cases(), ANY);
}

/// GELU is `x (1 + erf(x / sqrt 2)) / 2`, so this bounds the error function itself.
#[test]
fn the_error_function_is_off_by_two_in_ten_million_at_most() {
    let x: Vec<f32> = (-60_000..=60_000).map(|i| i as f32 * 1e-4).collect();
    let mut case = cases::CaseBuilder::new();
    let input = case.input(&[x.len()], x.clone());
    case.op(Activation::Gelu, &[input], &[]);
    let case = case.case("gelu");
    let want = &on_reference::<f64>(&case)[0];
    let on_gpu = gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
    for got in std::iter::once(on_reference::<f32>(&case)).chain(on_gpu) {
        for ((&x, got), want) in x.iter().zip(&got[0]).zip(want) {
            // Half of the function's, and the rounding of the product.
            let allowed = 1e-7 * f64::from(x.abs()) + 6e-8 * want.abs();
            assert!((got - want).abs() <= allowed, "gelu({x}) is {got}: {want}");
        }
    }
}

#[test]
fn dropout_draws_the_same_mask_as_the_reference() {
    check(&cases::dropout::cases(), ANY);
}

/// Both take their factor from the op, so they would agree on a wrong one.
#[test]
fn dropout_scales_what_it_keeps_to_the_same_mean() {
    let mut case = cases::CaseBuilder::new();
    let x = case.input(&[64], vec![3.0; 64]);
    let random = case.input_u32(&[3], vec![7, 3, 0]);
    case.op(Dropout::new(0.75, 1).expect("valid"), &[x, random], &[]);
    let y = &on_reference::<f32>(&case.case("dropout"))[0];
    assert!(y.iter().all(|&y| y == 0.0 || y == 12.0), "{y:?}");
    assert!(y.contains(&0.0) && y.contains(&12.0), "{y:?}");
    let dropped = y.iter().filter(|&&y| y == 0.0).count();
    assert!((40..56).contains(&dropped), "{dropped} of 64, expected 48");
}

#[test]
fn a_moving_average_is_the_first_step_whole_and_then_what_decay_leaves_of_each() {
    assert_eq!(Ema::weight(0.75, 1), 1.0);
    assert_eq!(Ema::weight(0.75, 2), 0.25);
}

#[test]
fn softmax_matches_the_reference_without_overflow() {
    check(&cases::softmax::cases(), ANY);
}

#[test]
fn softmax_cross_entropy_matches_the_reference_with_ignored_rows() {
    check(&cases::softmax_cross_entropy::cases(), ANY);
}

#[test]
fn soft_target_cross_entropy_matches_the_reference_with_rows_without_weight() {
    check(&cases::soft_target_cross_entropy::cases(), ANY);
}

#[test]
fn optimizers_match_the_reference_at_the_first_step_and_late() {
    check(&cases::optimizer::cases(), ANY);
    check(&cases::optimizer::of_parts(), ANY);
}

#[test]
fn the_norm_of_gradients_matches_the_reference_whole_and_in_parts() {
    check(&cases::gradient_norm::cases(), ANY);
}

#[test]
fn what_a_step_leaves_behind_matches_the_reference_at_norms_that_are_finite_and_that_are_not() {
    check(&cases::commit::cases(), ANY);
}

#[test]
fn a_step_that_counts_is_added_and_kept_and_another_is_counted_and_goes_back() {
    for (norm, want) in [
        (1.7, [&[0.0, 0.0][..], &[11.0, 22.0, 3.0], &[5.0], &[5.0]]),
        (f32::NAN, [&[0.0, 0.0], &[10.0, 20.0, 4.0], &[7.0], &[7.0]]),
    ] {
        let mut case = cases::CaseBuilder::new();
        let hyper = Optimizer::default().hyper_of_part(1e-3, 3, false, 0.4, true);
        let inputs = [
            case.input(&[6], hyper.to_vec()),
            case.input(&[1], vec![norm]),
        ];
        let running = case.with_role(&[1], Role::Statistic, vec![5.0]);
        let updates = [
            case.with_role(&[2], Role::Accumulator, vec![1.0, 2.0]),
            case.with_role(&[3], Role::Accumulator, vec![10.0, 20.0, 3.0]),
            running,
            case.with_role(&[1], Role::Kept(running), vec![7.0]),
        ];
        case.op(Commit, &inputs, &updates);
        assert_eq!(on_reference::<f32>(&case.case("commit")), want, "{norm}");
    }
}

/// They are equal, so the first counts, whether or not anybody reads its place.
#[test]
fn of_zeros_of_both_signs_the_first_is_the_greatest() {
    let pool = Pool2d::rectangular([1, 2], [1, 2]).expect("valid");
    for keeps_places in [true, false] {
        let mut case = cases::CaseBuilder::new();
        let x = case.input(&[1, 1, 1, 4], vec![-0.0, 0.0, 0.0, -0.0]);
        let mut graph = case.case("zeros").graph;
        let outputs = graph.push("pool", MaxPool2d::new(pool), &[x], &[]);
        let [y, places] = outputs.expect("fits")[..] else {
            panic!("two outputs")
        };
        graph.keep(y);
        if keeps_places {
            graph.keep(places);
        }
        let mut reference = Reference::<f32>::new(graph);
        let zeros = [-0.0, 0.0, 0.0, -0.0];
        reference.set_real(x, &zeros).expect("a float value");
        reference.run().expect("runs");
        let signs = reference.real(y).iter().map(|y| y.is_sign_negative());
        assert_eq!(signs.collect::<Vec<_>>(), [true, false], "{keeps_places}");
    }
}

#[test]
fn moving_averages_match_the_reference_at_the_first_step_later_and_in_parts() {
    check(&cases::ema::cases(), ANY);
}

#[test]
fn of_equal_outputs_the_first_is_what_a_regression_predicts() {
    let mut case = cases::CaseBuilder::new();
    let x = case.input(&[2, 2], vec![1.0, 1.0, 0.0, 1.0]);
    let targets = case.input(&[2, 2], vec![1.0, 0.0, 2.0, 2.0]);
    let weights = case.input(&[2], vec![1.0; 2]);
    let metrics = case.with_role(&[6], Role::Accumulator, vec![0.0; 6]);
    case.op(MeanSquaredError, &[x, targets, weights], &[metrics]);
    let results = on_reference::<f32>(&case.case("ties"));
    let metrics = results.last().expect("the last result");
    assert_eq!(metrics[1..3], [1.0, 2.0], "{metrics:?}");
}

#[test]
fn mean_squared_error_matches_the_reference_with_rows_without_weight() {
    check(&cases::mean_squared_error::cases(), ANY);
}

#[test]
fn one_hot_matches_the_reference_with_ignored_rows() {
    check(&cases::one_hot::cases(), ANY);
}

#[test]
fn gather_matches_the_reference_and_blanks_indices_past_the_end() {
    check(&cases::gather::cases(), ANY);
}

/// Levels of 255 by which a part on the device may be off that of a streamed picture, each of whose axes is rounded to bytes,
/// half a level and a little; the device rounds nothing.
const ROUNDING: f64 = 1.1;

#[test]
fn random_parts_are_those_of_streamed_pictures_within_a_level() {
    const BATCH: usize = 120;
    let augment = Augment {
        flip: true,
        resized: true,
        ..Augment::NONE
    };
    for (source, [h, w]) in [
        ([5, 3, 40, 50], [28, 28]),
        ([7, 1, 90, 71], [16, 21]),
        ([4, 3, 13, 17], [32, 31]),
        ([3, 1, 224, 224], [224, 224]),
        ([3, 1, 9, 200], [11, 5]),
    ] {
        let [len, c, src_h, src_w] = source;
        let indices: Vec<u32> = (0..BATCH as u32).map(|n| n % len as u32).collect();
        let case = cases::gather::case_of(source, [h, w], augment, indices);
        let Data::U8(pictures) = &case.data[0].1 else {
            panic!("pictures come first");
        };
        let view = View {
            shape: [c, h, w],
            fit: Fit::Crop,
            invert: false,
        };
        let mut want = vec![0; BATCH * c * h * w];
        for (n, out) in want.chunks_mut(c * h * w).enumerate() {
            let bytes = &pictures[n % len * c * src_h * src_w..][..c * src_h * src_w];
            let picture = Picture::from_planes([c, src_h, src_w], bytes).expect("a picture");
            let draw = Some(cases::gather::draw(n, augment));
            view.fill(&picture, draw, out).expect("fits");
        }
        let on_cpu = [on_reference::<f64>(&case), on_reference::<f32>(&case)];
        let on_gpu = gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
        for got in on_cpu.iter().chain(&on_gpu) {
            assert_eq!(got[0].len(), want.len());
            for (i, (got, &want)) in got[0].iter().zip(&want).enumerate() {
                let off = (255.0 * got - f64::from(want)).abs();
                assert!(off <= ROUNDING, "{}, {i}: {off} levels off", case.name);
            }
        }
    }
}

/// Every layer shape of a preset's training step, batch 1.
fn check_layers(model: &Model, image: [usize; 3]) {
    let size = model.input_size(image[1], image[2]);
    let source = Source::new(2, image);
    let build = |net: &mut _, x| model.build(net, x, 10);
    let program =
        Program::training(&source, size, 1, Adam::default(), build).expect("the preset builds");
    check(
        &of_graph(model.name, program.graph()),
        &Conv2dAlgorithm::ALL,
    );
}

#[test]
fn every_layer_of_nin_matches_the_reference() {
    check_layers(&MODELS[0], [1, 28, 28]);
}

#[test]
fn every_layer_of_nin_paper_matches_the_reference_at_28x28_and_32x32x3() {
    check_layers(&MODELS[1], [1, 28, 28]);
    check_layers(&MODELS[1], [3, 32, 32]);
}

#[test]
fn every_layer_of_nin_small_matches_the_reference() {
    check_layers(&MODELS[2], [1, 28, 28]);
}

#[test]
fn every_layer_of_nin_fine_matches_the_reference() {
    check_layers(&MODELS[3], [1, 28, 28]);
}
