//! Sizes past what indices, bindings and loops reach.

use crate::cases::{CaseBuilder, floats, shape};
use crate::{agreed, assert_are, of};
use nin_wgpu::gpu::{Executor, GpuError};
use nin_wgpu::graph::{Graph, Role};
use nin_wgpu::ops::{Conv2d, Conv2dWgrad, GlobalAvgPool, Op, Relu};
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanError, PlanLimits, PlanOptions};
use nin_wgpu::shape::{DType, Shape, ShapeError};

/// A graph of one ReLU over so many floats, and the name of its input.
fn relu_over(dims: &[usize]) -> Graph {
    let mut graph = Graph::default();
    let x = graph.add_value("huge", shape(dims), DType::F32, Role::Input);
    graph.push("act", Relu, &[x], &[]).expect("fits");
    graph
}

#[test]
fn a_tensor_past_two_gibibytes_is_refused_whatever_the_device_binds() {
    let limits = PlanLimits {
        max_binding: u64::MAX,
        ..PlanLimits::default()
    };
    let options = PlanOptions {
        limits,
        ..PlanOptions::default()
    };
    Plan::new(relu_over(&[(1 << 29) - 1]), &options).expect("offsets reach it");
    let error = Plan::new(relu_over(&[1 << 15, 1 << 14]), &options).expect_err("too large");
    let PlanError::Binding {
        tensor,
        need,
        limit,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (tensor.as_str(), *need, *limit),
        ("huge", 1 << 31, (1 << 31) - 1)
    );
    // Past what 32 bits count, there is no such shape.
    let error = Shape::new(&[1 << 16, 1 << 16]).expect_err("too large");
    assert!(matches!(error, ShapeError::Size(_)), "{error}");
}

#[test]
fn a_plan_for_a_larger_device_is_refused_before_anything_is_allocated() {
    let Some(gpu) = crate::cases::gpu_at_default_limits() else {
        return;
    };
    let options = PlanOptions {
        limits: PlanLimits {
            max_binding: u64::MAX,
            ..PlanLimits::default()
        },
        ..PlanOptions::default()
    };
    let plan = Plan::new(relu_over(&[40, 1 << 20]), &options).expect("such a device could run it");
    match Executor::new(&gpu, plan) {
        Err(GpuError::Limit {
            tensor,
            need,
            limit,
            ..
        }) => assert_eq!(
            (tensor.as_str(), need, limit),
            ("huge", 160 << 20, 128 << 20)
        ),
        other => panic!("{:?}", other.map(|_| "it was built")),
    }
}

/// Drivers may drop a loop that they cannot see the end of, unless it is bounded; and llvmpipe of Mesa 22.3 ends any loop after
/// 65,535 turns, without a word.
#[test]
fn a_loop_of_sixty_five_thousand_turns_runs_to_its_end() {
    let ones = vec![1.0; 255 * 257];
    let op = GlobalAvgPool::default();
    let y = of("global_avg_pool", op, &[1, 1, 255, 257], &ones);
    assert_are(&y[0], &[1.0]);
}

/// The reduction over all pixels of a batch is the longest there is in training, so it must be cut.
#[test]
fn a_filter_gradient_over_ninety_thousand_pixels_counts_them_all() {
    for dims in [[5, 1, 150, 150], [1, 1, 300, 300]] {
        let len = dims.iter().product();
        let mut case = CaseBuilder::new();
        // Of one sign, so that what is left out shows.
        let positive = |seed| floats(len, seed).iter().map(|x| x.abs()).collect();
        let x = case.input(&dims, positive(1));
        let dy = case.input(&dims, positive(2));
        let wgrad = Conv2dWgrad::new(Conv2d::new(3, 1, 1).expect("valid"));
        case.op(wgrad, &[x, dy], &[]);
        agreed(&case.case("conv2d.wgrad"), &Conv2dAlgorithm::ALL);
    }
}

/// wgpu bounds loops and indices unless a shader is declared trusted, which only unsafe code can do: in one place, of kernels
/// whose indices `tests/checks.rs` watches. The driver's cache is the other unsafe call.
#[test]
fn only_trusted_kernels_are_compiled_without_run_time_checks() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("readable");
    assert!(read("Cargo.toml").contains("unsafe_code = \"deny\""));
    let mut made = [0; 2];
    for entry in std::fs::read_dir(root.join("src/gpu")).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let source = std::fs::read_to_string(&path).expect("readable");
        made[0] += source.matches("create_shader_module(").count();
        made[1] += source.matches("create_shader_module_trusted(").count();
        let calls = source.matches("unsafe {").count();
        let may = matches!(name, Some("pipeline.rs" | "pipeline_cache.rs"));
        assert!(calls <= usize::from(may), "{}", path.display());
        assert!(!source.contains("_passthrough"), "{}", path.display());
    }
    assert_eq!(made, [1, 1], "all kernels are compiled in one place");
    for (kernel, _) in Op::kernels() {
        let from_data = ["gather", "one_hot", "optimizer", "softmax_cross_entropy"];
        assert_eq!(kernel.is_trusted(), !from_data.contains(&kernel.shader));
    }
}
