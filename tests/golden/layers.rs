//! Pooling, ReLU and the head; linear layers and losses; activations; resizing.

use crate::cases::fixture::{Fixture, difference};
use crate::cases::{CaseBuilder, on_gpu, on_reference, shape};
use crate::check;
use nin_wgpu::graph::Role;
use nin_wgpu::ops::{
    Activation, ActivationBackward, Gather, GlobalAvgPool, GlobalAvgPoolBackward, IGNORE, Linear,
    LinearDgrad, LinearWgrad, MaxPool2d, MaxPool2dBackward, MeanSquaredError, Normalize, Pool2d,
    Relu, ReluBackward, SoftmaxCrossEntropy,
};
use nin_wgpu::plan::Conv2dAlgorithm;

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
    // Behind the loss: correct rows, rows, for each class those whose logit is not zero, and the labels' weights.
    let logits = fixture.get("op.cross_entropy.logits");
    let mut want = vec![0.0; 13];
    for (row, &label) in logits
        .chunks(10)
        .zip(fixture.get("op.cross_entropy.labels"))
    {
        let is_correct = row.iter().all(|&x| x <= row[label as usize]);
        want[0] += f64::from(is_correct);
        for (to, &x) in want[2..].iter_mut().zip(row) {
            *to += f64::from(x != 0.0);
        }
    }
    (want[1], want[12]) = (6.0, 6.0);
    assert_eq!(sums[1..], want);
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
        let gpu = crate::cases::gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
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
        let gpu = crate::cases::gpu().map(|gpu| on_gpu(gpu, &case, Conv2dAlgorithm::HARDWARE));
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
