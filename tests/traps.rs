//! Known traps of GPUs and of floats: numbers that are none, infinite or tiny, and sizes past what indices reach.
//!
//! What is decided here is what PyTorch does: nothing that is no number gets lost on its way to the loss.

mod cases;

use std::f32::consts::LN_2;

use cases::{Case, CaseBuilder, floats, gpu, on_gpu, on_reference, shape};
use nin_wgpu::gpu::{Executor, GpuError};
use nin_wgpu::graph::{Graph, Role};
use nin_wgpu::ops::{
    Activation, ActivationBackward, Adam, Add, AvgPool2d, Conv2d, Conv2dWgrad, GlobalAvgPool,
    MaxPool2d, MaxPool2dBackward, Op, Pool2d, Relu, ReluBackward, Softmax, SoftmaxCrossEntropy,
    Update,
};
use nin_wgpu::plan::{Conv2dAlgorithm, Plan, PlanError, PlanLimits, PlanOptions};
use nin_wgpu::shape::{DType, Shape, ShapeError};

const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;
/// The smallest and the largest of the numbers that devices may take for zero.
const TINY: [f32; 2] = [1e-45, 1.1e-38];

/// Panics unless every element is the same kind of number as wanted, and close to it. Numbers below the smallest normal one
/// may be zero, those compared as well as those computed.
fn assert_same(case: &Case, by: &str, got: &[Vec<f64>], want: &[Vec<f64>]) {
    for (((id, tolerance), got), want) in case.results.iter().zip(got).zip(want) {
        let finite = want.iter().filter(|x| x.is_finite());
        let largest = finite.fold(0f64, |most, x| most.max(x.abs()));
        let allowed =
            tolerance.relative * largest + tolerance.absolute + 2.0 * f64::from(f32::MIN_POSITIVE);
        for (i, (&got, &want)) in got.iter().zip(want).enumerate() {
            let same = if want.is_finite() {
                (got - want).abs() <= allowed
            } else {
                got == want || (got.is_nan() && want.is_nan())
            };
            let (name, value) = (&case.name, &case.graph.value(*id).name);
            assert!(
                same,
                "{name}: {value}[{i}] on {by} is {got}, expected {want}"
            );
        }
    }
}

/// What the reference makes of a case; the CPU backend and the GPU must agree with it.
fn agreed(case: &Case, algorithms: &[Conv2dAlgorithm]) -> Vec<Vec<f64>> {
    let want = on_reference::<f64>(case);
    assert_same(case, "the CPU", &on_reference::<f32>(case), &want);
    if let Some(gpu) = gpu() {
        let available = Conv2dAlgorithm::available(gpu.plan_options().limits);
        for &algorithm in algorithms.iter().filter(|a| available.contains(a)) {
            let by = format!("{} ({algorithm})", gpu.description());
            assert_same(case, &by, &on_gpu(gpu, case, algorithm), &want);
        }
    }
    want
}

const ANY: &[Conv2dAlgorithm] = &[Conv2dAlgorithm::HARDWARE];

/// Results of one op on one float input.
fn of(name: &str, op: impl Into<Op>, dims: &[usize], x: &[f32]) -> Vec<Vec<f64>> {
    let mut case = CaseBuilder::new();
    let x = case.input(dims, x.to_vec());
    case.op(op, &[x], &[]);
    agreed(&case.case(name), ANY)
}

/// Panics unless the elements are those, none being equal to none.
fn assert_are(got: &[f64], want: &[f32]) {
    let same =
        |(got, want): (&f64, &f32)| *got == f64::from(*want) || got.is_nan() && want.is_nan();
    assert!(
        got.len() == want.len() && got.iter().zip(want).all(same),
        "{got:?} are not {want:?}"
    );
}

#[test]
fn relu_passes_what_is_no_number_and_cuts_minus_infinity() {
    let x = [NAN, -INF, INF, -0.0, -1.0, 2.0, TINY[1], -TINY[0]];
    let y = of("relu", Relu, &[8], &x);
    assert_are(&y[0][..6], &[NAN, 0.0, INF, 0.0, 0.0, 2.0]);

    let mut case = CaseBuilder::new();
    let dy = case.input(&[6], vec![1.0, 2.0, NAN, NAN, INF, 5.0]);
    let y = case.input(&[6], vec![NAN, INF, 0.0, 1.0, 0.0, -INF]);
    case.op(ReluBackward, &[dy, y], &[]);
    let dx = agreed(&case.case("relu.backward"), ANY);
    assert_are(&dx[0], &[1.0, 2.0, 0.0, NAN, 0.0, 0.0]);
}

/// Activations, and `f(-inf)`, `f(inf)`, `f'(-inf)`, `f'(inf)`, `f'` of no number.
const AT_INFINITY: [(Activation, [f32; 5]); 7] = [
    (Activation::ALL[0], [-INF, INF, 0.01, 1.0, 0.01]),
    (Activation::Sigmoid, [0.0, 1.0, 0.0, 0.0, NAN]),
    (Activation::Tanh, [-1.0, 1.0, 0.0, 0.0, NAN]),
    (Activation::Silu, [NAN, INF, NAN, NAN, NAN]),
    (Activation::Gelu, [NAN, INF, NAN, NAN, NAN]),
    (Activation::GeluTanh, [NAN, INF, NAN, NAN, NAN]),
    (Activation::HardSwish, [NAN, INF, 0.0, 1.0, NAN]),
];

#[test]
fn activations_of_infinite_and_no_numbers_are_what_pytorch_says() {
    for (activation, [below, above, slope_below, slope_above, slope_of_none]) in AT_INFINITY {
        let name = format!("{activation:?}");
        let y = of(&name, activation, &[3], &[NAN, -INF, INF]);
        assert_are(&y[0], &[NAN, below, above]);
        let mut case = CaseBuilder::new();
        let dy = case.input(&[4], vec![1.0, 1.0, 1.0, NAN]);
        let x = case.input(&[4], vec![NAN, -INF, INF, 1.0]);
        case.op(ActivationBackward::new(activation), &[dy, x], &[]);
        let dx = agreed(&case.case(name), ANY);
        assert_are(&dx[0], &[slope_of_none, slope_below, slope_above, NAN]);
    }
}

#[test]
fn no_activation_overflows_at_huge_numbers() {
    for (activation, _) in AT_INFINITY {
        for huge in [200.0, 1e3, 1e4, 1e20, 3e38] {
            let name = format!("{activation:?} at {huge}");
            let x = [-huge, huge];
            let y = of(&name, activation, &[2], &x);
            let (below, above) = match activation {
                Activation::LeakyRelu { negative_slope } => (-negative_slope * huge, huge),
                Activation::Sigmoid => (0.0, 1.0),
                Activation::Tanh => (-1.0, 1.0),
                _ => (0.0, huge),
            };
            let near =
                |got: f64, want: f32| (got - f64::from(want)).abs() <= 1e-7 * got.abs() + 1e-30;
            assert!(
                near(y[0][0], below) && near(y[0][1], above),
                "{name}: {y:?}"
            );
            let mut case = CaseBuilder::new();
            let dy = case.input(&[2], vec![1.0, 1.0]);
            let x = case.input(&[2], x.to_vec());
            case.op(ActivationBackward::new(activation), &[dy, x], &[]);
            let dx = agreed(&case.case(&*name), ANY);
            let (below, above) = match activation {
                Activation::LeakyRelu { negative_slope } => (negative_slope, 1.0),
                Activation::Sigmoid | Activation::Tanh => (0.0, 0.0),
                _ => (0.0, 1.0),
            };
            assert!(
                near(dx[0][0], below) && near(dx[0][1], above),
                "{name}: {dx:?}"
            );
        }
    }
}

#[test]
fn a_sum_passes_what_is_no_number_and_its_relu_cuts_minus_infinity() {
    let mut case = CaseBuilder::new();
    let a = case.input(&[7], vec![NAN, INF, -INF, INF, -1.0, 2.0, INF]);
    let b = case.input(&[7], vec![1.0, -INF, 5.0, 1.0, 1.0, -3.0, INF]);
    let activation = case.input(&[7], vec![NAN, 1.0, INF, 0.0, -INF, 1.0, -0.0]);
    case.op(Add::default(), &[a, b], &[]);
    case.op(Add::default().with_relu(), &[a, b], &[]);
    case.op(Add::default().with_mask(), &[a, b, activation], &[]);
    let sums = agreed(&case.case("add"), ANY);
    assert_are(&sums[0], &[NAN, NAN, -INF, INF, 0.0, -1.0, INF]);
    assert_are(&sums[1], &[NAN, NAN, 0.0, INF, 0.0, 0.0, INF]);
    assert_are(&sums[2], &[NAN, NAN, -INF, 0.0, 0.0, -1.0, 0.0]);
}

#[test]
fn max_pooling_takes_what_is_no_number_for_the_largest_and_padding_for_the_smallest() {
    let pool = Pool2d::new(2, 2).expect("valid");
    // Four windows of four: one number that is none, two of them, minus infinities, and infinities of both signs.
    let x = [
        1.0, NAN, NAN, 5.0, -INF, -INF, -INF, 2.0, //
        9.0, 2.0, NAN, 7.0, -INF, -INF, INF, INF,
    ];
    let mut case = CaseBuilder::new();
    let input = case.input(&[1, 1, 2, 8], x.to_vec());
    let argmax = case.op(MaxPool2d::new(pool), &[input], &[])[1];
    let dy = case.input(&[1, 1, 1, 4], vec![1.0, NAN, 3.0, INF]);
    case.op(MaxPool2dBackward::new(pool, 2, 8), &[dy, argmax], &[]);
    let results = agreed(&case.case("max_pool2d"), ANY);
    assert_are(&results[0], &[NAN, NAN, -INF, INF]);
    // The last that is no number; else the first of the largest.
    assert_are(&results[1], &[1.0, 10.0, 4.0, 14.0]);
    assert_are(&results[2][..4], &[0.0, 1.0, 0.0, 0.0]);
    assert_are(&results[2][8..], &[0.0, 0.0, NAN, 0.0, 0.0, 0.0, INF, 0.0]);
}

#[test]
fn pools_of_other_windows_pass_what_is_no_number_too() {
    let pool = Pool2d::rectangular([1, 4], [1, 4]).expect("valid");
    let x = [
        1.0, NAN, 9.0, 2.0, NAN, 5.0, NAN, 7.0, //
        -INF, -INF, -INF, -INF, -INF, 2.0, INF, INF,
    ];
    let dims = [1, 1, 1, 16];
    let results = of("max_pool2d 1x4", MaxPool2d::new(pool), &dims, &x);
    assert_are(&results[0], &[NAN, NAN, -INF, INF]);
    assert_are(&results[1], &[1.0, 6.0, 8.0, 14.0]);
    let op = AvgPool2d::new(pool);
    let results = of("avg_pool2d 1x4", op, &dims, &x);
    assert_are(&results[0], &[NAN, NAN, -INF, NAN]);
}

#[test]
fn no_window_of_a_max_pooling_lies_in_the_padding_alone() {
    for window in 1..=5 {
        for pad in 0..window {
            for (stride, [h, w]) in [(1, [1, 1]), (2, [3, 4]), (5, [6, 5]), (9, [7, 12])] {
                let pool = Pool2d::new(window, stride).and_then(|pool| pool.with_pad(pad));
                let pool = pool.expect("valid");
                if pool.geometry(shape(&[1, 1, h, w])).is_err() {
                    continue;
                }
                let name = format!("window {window} stride {stride} pad {pad} on {h}x{w}");
                let x: Vec<f32> = floats(h * w, 1).iter().map(|x| x - 1e30).collect();
                let y = of(&name, MaxPool2d::new(pool), &[1, 1, h, w], &x);
                assert!(y[0].iter().all(|y| *y < -1e29 && y.is_finite()), "{name}");
            }
        }
    }
}

/// Rows of three logits, their probabilities, and the loss of each class.
const ROWS: [([f32; 3], [f32; 3], [f32; 3]); 8] = [
    ([1e30, -1e30, 1e30], [0.5, 0.0, 0.5], [LN_2, 2e30, LN_2]),
    ([-1e30, -1e30, -2e30], [0.5, 0.5, 0.0], [LN_2, LN_2, 1e30]),
    ([-INF, 0.0, -INF], [0.0, 1.0, 0.0], [INF, 0.0, INF]),
    ([3e38, -3e38, -INF], [1.0, 0.0, 0.0], [0.0, INF, INF]),
    ([-INF, -INF, -INF], [NAN; 3], [NAN; 3]),
    ([0.0, INF, 1.0], [NAN; 3], [NAN; 3]),
    ([NAN, 0.0, 1.0], [NAN; 3], [NAN; 3]),
    ([0.0, 1.0, NAN], [NAN; 3], [NAN; 3]),
];

#[test]
fn softmax_keeps_its_digits_at_huge_logits_and_passes_what_is_no_number() {
    for (logits, probabilities, losses) in ROWS {
        let y = of(
            &format!("softmax {logits:?}"),
            Softmax::default(),
            &[1, 3],
            &logits,
        );
        assert_are(&y[0], &probabilities);
        // Differences of the largest logits are infinite in `f32` alone.
        if logits[0] == 3e38 {
            continue;
        }
        let name = format!("log_softmax {logits:?}");
        let y = of(&name, Softmax::default().log(), &[1, 3], &logits);
        for (got, loss) in y[0].iter().zip(losses) {
            let want = -f64::from(loss);
            let near = (got - want).abs() <= 1e-6 * want.abs();
            let same = *got == want || (got.is_nan() && want.is_nan());
            assert!(near || same, "{name}: {y:?}");
        }
    }
}

#[test]
fn cross_entropy_of_huge_infinite_or_no_logits_is_what_pytorch_says() {
    for (logits, probabilities, losses) in ROWS {
        for label in 0..3u32 {
            // Differences of the largest logits are infinite in `f32` alone.
            if logits[0] == 3e38 && label == 1 {
                continue;
            }
            let mut case = CaseBuilder::new();
            let x = case.input(&[1, 3], logits.to_vec());
            let labels = case.input_u32(&[1], vec![label]);
            let metrics = case.with_role(&[7], Role::Accumulator, vec![0.0; 7]);
            case.op(SoftmaxCrossEntropy::default(), &[x, labels], &[metrics]);
            let name = format!("cross entropy {logits:?}, label {label}");
            let results = agreed(&case.case(&name), ANY);
            let one_hot = |l: usize| if l == label as usize { 1.0 } else { 0.0 };
            let gradient: Vec<f32> = (0..3).map(|l| probabilities[l] - one_hot(l)).collect();
            assert_are(&results[0], &gradient);
            let (got, want) = (results[1][0], f64::from(losses[label as usize]));
            let same = (got - want).abs() <= 1e-6 * want.abs();
            assert!(
                same || got == want || (got.is_nan() && want.is_nan()),
                "{name}: {got}"
            );
        }
    }
}

#[test]
fn a_convolution_spreads_what_is_no_number_to_the_pixels_that_see_it_and_no_further() {
    let (dims, k) = ([1, 3, 9, 11], 5);
    for at in [0, 40, 98, 296] {
        let mut x = floats(dims.iter().product(), 1);
        x[at] = NAN;
        x[at / 2 + 100] = INF;
        let mut case = CaseBuilder::new();
        let x = case.input(&dims, x);
        let w = case.random(&[k, 3, 3, 3]);
        let b = case.random(&[k]);
        let conv = Conv2d::new(3, 2, 1).expect("valid").with_relu();
        case.op(conv, &[x, w, b], &[]);
        let y = agreed(
            &case.case(format!("conv2d, no number at {at}")),
            &Conv2dAlgorithm::ALL,
        );
        let spoilt = y[0].iter().filter(|y| y.is_nan()).count();
        assert!(
            (k..=4 * k * 2).contains(&spoilt),
            "{spoilt} of {}",
            y[0].len()
        );
    }
}

#[test]
fn a_mean_of_infinities_is_infinite_and_of_both_signs_no_number() {
    let mut x = vec![1.0; 4 * 6];
    x[7] = INF;
    x[13] = -INF;
    (x[18], x[20]) = (INF, -INF);
    let y = of(
        "global_avg_pool",
        GlobalAvgPool::default(),
        &[1, 4, 2, 3],
        &x,
    );
    assert_are(&y[0], &[1.0, INF, -INF, NAN]);
}

#[test]
fn tiny_numbers_may_be_flushed_to_zero_but_spoil_nothing() {
    let tiny: Vec<f32> = floats(2 * 3 * 8 * 8, 7)
        .iter()
        .map(|x| x * TINY[1])
        .collect();
    of("relu", Relu, &[384], &tiny);
    of(
        "global_avg_pool",
        GlobalAvgPool::default(),
        &[2, 3, 8, 8],
        &tiny,
    );
    of("softmax", Softmax::default(), &[64, 6], &tiny);
    let pool = MaxPool2d::new(Pool2d::new(8, 8).expect("valid"));
    let mut case = CaseBuilder::new();
    let x = case.input(&[2, 3, 8, 8], tiny.clone());
    case.op(pool, &[x], &[]);
    // Where all may be zero, any place may hold the largest.
    case.results.truncate(1);
    agreed(&case.case("max_pool2d"), ANY);

    let mut case = CaseBuilder::new();
    let x = case.input(&[2, 3, 8, 8], tiny.clone());
    let w = case.input(
        &[4, 3, 3, 3],
        floats(108, 3).iter().map(|x| 1e30 * x).collect(),
    );
    let b = case.input(&[4], vec![0.0, TINY[0], -TINY[1], 1e-3]);
    case.op(Conv2d::new(3, 1, 1).expect("valid"), &[x, w, b], &[]);
    agreed(&case.case("conv2d"), &Conv2dAlgorithm::ALL);

    // Squares of such gradients are zero: the step is then a rate by eps, and finite.
    let mut case = CaseBuilder::new();
    let hyper = case.input(&[3], Adam::default().hyper(1e-3, 1).to_vec());
    let p = case.with_role(&[64], Role::Parameter, vec![1.0; 64]);
    let g = case.with_role(&[64], Role::Gradient(p), tiny[..64].to_vec());
    let [m, v] = [0, 1].map(|n| case.with_role(&[64], Role::Moment(p, n), vec![0.0; 64]));
    case.op(Update::from(Adam::default()), &[hyper, g], &[p, m, v]);
    agreed(&case.case("adam"), ANY);
}

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
    let Some(gpu) = cases::gpu_at_default_limits() else {
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

/// wgpu bounds loops and indices unless a shader is declared trusted, which only unsafe code can do.
#[test]
fn kernels_are_compiled_with_all_run_time_checks() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).expect("readable");
    assert!(read("Cargo.toml").contains("unsafe_code = \"deny\""));
    let mut made = 0;
    for entry in std::fs::read_dir(root.join("src/gpu")).expect("readable") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            continue;
        }
        let source = std::fs::read_to_string(&path).expect("readable");
        made += source.matches("create_shader_module(").count();
        for word in ["unsafe", "_trusted", "_passthrough", "ShaderRuntimeChecks"] {
            assert!(!source.contains(word), "{}: {word}", path.display());
        }
    }
    assert_eq!(made, 1, "all kernels are compiled in one place");
}
