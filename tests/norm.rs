//! Batch normalisation in networks: what is fused and folded, what a training leaves behind, and numbers that go astray.

mod cases;

use cases::{Case, CaseBuilder, floats, on_gpu, on_reference};
use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, GraphError, Phase, Role, ValueId};
use nin_wgpu::init::Init;
use nin_wgpu::models::{Model, layers};
use nin_wgpu::ops::{Adam, BatchNorm, BatchNormBackward, Conv2d, Pool2d};
use nin_wgpu::plan::{Conv2dAlgorithm, Conv2dChoices, Plan, PlanOptions};
use nin_wgpu::program::{Parameters, Program, Run, Source};

type Built = Result<ValueId, GraphError>;

const IMAGES: usize = 12;
const SIZE: [usize; 2] = [13, 14];

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

fn conv(filter: usize, stride: usize) -> Result<Conv2d, GraphError> {
    Ok(Conv2d::new(filter, stride, filter / 2)?.without_bias())
}

/// Convolution, normalisation and, if wanted, ReLU.
fn conv_norm(
    net: &mut GraphBuilder,
    name: &str,
    x: ValueId,
    [k, filter, stride]: [usize; 3],
    relu: bool,
) -> Built {
    let x = net.conv2d(&format!("{name}.conv"), x, k, conv(filter, stride)?)?;
    let x = net.batch_norm(&format!("{name}.norm"), x)?;
    if relu { net.relu(x) } else { Ok(x) }
}

/// A block of ResNet (arXiv:1512.03385), in the order of torchvision's.
fn block(net: &mut GraphBuilder, name: &str, x: ValueId, k: usize, stride: usize) -> Built {
    let y = conv_norm(net, &format!("{name}.1"), x, [k, 3, stride], true)?;
    let y = conv_norm(net, &format!("{name}.2"), y, [k, 3, 1], false)?;
    let changes = stride > 1 || net.graph().value(x).shape.dims()[1] != k;
    let x = if changes {
        conv_norm(net, &format!("{name}.down"), x, [k, 1, stride], false)?
    } else {
        x
    };
    let y = net.add(y, x)?;
    net.relu(y)
}

fn small(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = conv_norm(net, "stem", x, [6, 3, 1], true)?;
    let x = block(net, "one", x, 6, 1)?;
    let x = block(net, "two", x, 8, 2)?;
    let x = net.conv2d("head", x, 4, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

/// ResNet-18.
fn resnet(net: &mut GraphBuilder, x: ValueId) -> Built {
    let x = conv_norm(net, "stem", x, [64, 7, 2], true)?;
    let mut x = net.max_pool2d(x, Pool2d::new(3, 2)?.with_pad(1)?)?;
    for (i, k) in [64, 128, 256, 512].into_iter().enumerate() {
        let stride = if i == 0 { 1 } else { 2 };
        x = block(net, &format!("{i}.0"), x, k, stride)?;
        x = block(net, &format!("{i}.1"), x, k, 1)?;
    }
    let x = net.adaptive_avg_pool2d(x, [1, 1])?;
    let x = net.conv2d("head", x, 1000, Conv2d::new(1, 1, 0)?)?;
    net.global_avg_pool(x)
}

fn source() -> Source {
    Source::new(IMAGES, [3, SIZE[0], SIZE[1]])
}

fn training(sizes: [usize; 2]) -> Result<Program, GraphError> {
    Program::training_in_parts(&source(), SIZE, sizes, Adam::default(), small)
}

fn load(program: &Program, device: &Device) -> Run {
    let mut run = program.load(device).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), 3);
    run.set_parameters(&parameters.expect("valid"))
        .expect("fit");
    give_data(&mut run);
    run
}

fn give_data(run: &mut Run) {
    let pixels: Vec<u8> = (0..IMAGES * 3 * SIZE[0] * SIZE[1])
        .map(|i| (i * i % 251) as u8)
        .collect();
    let labels: Vec<u16> = (0..IMAGES as u16).map(|i| i % 4).collect();
    run.set_data(&pixels, &labels).expect("fit");
}

/// Losses of some steps.
fn train(run: &mut Run, steps: std::ops::Range<u64>) -> Vec<f64> {
    let batch = |step: u64| -> Vec<u32> { (0..6).map(|i| ((step + 2 * i) % 12) as u32).collect() };
    steps
        .map(|step| {
            run.train_step(&batch(step), 0.01, step)
                .expect("runs")
                .loss()
        })
        .collect()
}

fn get<'p>(parameters: &'p Parameters, name: &str) -> &'p [f32] {
    let mut all = parameters.iter();
    let (_, tensor) = all.find(|(other, _)| other == name).expect("there");
    &tensor.data
}

fn assert_close(what: &str, got: &[f32], want: &[f32], allowed: f32) {
    assert_eq!(got.len(), want.len(), "{what}");
    let largest = want.iter().fold(1e-3f32, |most, x| most.max(x.abs()));
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let off = (got - want).abs();
        assert!(off <= allowed * largest, "{what}[{i}]: {got}, not {want}");
    }
}

/// A convolution is one dispatch, which Winograd's is not.
fn whole_convolutions() -> PlanOptions {
    PlanOptions {
        conv2d: Conv2dChoices::HARDWARE.precise(),
        ..PlanOptions::default()
    }
}

#[test]
fn a_training_step_of_resnet18_is_at_most_120_dispatches() {
    let source = Source::new(16, [3, 224, 224]);
    let program = Program::training(&source, [224, 224], 16, Adam::default(), resnet);
    let program = program.expect("builds");
    let plan = Plan::new(program.graph().clone(), &whole_convolutions()).expect("fits");
    let count = |op: &str| plan.dispatches().iter().filter(|d| d.op == op).count();
    assert!(
        plan.dispatches().len() <= 120,
        "{}",
        plan.dispatches().len()
    );
    // Every ReLU, mask and join rides in another op; the optimizer sums all gradients. One layer is large: the first.
    assert_eq!(["relu", "relu.backward"].map(count), [0, 0]);
    assert_eq!(["batch_norm", "batch_norm.backward"].map(count), [21, 21]);
    // Sums of gradients: where a block's input is read twice.
    assert_eq!(count("add"), 8);
    let reduced = |kernel: &str| plan.dispatches().iter().any(|d| d.kernel.shader == kernel);
    assert!(!reduced("conv2d_reduce"));
    let parameters: usize = layers(program.graph()).iter().map(|l| l.parameters).sum();
    assert_eq!(parameters, 11_689_512);
}

#[test]
fn evaluation_takes_every_normalisation_into_its_convolution_and_runs_that_once() {
    let source = Source::new(16, [3, 224, 224]);
    let program = Program::inference(&source, [224, 224], 4, resnet).expect("builds");
    let plan = Plan::new(program.graph().clone(), &whole_convolutions()).expect("fits");
    let count = |op: &str| plan.dispatches().iter().filter(|d| d.op == op).count();
    assert_eq!(["batch_norm.eval", "relu"].map(count), [0, 0]);
    assert_eq!((count("batch_norm.fold"), plan.prologue()), (20, 20));
    let table = layers(program.graph());
    let parameters: usize = table.iter().map(|layer| layer.parameters).sum();
    assert_eq!(parameters, 11_689_512);
    // Gather, convolutions, max pool, joins, average pools, softmax.
    assert_eq!(plan.dispatches().len() - 20, 1 + 21 + 1 + 8 + 2 + 1);
}

#[test]
fn training_is_the_same_on_every_device_and_the_same_again() {
    let program = training([6, 6]).expect("builds");
    let mut first = load(&program, &Device::Cpu);
    let loss = train(&mut first, 1..2)[0];
    let want = first.parameters().expect("readable");
    let gradients = first.gradients().expect("kept");
    for device in devices() {
        let mut ends = Vec::new();
        for _ in 0..2 {
            let mut run = load(&program, &device);
            let losses = train(&mut run, 1..2);
            assert_close("loss", &[losses[0] as f32], &[loss as f32], 1e-4);
            for (name, tensor) in run.gradients().expect("kept") {
                assert_close(&name, &tensor.data, get(&gradients, &name), 1e-3);
            }
            let moved = run.parameters().expect("readable").into_iter();
            for (name, tensor) in moved.filter(|(name, _)| name.contains("running")) {
                assert_close(&name, &tensor.data, get(&want, &name), 1e-5);
            }
            let losses = train(&mut run, 2..6);
            assert!(losses[3] < loss, "{device}: {losses:?}");
            ends.push((losses, run.parameters().expect("readable")));
        }
        assert_eq!(ends[0], ends[1], "{device}");
    }
}

#[test]
fn evaluation_with_folded_normalisations_is_that_by_running_statistics_and_follows_new_parameters()
{
    let program = training([6, 6]).expect("builds");
    let mut trained = load(&program, &Device::Cpu);
    let before = trained.parameters().expect("readable");
    train(&mut trained, 1..6);
    let after = trained.parameters().expect("readable");
    let indices: Vec<u32> = (0..6).collect();
    // Not folded: each convolution's output is read by something else too.
    let apart = |net: &mut GraphBuilder, x: ValueId| {
        let x = net.conv2d("stem.conv", x, 6, conv(3, 1)?)?;
        let y = net.batch_norm("stem.norm", x)?;
        let y = net.relu(y)?;
        let zero = net.conv2d("zero", x, 6, conv(1, 1)?)?;
        let y = net.add(y, zero)?;
        let y = block(net, "one", y, 6, 1)?;
        let y = block(net, "two", y, 8, 2)?;
        let y = net.conv2d("head", y, 4, Conv2d::new(1, 1, 0)?)?;
        net.global_avg_pool(y)
    };
    let programs = [
        Program::inference(&source(), SIZE, 6, small).expect("builds"),
        Program::inference(&source(), SIZE, 6, apart).expect("builds"),
    ];
    for device in devices() {
        let mut found = Vec::new();
        for program in &programs {
            let mut run = program.load(&device).expect("loads");
            give_data(&mut run);
            for parameters in [&before, &after] {
                run.set_parameters(parameters).expect("fit");
                run.probabilities(&indices).expect("runs");
                let first = run.logits().expect("kept");
                run.probabilities(&indices).expect("runs");
                let second = run.logits().expect("kept");
                assert_eq!(first, second, "{device}");
                found.push(second.data);
            }
            // What is read back is what was written, not what was made of it.
            for (name, tensor) in run.parameters().expect("readable") {
                if !name.starts_with("zero") {
                    assert_eq!(tensor.data, get(&after, &name), "{name}");
                }
            }
        }
        assert_close("before", &found[0], &found[2], 1e-4);
        assert_close("after", &found[1], &found[3], 1e-4);
        assert_ne!(found[0], found[1], "{device}");
    }
}

#[test]
fn parts_that_do_not_divide_the_batch_are_refused_and_others_move_the_statistics_each() {
    let error = training([6, 4]).expect_err("filled up");
    let says = error.to_string();
    assert!(
        says.contains("parts of 4 images do not divide a batch of 6"),
        "{says}"
    );
    let program = training([6, 3]).expect("builds");
    for device in devices() {
        let mut run = load(&program, &device);
        let narrow = Init::Kaiming.parameters(program.graph(), 3).expect("valid");
        let still: Parameters = narrow
            .into_iter()
            .map(|(name, mut tensor)| {
                // Without filters there is no variance, so of 1 a tenth is lost with each part.
                tensor.data.fill(if name.ends_with("running_var") {
                    1.0
                } else {
                    0.0
                });
                (name, tensor)
            })
            .collect();
        run.set_parameters(&still).expect("fit");
        train(&mut run, 1..2);
        let end = run.parameters().expect("readable");
        assert_close(
            "variance",
            get(&end, "stem.norm.running_var"),
            &[0.81; 6],
            1e-5,
        );
    }
}

#[test]
fn one_value_a_channel_is_refused_in_training_and_fine_in_evaluation() {
    let network = |phase| {
        let mut net = GraphBuilder::new(phase);
        let x = net.input("images", &[1, 3, 1, 1]).expect("valid");
        net.batch_norm("norm", x).map(|_| ())
    };
    network(Phase::Eval).expect("fits");
    let error = network(Phase::Train).expect_err("no variance");
    let says = format!(
        "{error}: {}",
        std::error::Error::source(&error).expect("why")
    );
    assert!(
        says.contains("`norm`") && says.contains("two or more images"),
        "{says}"
    );
    assert!(BatchNorm::new(0.0, 0.1).is_err());
    assert!(BatchNorm::new(1e-5, f32::NAN).is_err());
}

#[test]
fn normalisations_start_as_the_identity_whatever_the_rest_starts_from() {
    let program = training([6, 6]).expect("builds");
    for init in [Init::Kaiming, Init::PyTorch] {
        let parameters = init.parameters(program.graph(), 1).expect("valid");
        for layer in ["stem.norm", "two.down.norm"] {
            for (name, want) in [
                ("weight", 1.0),
                ("bias", 0.0),
                ("running_mean", 0.0),
                ("running_var", 1.0),
            ] {
                let got = get(&parameters, &format!("{layer}.{name}"));
                assert!(got.iter().all(|&x| x == want), "{layer}.{name}: {got:?}");
            }
        }
    }
}

const SMALL: Model = Model::new("small", |net, x, _| small(net, x));

#[test]
fn a_checkpoint_holds_the_statistics_and_resumes_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("norm.safetensors");
    let data = Synthetic::default().generate().expect("valid").train;
    let metadata = Metadata {
        step: 2,
        ..Metadata::new(&SMALL, &data, vec![(0.0, 1.0)], 3)
    };
    let program = training([6, 6]).expect("builds");
    for device in devices() {
        let mut whole = load(&program, &device);
        train(&mut whole, 1..3);
        let mut all = whole.parameters().expect("readable");
        assert!(all.iter().any(|(name, _)| name == "one.1.norm.running_var"));
        all.extend(whole.moments().expect("readable"));
        checkpoint::save(&path, &all, Some(&metadata)).expect("written");

        // PyTorch counts the steps of each layer; its loader misses nothing.
        let bytes = std::fs::read(&path).expect("there");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
        let counter = file
            .tensor("one.1.norm.num_batches_tracked")
            .expect("there");
        assert_eq!(counter.dtype(), safetensors::Dtype::I64);
        assert!(counter.shape().is_empty());
        assert_eq!(counter.data(), 2i64.to_le_bytes());

        let (mut read, _) = checkpoint::load(&path).expect("read");
        let mut second = program.load(&device).expect("loads");
        second.set_parameters(&read).expect("fit");
        give_data(&mut second);
        assert_eq!(
            train(&mut whole, 3..5),
            train(&mut second, 3..5),
            "{device}"
        );
        assert_eq!(
            whole.parameters().expect("readable"),
            second.parameters().expect("readable"),
            "{device}"
        );

        read.retain(|(name, _)| !name.contains("moment"));
        checkpoint::check(&path, &read, program.graph()).expect("whole");
        let inference = Program::inference(&source(), SIZE, 6, small).expect("builds");
        checkpoint::check(&path, &read, inference.graph()).expect("whole");
        read.retain(|(name, _)| name != "stem.norm.running_mean");
        let error = checkpoint::check(&path, &read, program.graph()).expect_err("not whole");
        assert!(
            error.to_string().contains("stem.norm.running_mean"),
            "{error}"
        );
    }
}

/// Batch normalisation and its gradient over `x`, with weights 2 and biases 0.5.
fn case_of(dims: &[usize], x: Vec<f32>) -> Case {
    let c = dims[1];
    let mut case = CaseBuilder::new();
    let x = case.input(dims, x);
    let weight = case.input(&[c], vec![2.0; c]);
    let bias = case.input(&[c], vec![0.5; c]);
    let mean = case.with_role(&[c], Role::Statistic, vec![0.0; c]);
    let variance = case.with_role(&[c], Role::Statistic, vec![1.0; c]);
    let saved = case.op(BatchNorm::default(), &[x, weight, bias], &[mean, variance])[1];
    let dy = case.random(dims);
    case.op(BatchNormBackward::default(), &[dy, x, saved, weight], &[]);
    case.case("batch_norm")
}

/// What each backend makes of a case: y, saved, running mean and variance, dx, dweight, dbias.
fn everywhere(case: &Case) -> Vec<Vec<Vec<f64>>> {
    let mut all = vec![on_reference::<f64>(case), on_reference::<f32>(case)];
    all.extend(cases::gpu().map(|gpu| on_gpu(gpu, case, Conv2dAlgorithm::HARDWARE)));
    all
}

/// Shapes in one chunk a channel and in several.
const SHAPES: [[usize; 4]; 2] = [[4, 3, 9, 11], [2, 2, 190, 199]];

#[test]
fn a_mean_of_ten_thousand_leaves_the_digits_of_a_deviation_of_one() {
    for dims in SHAPES {
        // Of another seed than the gradient, which nothing would be left of if it were x.
        let x = floats(dims.iter().product(), 50);
        let all = everywhere(&case_of(&dims, x.iter().map(|x| 1e4 + x).collect()));
        for got in &all[1..] {
            for (i, (got, want)) in got.iter().zip(&all[0]).enumerate() {
                // Half of the last digit of the mean, which is a float too, in deviations; the sums are of thousands.
                let most = want.iter().fold(0f64, |most, x| most.max(x.abs()));
                for (got, want) in got.iter().zip(want) {
                    let off = (got - want).abs();
                    assert!(off <= 2e-3 * most, "{dims:?}, {i}: {got}, not {want}");
                }
            }
        }
    }
}

#[test]
fn a_constant_channel_becomes_its_bias_and_has_no_gradient_that_is_none() {
    for dims in SHAPES {
        for constant in [0.0, 3.0, 12345.678] {
            let x = vec![constant; dims.iter().product()];
            for got in everywhere(&case_of(&dims, x)) {
                let near = |x: &f64| (x - 0.5).abs() < 1e-2;
                assert!(
                    got[0].iter().all(near),
                    "{dims:?} of {constant}: {:?}",
                    &got[0][..4]
                );
                assert!(
                    got.iter().flatten().all(|x| x.is_finite()),
                    "{dims:?} of {constant}"
                );
                // 1 / sqrt(eps), of a variance that is 0.
                let invstd = got[1][dims[1]];
                assert!(
                    (invstd - 316.23).abs() < 0.1,
                    "{dims:?} of {constant}: {invstd}"
                );
            }
        }
    }
}

#[test]
fn what_is_no_number_stays_in_its_channel() {
    for dims in SHAPES {
        let [n, c, h, w] = dims;
        let clean = floats(n * c * h * w, 7);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = clean.clone();
            // In the second channel, of the last image.
            x[((n - 1) * c + 1) * h * w + 5] = bad;
            let all = everywhere(&case_of(&dims, x));
            let whole = everywhere(&case_of(&dims, clean.clone()));
            for (got, want) in all.iter().zip(&whole) {
                // y and dx, whose channels lie between those of each image.
                for i in [0, 4] {
                    for (at, (got, want)) in got[i].iter().zip(&want[i]).enumerate() {
                        let is_bad = at / (h * w) % c == 1;
                        assert!(
                            if is_bad { got.is_nan() } else { got == want },
                            "{dims:?} {bad}: {got}"
                        );
                    }
                }
                assert!(got[2][1].is_nan() || got[2][1].is_infinite());
                assert!(got[3][1].is_nan() && got[3][0] == want[3][0]);
            }
        }
    }
}
