//! Against PyTorch: a small Network in Network over ten Adam steps, and single ops, from `tests/fixtures`.
//!
//! `fixtures/make.py` wrote the reference values in `f64`, and beside them how far PyTorch's own `f32` lies from them.
//! Tolerances here are a few times that.

mod cases;

use cases::fixture::{Fixture, devices, difference, widen};
use cases::{Case, CaseBuilder, Data, on_gpu, on_reference, shape};
use nin_wgpu::autodiff;
use nin_wgpu::device::Device;
use nin_wgpu::fuse::fuse;
use nin_wgpu::gpu::Executor;
use nin_wgpu::graph::{Graph, GraphBuilder, GraphError, Phase, Role, ValueId};
use nin_wgpu::ops::{
    Activation, ActivationBackward, Adam, AvgPool2d, AvgPool2dBackward, BatchNorm, Conv2d,
    Conv2dDgrad, Conv2dWgrad, Gather, GlobalAvgPool, GlobalAvgPoolBackward, IGNORE, Linear,
    LinearDgrad, LinearWgrad, LocalResponseNorm, LocalResponseNormBackward, MaxPool2d,
    MaxPool2dBackward, MeanSquaredError, Normalize, Pool2d, Relu, ReluBackward,
    SoftmaxCrossEntropy, Tolerance, Update,
};
use nin_wgpu::plan::{Conv2dAlgorithm, Plan};
use nin_wgpu::program::{Parameters, Program, Run, Source};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;
use nin_wgpu::shape::{DType, Shape};
use nin_wgpu::tensor::Tensor;

/// The network of `NIN_TINY` in `make.py`.
fn tiny(net: &mut GraphBuilder, mut x: ValueId) -> Result<ValueId, GraphError> {
    let blocks = [(8, 5, 2, 2), (12, 5, 1, 2), (16, 3, 1, 1), (10, 3, 1, 1)];
    for (i, (k, filter, stride, pad)) in blocks.into_iter().enumerate() {
        if i > 0 {
            x = net.max_pool2d(x, Pool2d::new(3, 2)?)?;
        }
        let convs = [
            Conv2d::new(filter, stride, pad)?,
            Conv2d::new(1, 1, 0)?,
            Conv2d::new(1, 1, 0)?,
        ];
        for (j, conv) in convs.into_iter().enumerate() {
            x = net.conv2d(&format!("conv.{}.{}", 2 * i, 2 * j), x, k, conv)?;
            x = net.relu(x)?;
        }
    }
    net.global_avg_pool(x)
}

/// The tiny network on a device, with the fixture's parameters and all its images as the data set.
fn tiny_run(fixture: &Fixture, device: &Device) -> Run {
    let &[steps, n, c, h, w] = fixture.dims("images_u8") else {
        panic!("five dimensions")
    };
    let source = Source::new(steps * n, [c, h, w]);
    let program = Program::training(&source, [h, w], n, Adam::default(), tiny).expect("builds");
    let mut run = program.load(device).expect("loads");
    let labels: Vec<u16> = fixture.bytes("labels").into_iter().map(u16::from).collect();
    run.set_data(&fixture.bytes("images_u8"), &labels)
        .expect("fits");
    let graph = program.graph();
    let parameters: Parameters = graph
        .parameters()
        .map(|id| {
            let name = graph.value(id).name.clone();
            let init = format!("init.{name}");
            let shape = Shape::new(fixture.dims(&init)).expect("valid");
            assert_eq!(shape, graph.value(id).shape, "{name}");
            (
                name,
                Tensor {
                    shape,
                    data: fixture.f32(&init),
                },
            )
        })
        .collect();
    let count = fixture
        .tensors
        .keys()
        .filter(|name| name.starts_with("init."))
        .count();
    assert_eq!(parameters.len(), count);
    run.set_parameters(&parameters).expect("fits");
    run
}

#[test]
fn a_small_nin_follows_pytorch_over_ten_adam_steps() {
    let fixture = Fixture::load("nin_tiny.safetensors");
    let allowed = |what, factor: f64| factor * fixture.own_difference(what);
    for device in devices() {
        let mut run = tiny_run(&fixture, &device);
        let losses = fixture.get("losses");
        for (step, &want) in (1u64..).zip(losses) {
            let batch = 4 * (step as u32 - 1);
            let indices: Vec<u32> = (batch..batch + 4).collect();
            let loss = run.train_step(&indices, 1e-3, step).expect("runs").loss();
            let off = (loss - want).abs();
            assert!(
                off <= allowed("losses_max_abs_diff", 8.0),
                "{device}: loss {step} is off by {off:e}"
            );
            if step == 1 {
                let logits = widen(&run.logits().expect("readable").data);
                let (off, _) = difference(&logits, fixture.get("logits"));
                assert!(
                    off <= allowed("logits_max_abs_diff", 6.0),
                    "{device}: logits are off by {off:e}"
                );
                let mut worst = 0f64;
                for (name, tensor) in run.gradients().expect("readable") {
                    let (off, most) =
                        difference(&widen(&tensor.data), fixture.get(&format!("grad.{name}")));
                    worst = worst.max(off / most);
                }
                assert!(
                    worst <= allowed("grads_max_rel_diff", 6.0),
                    "{device}: gradients are off by {worst:e}"
                );
            }
        }
        let mut worst = 0f64;
        for (name, tensor) in run.parameters().expect("readable") {
            let (off, _) = difference(&widen(&tensor.data), fixture.get(&format!("final.{name}")));
            worst = worst.max(off);
        }
        assert!(
            worst <= allowed("final_max_abs_diff", 10.0),
            "{device}: parameters are off by {worst:e}"
        );
    }
}

/// Runs a case in `f64`, in `f32` and on the GPU, and compares its results with PyTorch's.
fn check(case: &Case, relative: f64, want: &[&[f64]]) {
    let mut runs = vec![
        ("f64".to_owned(), on_reference::<f64>(case), 1e-7),
        ("f32".to_owned(), on_reference::<f32>(case), relative),
    ];
    if let Some(gpu) = cases::gpu() {
        for algorithm in Conv2dAlgorithm::available(gpu.plan_options().limits) {
            runs.push((
                format!("{algorithm:?}"),
                on_gpu(gpu, case, algorithm),
                relative,
            ));
        }
    }
    for (by, got, relative) in runs {
        assert_eq!(got.len(), want.len(), "{}", case.name);
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            let (off, most) = difference(got, want);
            assert!(
                off <= relative * most.max(1.0),
                "{} result {i} by {by} is off by {off:e}",
                case.name
            );
        }
    }
}

#[test]
fn convolutions_match_pytorch() {
    let fixture = Fixture::load("ops.safetensors");
    for (filter, stride, pad) in [(11, 4, 2), (5, 1, 2), (3, 1, 1), (1, 1, 0)] {
        let name = format!("op.conv2d_k{filter}s{stride}p{pad}");
        let at = |what: &str| format!("{name}.{what}");
        let conv = Conv2d::new(filter, stride, pad).expect("valid");
        let mut case = CaseBuilder::new();
        let [x, w, b, dy] =
            ["x", "w", "b", "dy"].map(|t| case.input(fixture.dims(&at(t)), fixture.f32(&at(t))));
        case.op(conv, &[x, w, b], &[]);
        let &[_, _, height, width] = fixture.dims(&at("x")) else {
            panic!("four dimensions")
        };
        case.op(Conv2dDgrad::new(conv, height, width), &[dy, w], &[]);
        case.op(Conv2dWgrad::new(conv), &[x, dy], &[]);
        let want = ["y", "dx", "dw", "db"].map(|t| fixture.get(&at(t)));
        check(&case.case(name), 1e-5, &want);
    }
}

/// Of `CONVOLUTIONS` in `make.py`: name, strides, dilations, padding, groups. Filters and bias are in the fixture.
type Convolved = (&'static str, [usize; 2], [usize; 2], [[usize; 2]; 2], usize);

const CONVOLUTIONS: [Convolved; 10] = [
    ("bias_less", [1, 1], [1, 1], [[1, 1], [1, 1]], 1),
    ("rectangular", [1, 1], [1, 1], [[1, 1], [0, 0]], 1),
    ("strided", [3, 2], [1, 1], [[0, 0], [1, 1]], 1),
    ("dilated", [1, 1], [2, 3], [[2, 2], [3, 3]], 1),
    ("asymmetric", [2, 1], [1, 1], [[0, 2], [3, 1]], 1),
    ("padded_whole", [1, 1], [1, 1], [[2, 3], [4, 2]], 1),
    ("grouped", [1, 1], [1, 1], [[1, 1], [1, 1]], 3),
    ("grouped_dilated", [1, 2], [3, 2], [[1, 0], [2, 2]], 2),
    ("depthwise", [1, 1], [1, 1], [[1, 1], [1, 1]], 5),
    ("depthwise_multiplied", [2, 2], [1, 1], [[2, 2], [0, 1]], 3),
];

#[test]
fn convolutions_of_any_kind_match_pytorch() {
    let fixture = Fixture::load("conv2d.safetensors");
    for (name, stride, dilation, pad, groups) in CONVOLUTIONS {
        let at = |what: &str| format!("{name}.{what}");
        let &[_, _, r, s] = fixture.dims(&at("w")) else {
            panic!("four dimensions")
        };
        let &[_, _, height, width] = fixture.dims(&at("x")) else {
            panic!("four dimensions")
        };
        let conv = Conv2d::rectangular([r, s], stride)
            .and_then(|conv| conv.with_dilation(dilation))
            .and_then(|conv| conv.with_paddings(pad))
            .and_then(|conv| conv.with_groups(groups));
        let mut conv = conv.expect("valid");
        let mut case = CaseBuilder::new();
        let mut input = |what: &str| case.input(fixture.dims(&at(what)), fixture.f32(&at(what)));
        let [x, w, dy] = ["x", "w", "dy"].map(&mut input);
        let (mut inputs, mut results) = (vec![x, w], vec!["y", "dx", "dw"]);
        if fixture.tensors.contains_key(&at("b")) {
            inputs.push(input("b"));
            results.push("db");
        } else {
            conv = conv.without_bias();
        }
        case.op(conv, &inputs, &[]);
        case.op(Conv2dDgrad::new(conv, height, width), &[dy, w], &[]);
        case.op(Conv2dWgrad::new(conv), &[x, dy], &[]);
        let want: Vec<_> = results.iter().map(|t| fixture.get(&at(t))).collect();
        check(&case.case(name), 1e-5, &want);
    }
}

#[test]
fn pooling_relu_and_the_head_match_pytorch() {
    let fixture = Fixture::load("ops.safetensors");
    let input =
        |case: &mut CaseBuilder, name: &str| case.input(fixture.dims(name), fixture.f32(name));

    let mut case = CaseBuilder::new();
    let (x, dy) = (
        input(&mut case, "op.max_pool2d.x"),
        input(&mut case, "op.max_pool2d.dy"),
    );
    let pool = Pool2d::new(3, 2).expect("valid");
    let argmax = case.op(MaxPool2d::new(pool), &[x], &[])[1];
    let &[_, _, h, w] = fixture.dims("op.max_pool2d.x") else {
        panic!("four dimensions")
    };
    case.op(MaxPool2dBackward::new(pool, h, w), &[dy, argmax], &[]);
    let mut case = case.case("max_pool2d with ties");
    case.results.remove(1); // PyTorch's argmax is not in the fixture; the gradient shows where it lies
    check(
        &case,
        1e-6,
        &["y", "dx"].map(|t| fixture.get(&format!("op.max_pool2d.{t}"))),
    );

    let mut case = CaseBuilder::new();
    let (x, dy) = (
        input(&mut case, "op.relu.x"),
        input(&mut case, "op.relu.dy"),
    );
    let y = case.op(Relu, &[x], &[])[0];
    case.op(ReluBackward, &[dy, y], &[]);
    check(
        &case.case("relu at zero"),
        0.0,
        &["y", "dx"].map(|t| fixture.get(&format!("op.relu.{t}"))),
    );

    let mut case = CaseBuilder::new();
    let (x, dy) = (
        input(&mut case, "op.global_avg_pool.x"),
        input(&mut case, "op.global_avg_pool.dy"),
    );
    let &[_, _, h, w] = fixture.dims("op.global_avg_pool.x") else {
        panic!("four dimensions")
    };
    case.op(GlobalAvgPool::default(), &[x], &[]);
    case.op(GlobalAvgPoolBackward::new(h, w), &[dy], &[]);
    let want = ["y", "dx"].map(|t| fixture.get(&format!("op.global_avg_pool.{t}")));
    check(&case.case("global_avg_pool"), 1e-6, &want);

    let mut case = CaseBuilder::new();
    let logits = input(&mut case, "op.cross_entropy.logits");
    let labels = fixture
        .get("op.cross_entropy.labels")
        .iter()
        .map(|&x| x as u32)
        .collect();
    let labels = case.input_u32(&[6], labels);
    let metrics = case.with_role(&[14], Role::Accumulator, vec![0.0; 14]);
    case.op(
        SoftmaxCrossEntropy::default(),
        &[logits, labels],
        &[metrics],
    );
    let mut case = case.case("softmax_cross_entropy");
    let sums = on_reference::<f64>(&case)[2].clone();
    let loss = fixture.get("op.cross_entropy.loss")[0];
    assert!(
        (sums[0] / sums[2] - loss).abs() < 1e-6,
        "{} and {loss}",
        sums[0] / sums[2]
    );
    case.results.truncate(1);
    check(&case, 1e-6, &[fixture.get("op.cross_entropy.dlogits")]);
}

#[test]
fn linear_layers_and_losses_of_every_kind_match_pytorch() {
    let fixture = Fixture::load("dense.safetensors");
    let input = |case: &mut CaseBuilder, name: &str| {
        let data = fixture.get(name).iter().map(|&x| x as f32).collect();
        case.input(fixture.dims(name), data)
    };
    let mut case = CaseBuilder::new();
    let [x, w, b, dy] = ["x", "w", "b", "dy"].map(|t| input(&mut case, &format!("linear.{t}")));
    let linear = Linear::default();
    case.op(linear, &[x, w, b], &[]);
    case.op(LinearDgrad::new(shape(&[5, 33])), &[dy, w], &[]);
    case.op(LinearWgrad::new(linear), &[x, dy], &[]);
    let want = ["y", "dx", "dw", "db"].map(|t| fixture.get(&format!("linear.{t}")));
    check(&case.case("linear"), 1e-5, &want);

    let weights: Vec<f32> = fixture
        .get("loss.weights")
        .iter()
        .map(|&w| w as f32)
        .collect();
    let plain = SoftmaxCrossEntropy::default();
    let smooth = plain.clone().with_label_smoothing(0.1).expect("in range");
    let weighted = |loss: &SoftmaxCrossEntropy| {
        let loss = loss.clone().with_class_weights(weights.clone());
        loss.expect("weights")
    };
    let losses = [
        ("weighted", weighted(&plain)),
        ("both", weighted(&smooth)),
        ("smooth", smooth),
    ];
    for (name, loss) in losses {
        let mut case = CaseBuilder::new();
        let logits = input(&mut case, "loss.logits");
        let labels = fixture.get("loss.labels").iter();
        let labels = labels.map(|&x| if x < 0.0 { IGNORE } else { x as u32 });
        let labels = case.input_u32(&[7], labels.collect());
        let metrics = case.with_role(&[9], Role::Accumulator, vec![0.0; 9]);
        case.op(loss, &[logits, labels], &[metrics]);
        let mut case = case.case(name);
        let sums = on_reference::<f64>(&case)[2].clone();
        let (got, want) = (
            sums[0] / sums[8],
            fixture.get(&format!("loss.{name}.mean"))[0],
        );
        assert!((got - want).abs() < 1e-6 * want, "{name}: {got} and {want}");
        case.results.truncate(2);
        let want = ["dlogits", "losses"].map(|t| fixture.get(&format!("loss.{name}.{t}")));
        check(&case, 1e-6, &want);
    }
    let mut case = CaseBuilder::new();
    let [x, targets] = ["x", "targets"].map(|t| input(&mut case, &format!("mse.{t}")));
    let weights = case.input(&[6], vec![1.0; 6]);
    let metrics = case.with_role(&[9], Role::Accumulator, vec![0.0; 9]);
    case.op(MeanSquaredError, &[x, targets, weights], &[metrics]);
    let mut case = case.case("mean_squared_error");
    let sums = on_reference::<f64>(&case)[2].clone();
    let want = fixture.get("mse.mean")[0];
    assert!((sums[0] / sums[8] - want).abs() < 1e-6 * want);
    case.results.truncate(1);
    check(&case, 1e-6, &[fixture.get("mse.dx")]);
}

#[test]
fn activations_match_pytorch_near_zero_and_far_from_it() {
    let fixture = Fixture::load("ops.safetensors");
    for activation in Activation::ALL {
        let mut case = CaseBuilder::new();
        let [x, dy] = ["x", "dy"].map(|t| {
            let name = format!("op.activation.{t}");
            case.input(fixture.dims(&name), fixture.f32(&name))
        });
        case.op(activation, &[x], &[]);
        case.op(ActivationBackward::new(activation), &[dy, x], &[]);
        let name = nin_wgpu::ops::Op::from(activation).name();
        let case = case.case(name);
        let gpu = cases::gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
        let runs = [
            (Some(on_reference::<f64>(&case)), 1e-12, 1e-7),
            (Some(on_reference::<f32>(&case)), 2e-7, 1e-6),
            (gpu, 2e-7, 1e-6),
        ];
        for (got, absolute, relative) in runs {
            // Each element against its own size: they span seven powers of ten.
            for (got, what) in got.iter().flatten().zip(["y", "dx"]) {
                let want = fixture.get(&format!("op.activation.{name}.{what}"));
                assert_eq!(got.len(), want.len());
                for (got, want) in got.iter().zip(want) {
                    assert!(
                        (got - want).abs() <= absolute + relative * want.abs(),
                        "{name}.{what}: {got} and {want}"
                    );
                }
            }
        }
    }
}

/// Of `POOLS` in `make.py`: name, window, stride, padding, dilation, and whether in ceil mode.
type Pooled = (&'static str, [[usize; 2]; 4], bool);

const POOLS: [Pooled; 10] = [
    ("max_ceil", [[3, 3], [2, 2], [0, 0], [1, 1]], true),
    ("max_ceil_dropped", [[2, 2], [3, 3], [1, 1], [1, 1]], true),
    ("max_rectangular", [[3, 2], [2, 3], [1, 0], [1, 1]], false),
    ("max_dilated", [[2, 3], [1, 2], [1, 1], [3, 2]], false),
    ("max_dilated_ceil", [[3, 3], [2, 2], [1, 1], [2, 2]], true),
    ("avg", [[3, 2], [2, 3], [1, 0], [1, 1]], false),
    (
        "avg_without_padding",
        [[3, 3], [2, 2], [1, 1], [1, 1]],
        false,
    ),
    ("avg_ceil", [[3, 3], [2, 2], [1, 1], [1, 1]], true),
    ("avg_ceil_dropped", [[2, 2], [3, 3], [1, 1], [1, 1]], true),
    (
        "avg_ceil_without_padding",
        [[2, 3], [3, 2], [1, 1], [1, 1]],
        true,
    ),
];

#[test]
fn pools_of_any_window_match_pytorch() {
    let fixture = Fixture::load("ops.safetensors");
    for (name, [window, stride, pad, dilation], ceil_mode) in POOLS {
        let at = |what: &str| format!("op.pool2d.{name}.{what}");
        let pool = Pool2d::rectangular(window, stride)
            .and_then(|pool| pool.with_dilation(dilation))
            .and_then(|pool| pool.with_padding(pad))
            .expect("valid");
        let pool = if ceil_mode {
            pool.with_ceil_mode()
        } else {
            pool
        };
        let &[_, _, h, w] = fixture.dims("op.pool2d.x") else {
            panic!("four dimensions")
        };
        let mut case = CaseBuilder::new();
        let [x, dy] = ["op.pool2d.x", at("dy").as_str()]
            .map(|name| case.input(fixture.dims(name), fixture.f32(name)));
        let outputs = if name.starts_with("max") {
            let outputs = case.op(MaxPool2d::new(pool), &[x], &[]);
            case.op(MaxPool2dBackward::new(pool, h, w), &[dy, outputs[1]], &[]);
            case.results.remove(1);
            outputs
        } else {
            let mut op = AvgPool2d::new(pool);
            if name.ends_with("without_padding") {
                op = op.without_padding_in_count();
            }
            let outputs = case.op(op, &[x], &[]);
            case.op(AvgPool2dBackward::new(op, h, w), &[dy], &[]);
            outputs
        };
        let case = case.case(name);
        let dims = case.graph.value(outputs[0]).shape;
        assert_eq!(dims.dims(), fixture.dims(&at("y")), "{name}");
        check(&case, 1e-6, &["y", "dx"].map(|what| fixture.get(&at(what))));
    }
}

#[test]
fn resizing_matches_pytorch() {
    let fixture = Fixture::load("ops.safetensors");
    for (name, [h, w]) in [
        ("op.resize_bilinear", [20, 21]),
        ("op.resize_bilinear_28_to_224", [224, 224]),
    ] {
        let x = format!("{name}.x_u8");
        let dims = fixture.dims(&x).to_vec();
        let mut case = CaseBuilder::new();
        let images = case.input_u8(&dims, fixture.bytes(&x));
        let labels = case.input_u32(&[dims[0]], vec![0; dims[0]]);
        let indices = case.input_u32(&[dims[0]], (0..dims[0] as u32).collect());
        case.op(
            Gather::new(h, w, Normalize::default()),
            &[images, labels, indices],
            &[],
        );
        let case = case.case(name);
        let rows: Vec<usize> = match fixture.tensors.get(&format!("{name}.rows")) {
            Some((_, rows)) => rows.iter().map(|&row| row as usize).collect(),
            None => (0..h).collect(),
        };
        let want = fixture.get(&format!("{name}.y"));
        let gpu = cases::gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
        for got in [Some(on_reference::<f32>(&case)), gpu]
            .into_iter()
            .flatten()
        {
            let picked: Vec<f64> = (0..dims[0])
                .flat_map(|n| rows.iter().map(move |row| (n * h + row) * w))
                .flat_map(|start| got[0][start..start + w].to_vec())
                .collect();
            let (off, _) = difference(&picked, want);
            assert!(off < 1e-6, "{name} is off by {off:e}");
        }
    }
}

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
        let gpu = cases::gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
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

/// The network `Norms` in `make.py`.
fn norms(net: &mut GraphBuilder, x: ValueId) -> nin_wgpu::Result<ValueId> {
    let conv = |stride| Conv2d::new(3, stride, 1).map(Conv2d::without_bias);
    let x = net.conv2d("conv1", x, 4, conv(1)?)?;
    let x = net.batch_norm("bn1", x)?;
    let x = net.relu(x)?;
    let y = net.conv2d("conv2", x, 6, conv(2)?)?;
    let y = net.batch_norm("bn2", y)?;
    let z = net.conv2d("conv3", x, 6, Conv2d::new(1, 2, 0)?)?;
    let z = net.batch_norm_by("bn3", z, BatchNorm::new(1e-3, 0.3)?)?;
    let y = net.add(y, z)?;
    let y = net.relu(y)?;
    let lrn = LocalResponseNorm::new(3)?.with_constants(0.5, 0.75, 1.5)?;
    let y = net.local_response_norm(y, lrn)?;
    let y = net.max_pool2d(y, Pool2d::new(2, 2)?)?;
    let y = net.batch_norm("bn4", y)?;
    let y = net.conv2d("conv4", y, 5, Conv2d::new(1, 1, 0)?)?;
    Ok(net.global_avg_pool(y)?)
}

/// Each backend with memory for a graph, and how far it may be off.
fn runtimes(graph: &Graph) -> Vec<(&'static str, f64, Box<dyn Runtime>)> {
    let mut all: Vec<(&'static str, f64, Box<dyn Runtime>)> = vec![
        ("f64", 2e-7, Box::new(Reference::<f64>::new(graph.clone()))),
        ("f32", 2e-5, Box::new(Reference::<f32>::new(graph.clone()))),
    ];
    if let Some(gpu) = cases::gpu() {
        let plan = Plan::new(graph.clone(), &gpu.plan_options()).expect("fits");
        let executor = Executor::new(gpu, plan).expect("loads");
        all.push(("the GPU", 2e-5, Box::new(executor)));
    }
    all
}

#[test]
fn a_network_with_normalisations_trains_and_evaluates_as_in_pytorch() {
    let fixture = Fixture::load("norms.safetensors");
    let &[batches, n, c, h, w] = fixture.dims("images") else {
        panic!("five dimensions")
    };
    let images = fixture.f32("images");
    let build = |phase| {
        let mut net = GraphBuilder::new(phase);
        let x = net.input("images", &[n, c, h, w]).expect("valid");
        let logits = norms(&mut net, x).expect("fits");
        let mut graph = net.finish();
        graph.keep(logits);
        (graph, x, logits)
    };
    let assert_is = |by: &str, allowed: f64, name: &str, got: &[f32]| {
        let (off, most) = difference(&widen(got), fixture.get(name));
        assert!(off <= allowed * most.max(1.0), "{name} by {by}: {off:e}");
    };
    let write = |run: &mut dyn Runtime, kind: &str| {
        let graph = run.graph().clone();
        for id in graph.state() {
            let value = graph.value(id);
            let data = match value.role {
                Role::Parameter => fixture.f32(&format!("param.{}", value.name)),
                _ if kind == "eval" => fixture.f32(&format!("running.{}", value.name)),
                _ if value.name.ends_with("var") => vec![1.0; value.shape.len()],
                _ => vec![0.0; value.shape.len()],
            };
            run.write(id, data.as_slice().into()).expect("fits");
        }
    };

    let (mut graph, x, logits) = build(Phase::Train);
    let labels = graph.add_value("labels", shape(&[n]), DType::U32, Role::Input);
    let len = shape(&[SoftmaxCrossEntropy::metrics_len(5)]);
    let metrics = graph.add_value("metrics", len, DType::F32, Role::Accumulator);
    let loss = graph.push(
        "loss",
        SoftmaxCrossEntropy::default(),
        &[logits, labels],
        &[metrics],
    );
    autodiff::backward(&mut graph, logits, loss.expect("fits")[0]).expect("differentiable");
    let plain = graph.clone();
    fuse(&mut graph);
    let numbers: Vec<u32> = fixture.get("labels").iter().map(|&x| x as u32).collect();
    for (by, allowed, mut run) in runtimes(&graph).into_iter().chain(runtimes(&plain)) {
        write(run.as_mut(), "train");
        run.write(labels, numbers.as_slice().into()).expect("fits");
        for (i, batch) in images.chunks(images.len() / batches).enumerate() {
            run.write(x, batch.into()).expect("fits");
            run.run().expect("runs");
            if i > 0 {
                continue;
            }
            let got = run.read(logits).expect("kept");
            assert_is(by, allowed, "logits", &got);
            for (parameter, gradient) in graph.gradients() {
                let name = format!("grad.{}", graph.value(parameter).name);
                let got = run.read(gradient).expect("kept");
                assert_is(by, allowed, &name, &got);
            }
        }
        assert_eq!(graph.statistics().count(), 8);
        for id in graph.statistics() {
            let name = format!("running.{}", graph.value(id).name);
            assert_is(by, allowed, &name, &run.read(id).expect("kept"));
        }
    }

    let (mut graph, x, logits) = build(Phase::Eval);
    let plain = graph.clone();
    fuse(&mut graph);
    let count = |name: &str| {
        let nodes = graph.nodes().iter();
        nodes.filter(|node| node.op.name() == name).count()
    };
    assert_eq!([count("batch_norm.fold"), count("batch_norm.eval")], [3, 1]);
    for (by, allowed, mut run) in runtimes(&graph).into_iter().chain(runtimes(&plain)) {
        write(run.as_mut(), "eval");
        let batch = &images[..images.len() / batches];
        run.write(x, batch.into()).expect("fits");
        // The second run needs nothing of what the parameters alone determine.
        for _ in 0..2 {
            run.run().expect("runs");
            assert_is(by, allowed, "eval", &run.read(logits).expect("kept"));
        }
    }
}

#[test]
fn local_response_norm_is_that_of_pytorch_with_odd_and_even_windows() {
    let fixture = Fixture::load("norms.safetensors");
    for size in [1, 2, 4, 5, 11] {
        let mut case = CaseBuilder::new();
        let [x, dy] =
            ["lrn.x", "lrn.dy"].map(|name| case.input(fixture.dims(name), fixture.f32(name)));
        let norm = LocalResponseNorm::new(size).expect("valid");
        let norm = norm.with_constants(0.5, 0.75, 2.0).expect("valid");
        case.op(norm, &[x], &[]);
        case.op(LocalResponseNormBackward::new(norm), &[dy, x], &[]);
        let want = ["y", "dx"].map(|what| fixture.get(&format!("lrn.{size}.{what}")));
        check(&case.case(format!("window of {size}")), 2e-6, &want);
    }
}
