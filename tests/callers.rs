//! A caller's mistakes are errors that say what was wrong, on both backends, and no panic or another's number.

mod cases;

use nin_wgpu::autodiff;
use nin_wgpu::backend::runtime::{Runtime, RuntimeError};
use nin_wgpu::data::image_file::Picture;
use nin_wgpu::data::{DataError, Dataset, Draw, Fit, View, resized_crop};
use nin_wgpu::device::Device;
use nin_wgpu::graph::{Graph, GraphBuilder, GraphError, Phase, Role, ValueId};
use nin_wgpu::ops::*;
use nin_wgpu::plan::{Plan, PlanError, PlanOptions};
use nin_wgpu::program::{Program, RunError, Source};
use nin_wgpu::reference::Reference;
use nin_wgpu::shape::{DType, Shape};

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

fn shape(dims: &[usize]) -> Shape {
    Shape::new(dims).expect("a shape")
}

/// Two classes of 4x4 pictures, four of them.
fn program(batch: [usize; 2]) -> Result<Program, GraphError> {
    let source = Source::new(4, [1, 4, 4]);
    Program::training_in_parts(&source, [4, 4], batch, Adam::default(), |net, x| {
        let x = net.conv2d("conv", x, 2, Conv2d::new(3, 1, 1)?)?;
        net.global_avg_pool(x)
    })
}

#[test]
fn a_label_beyond_the_classes_is_named_with_its_place() {
    let program = program([4, 4]).expect("fits");
    for device in devices() {
        let mut run = program.load(&device).expect("loads");
        let error = run.set_data(&[0; 64], &[0, 1, 0, 7]).expect_err("label 7");
        let text = error.to_string();
        assert!(
            matches!(
                error,
                RunError::Data(DataError::Label {
                    index: 3,
                    got: 7,
                    classes: 2,
                    ..
                })
            ),
            "{device}: {text}"
        );
        for part in ["7", "3", "2"] {
            assert!(text.contains(part), "{text}");
        }
        run.set_data(&[0; 64], &[0, 1, 0, 1]).expect("two classes");
        run.train_step(&[0, 1, 2, 3], 0.01, 1).expect("trains");
    }
}

/// Whatever the labels go through on their way to the loss.
#[test]
fn a_label_beyond_the_classes_is_refused_where_a_graph_is_written_to() {
    let direct = || {
        let mut graph = Graph::default();
        let logits = graph.add_value("logits", shape(&[3, 2]), DType::F32, Role::Input);
        let labels = graph.add_value("labels", shape(&[3]), DType::U32, Role::Input);
        let metrics = graph.add_value("metrics", shape(&[6]), DType::F32, Role::Accumulator);
        let loss = SoftmaxCrossEntropy::default();
        let out = graph
            .push("loss", loss, &[logits, labels], &[metrics])
            .expect("fits");
        graph.keep(out[1]);
        (graph, labels)
    };
    let one_hot = || {
        let mut graph = Graph::default();
        let labels = graph.add_value("labels", shape(&[3]), DType::U32, Role::Input);
        let out = graph
            .push("hot", OneHot::new(2), &[labels], &[])
            .expect("fits");
        graph.keep(out[0]);
        (graph, labels)
    };
    let gathered = || {
        let graph = program([4, 4]).expect("fits").graph().clone();
        let labels = graph.find("data.labels").expect("there");
        (graph, labels)
    };
    for device in devices() {
        for (graph, labels) in [direct(), one_hot(), gathered()] {
            let len = graph.value(labels).shape.len();
            let mut runtime = device.load(graph).expect("loads");
            let mut wrong = vec![0u32; len];
            wrong[2] = 2;
            let error = runtime.write(labels, wrong.as_slice().into());
            assert!(
                matches!(
                    error,
                    Err(RuntimeError::Label {
                        index: 2,
                        got: 2,
                        classes: 2,
                        ..
                    })
                ),
                "{device}: {error:?}"
            );
            let error = runtime.write_rows(labels, 1, [1u32, 9].as_slice().into());
            assert!(matches!(error, Err(RuntimeError::Label { index: 1, .. })));
            wrong[2] = IGNORE;
            runtime
                .write(labels, wrong.as_slice().into())
                .expect("counts for nothing");
            runtime.run().expect("runs");
        }
    }
}

#[test]
fn what_cannot_be_read_back_is_the_same_error_on_both_backends() {
    let mut graph = Graph::default();
    let x = graph.add_value("x", shape(&[4]), DType::F32, Role::Input);
    let unused = graph.add_value("unused", shape(&[4]), DType::F32, Role::Input);
    let y = graph.push("act", Relu, &[x], &[]).expect("fits")[0];
    let z = graph.push("act2", Relu, &[y], &[]).expect("fits")[0];
    graph.keep(z);
    let foreign = foreign();
    for device in devices() {
        let mut runtime = device.load(graph.clone()).expect("loads");
        runtime
            .write(unused, [1.0; 4].as_slice().into())
            .expect("is left out");
        runtime.run().expect("runs");
        assert!(
            matches!(runtime.read(unused), Err(RuntimeError::Unused(name)) if name == "unused")
        );
        assert!(matches!(
            runtime.run_and_snapshot(&[unused]),
            Err(RuntimeError::Unused(_))
        ));
        let unknown = |error| matches!(error, RuntimeError::Graph(GraphError::Unknown { .. }));
        assert!(runtime.read(foreign).is_err_and(unknown));
        assert!(
            runtime
                .write(foreign, [1.0; 4].as_slice().into())
                .is_err_and(unknown)
        );
        assert!(runtime.run_and_snapshot(&[foreign]).is_err_and(unknown));
        let rows = runtime.write_rows(x, usize::MAX, [1.0].as_slice().into());
        assert!(matches!(rows, Err(RuntimeError::Write { .. })));
        assert_eq!(runtime.read(z).expect("kept"), [0.0; 4]);
    }
}

/// A value of a graph that has many.
fn foreign() -> ValueId {
    let mut graph = Graph::default();
    let ids =
        (0..1000).map(|i| graph.add_value(format!("{i}"), shape(&[1]), DType::F32, Role::Input));
    ids.last().expect("some")
}

#[test]
fn values_of_another_graph_are_refused_by_every_layer() {
    let x = foreign();
    type Layer = fn(&mut GraphBuilder, ValueId) -> Result<ValueId, GraphError>;
    let layers: [Layer; 14] = [
        |net, x| net.conv2d("l", x, 2, Conv2d::new(1, 1, 0)?),
        |net, x| net.linear("l", x, 2),
        |net, x| net.batch_norm("l", x),
        |net, x| net.local_response_norm(x, LocalResponseNorm::new(5)?),
        |net, x| net.relu(x),
        |net, x| net.gelu(x),
        |net, x| net.dropout(x, 0.5),
        |net, x| net.max_pool2d(x, Pool2d::new(2, 2)?),
        |net, x| net.avg_pool2d(x, Pool2d::new(2, 2)?),
        |net, x| net.adaptive_avg_pool2d(x, [1, 1]),
        |net, x| net.global_avg_pool(x),
        |net, x| net.flatten(x),
        |net, x| net.add(x, x),
        |net, x| net.concat(&[x, x]),
    ];
    for layer in layers {
        let mut net = GraphBuilder::new(Phase::Train);
        net.input("x", &[1, 2, 4, 4]).expect("fits");
        assert!(matches!(
            layer(&mut net, x),
            Err(GraphError::Unknown { .. })
        ));
    }
    let source = Source::new(4, [1, 4, 4]);
    let program = Program::evaluation(&source, [4, 4], 4, |_, _| Ok(x));
    assert!(matches!(program, Err(GraphError::Unknown { .. })));
}

/// One of each op, as far as one is made without others.
fn ops() -> Vec<Op> {
    let conv = Conv2d::new(1, 1, 0).expect("valid");
    let pool = Pool2d::new(2, 2).expect("valid");
    let norm = LocalResponseNorm::new(5).expect("valid");
    let loss = SoftmaxCrossEntropy::default();
    vec![
        Gather::new(4, 4, Normalize::default()).into(),
        conv.into(),
        Conv2dDgrad::new(conv, 4, 4).with_mask().into(),
        Conv2dWgrad::new(conv).into(),
        Linear::default().into(),
        LinearDgrad::new(shape(&[2, 2])).with_mask().into(),
        LinearWgrad::new(Linear::default()).into(),
        Relu.into(),
        ReluBackward.into(),
        Activation::Gelu.into(),
        ActivationBackward::new(Activation::Gelu).into(),
        MaxPool2d::new(pool).into(),
        MaxPool2dBackward::new(pool, 4, 4).with_mask().into(),
        Add::default().with_mask().into(),
        Concat::default().into(),
        ConcatBackward::new(usize::MAX, 2).into(),
        ConcatBackward::new(0, usize::MAX).into(),
        Reshape::new(shape(&[16])).into(),
        AvgPool2d::new(pool).into(),
        AvgPool2dBackward::new(AvgPool2d::new(pool), 4, 4)
            .with_mask()
            .into(),
        BatchNorm::default().into(),
        BatchNorm::default().with_shortcut().into(),
        BatchNormBackward::default().with_mask().into(),
        BatchNormEval::from(BatchNorm::default()).into(),
        norm.into(),
        LocalResponseNormBackward::new(norm).with_mask().into(),
        Dropout::new(0.5, 0).expect("valid").into(),
        GlobalAvgPool::default().into(),
        GlobalAvgPoolBackward::new(4, 4).with_mask().into(),
        Softmax::default().into(),
        loss.clone().into(),
        PooledCrossEntropy::new(loss.clone()).into(),
        SoftTargetCrossEntropy::new(loss).into(),
        OneHot::new(0).into(),
        OneHot::new(usize::MAX).into(),
        MeanSquaredError.into(),
        GradientNorm { in_parts: false }.into(),
        GradientNorm { in_parts: true }.into(),
        Update::from(Adam::default()).into(),
        Update {
            clip_norm: Some(1.0),
            ..Update::from(Sgd::default())
        }
        .into(),
        Ema.into(),
        Gate.into(),
        Commit.into(),
    ]
}

/// Every op is given up to eight operands of one shape and type, on either side; what is taken is planned and runs.
#[test]
fn too_few_operands_or_too_many_are_refused_and_the_rest_runs() {
    let mut taken = 0;
    for op in ops() {
        for dims in [&[2, 2, 4, 4][..], &[2, 2], &[2], &[6], &[3], &[1]] {
            for dtype in [DType::F32, DType::U32, DType::U8] {
                for (inputs, updates) in (0..8).flat_map(|i| (0..5).map(move |u| (i, u))) {
                    let mut graph = Graph::default();
                    let mut values = |role, count| {
                        let name = |i| format!("{role:?} {i}");
                        let add = |i| graph.add_value(name(i), shape(dims), dtype, role);
                        (0..count).map(add).collect::<Vec<_>>()
                    };
                    let (inputs, updates) = (
                        values(Role::Input, inputs),
                        values(Role::Parameter, updates),
                    );
                    let Ok(outputs) = graph.push("layer", op.clone(), &inputs, &updates) else {
                        continue;
                    };
                    outputs.iter().for_each(|&id| graph.keep(id));
                    let mut runtime = Device::Cpu.load(graph.clone()).expect("loads");
                    runtime.run().expect("runs");
                    // Or else it is refused for the roles of its operands.
                    let plan = Plan::new(graph, &Default::default());
                    assert!(
                        matches!(plan, Ok(_) | Err(PlanError::Role { .. })),
                        "{op:?}: {plan:?}"
                    );
                    taken += 1;
                }
            }
        }
    }
    assert!(taken > 30, "{taken}");
}

#[test]
fn numbers_of_a_step_outside_their_range_are_refused() {
    for parts in [[4, 0], [2, 4], [0, 0]] {
        assert!(program(parts).is_err(), "{parts:?}");
    }
    let mut run = program([4, 2])
        .expect("fits")
        .load(&Device::Cpu)
        .expect("loads");
    run.set_data(&[0; 64], &[0, 1, 0, 1]).expect("fits");
    let refused = |result: Result<_, RunError>| matches!(result, Err(RunError::Step { .. }));
    assert!(refused(run.train_step(&[0, 1, 2, 3], 0.1, 0)));
    assert!(refused(run.train_step(&[0, 1, 2, 3], f64::NAN, 1)));
    assert!(refused(run.train_step(&[0, 1, 2, 3], f64::INFINITY, 1)));
    assert!(run.train_step(&[0, 1, 2], 0.1, 1).is_err());
    assert!(run.probabilities(&[0, 1, 2, 3]).is_err());
    // Beyond the data set: images that count for nothing.
    run.train_step(&[0, 9, u32::MAX, 3], 0.1, 1)
        .expect("trains on two");
}

#[test]
fn windows_of_channels_that_nobody_can_count_are_refused() {
    for size in [0, 65_536, usize::MAX] {
        let error = LocalResponseNorm::new(size).expect_err("refused");
        assert!(error.to_string().contains("1 to 65535 channels"), "{error}");
    }
    LocalResponseNorm::new(65_535).expect("counts");
}

#[test]
fn values_and_buffers_of_others_are_none_and_no_panic() {
    let mut graph = Graph::default();
    let x = graph.add_value("x", shape(&[4]), DType::F32, Role::Input);
    let labels = graph.add_value("labels", shape(&[4]), DType::U32, Role::Input);
    let unused = graph.add_value("unused", shape(&[4]), DType::F32, Role::Input);
    let y = graph.push("act", Relu, &[x], &[]).expect("fits")[0];
    let hot = graph.push("hot", OneHot::new(2), &[labels], &[]);
    graph.keep(y);
    graph.keep(hot.expect("fits")[0]);
    assert!(graph.get(foreign()).is_none());
    assert_eq!(graph.get(x).expect("its own").name, "x");

    let mut run = Reference::<f64>::new(graph.clone());
    assert!(run.real(foreign()).is_empty() && run.real(labels).is_empty());
    let unknown = |error| matches!(error, RuntimeError::Graph(GraphError::Unknown { .. }));
    assert!(run.set_real(foreign(), &[1.0; 4]).is_err_and(unknown));
    for (id, data) in [(x, &[1.0; 3][..]), (labels, &[1.0; 4])] {
        let error = run.set_real(id, data);
        assert!(matches!(
            error,
            Err(RuntimeError::Write { want_len: 4, .. })
        ));
    }
    let error = run.set_real(unused, &[1.0; 4]);
    assert!(matches!(error, Err(RuntimeError::Unused(_))));
    run.set_real(x, &[-1.0, 0.0, 0.1, 2.0]).expect("fits");
    run.run().expect("runs");
    assert_eq!(run.real(y), [0.0, 0.0, 0.1, 2.0]);

    let large = program([4, 4]).expect("fits").graph().clone();
    let [small, large] = [graph, large].map(|graph| Plan::new(graph, &PlanOptions::default()));
    let (small, large) = (small.expect("fits"), large.expect("fits"));
    let regions = large.graph().ids().filter_map(|id| large.region(id));
    let last = regions.map(|region| region.buffer).max().expect("some");
    assert!(small.buffer(last).is_none() && small.slot_of(last).is_none());
    let own = large.buffer(last).expect("its own");
    assert_eq!(large.slot_of(last), Some(own.slot));
}

#[test]
fn pictures_that_are_not_there_and_views_of_another_size_are_errors() {
    let classes = vec!["a".to_owned()];
    let data = Dataset::new("mine", vec![0; 8], vec![0; 2], [1, 2, 2], classes).expect("fits");
    let missing = |error: &DataError| matches!(error, DataError::NoPicture { got: 2, len: 2, .. });
    assert!(data.image(2).is_err_and(|error| missing(&error)));
    let loaded = data.load(2, None, &mut [0; 4]);
    assert!(loaded.is_err_and(|error| missing(&error)));
    assert!(data.label(2).is_err_and(|error| missing(&error)));
    assert_eq!(data.label(1).expect("there"), 0);
    assert!(data.path(2).is_none() && data.describe(2).contains('2'));

    let picture = Picture::new([3, 3, 1], vec![0; 9]).expect("a picture");
    let fill = |shape, bytes| {
        let view = View {
            shape,
            fit: Fit::Crop,
            invert: false,
        };
        view.fill(
            &picture,
            Some(Draw {
                crop: true,
                flip: true,
                ..Draw::default()
            }),
            &mut vec![0; bytes],
        )
    };
    fill([1, 2, 2], 4).expect("fits");
    for (shape, bytes) in [
        ([3, 2, 2], 12),
        ([1, 2, 2], 5),
        ([1, 0, 2], 0),
        ([2, 2, 2], 8),
    ] {
        assert!(fill(shape, bytes).is_err(), "{shape:?}");
    }
    assert!(fill([1, usize::MAX, 2], 4).is_err());
    let huge = View {
        shape: [1, usize::MAX, usize::MAX],
        fit: Fit::Crop,
        invert: false,
    };
    assert!(huge.shorter().is_some());
    for [h, w] in [[0, 0], [0, 5], [1, 1], [1 << 20, 1]] {
        let part = resized_crop(h, w, Draw::default());
        assert!(part.height >= 1 && part.width >= 1, "{part:?}");
    }
    assert!(Pool2d::new(usize::MAX, 1).is_err() && Pool2d::new(1, usize::MAX).is_err());
    let pool = Pool2d::new(2, 1).expect("valid");
    assert!(pool.with_dilation([usize::MAX, 1]).is_err());
}

/// A step that is skipped goes back to what is kept of each statistic, so each needs its own.
#[test]
fn statistics_that_are_kept_in_another_order_or_not_all_of_them_are_refused() {
    let plan_of = |len: usize, running: &[usize], kept: &[usize]| {
        let mut graph = Graph::default();
        let mut add =
            |name: &str, len, role| graph.add_value(name, shape(&[len]), DType::F32, role);
        let inputs = [("hyper", 6), ("norm", 1)].map(|(name, len)| add(name, len, Role::Input));
        let sums = [("sums", 4), ("totals", 5)].map(|(name, n)| add(name, n, Role::Accumulator));
        let all = ["a", "b", "c"].map(|name| add(name, 3, Role::Statistic));
        let beside = all.map(|of| add("kept", len, Role::Kept(of)));
        let mut updates = sums.to_vec();
        updates.extend(running.iter().map(|&i| all[i]));
        updates.extend(kept.iter().map(|&i| beside[i]));
        graph.push("commit", Commit, &inputs, &updates)?;
        Ok::<_, GraphError>(Plan::new(graph, &PlanOptions::default()))
    };
    let plan = |running: &[usize], kept: &[usize]| plan_of(3, running, kept);
    assert!(matches!(plan(&[0, 1, 2], &[0, 1, 2]), Ok(Ok(_))));
    assert!(plan_of(4, &[0, 1, 2], &[0, 1, 2]).is_err());
    assert!(matches!(plan(&[], &[]), Ok(Ok(_))));
    for (running, kept) in [
        (&[0, 1, 2][..], &[0, 2, 1][..]),
        (&[1, 0, 2], &[1, 0, 2]),
        (&[0, 1], &[0, 1]),
        (&[1], &[1]),
    ] {
        let refused = plan(running, kept);
        assert!(
            matches!(refused, Ok(Err(PlanError::Role { .. }))),
            "{refused:?}"
        );
    }
    assert!(plan(&[0, 1, 2], &[0, 1]).is_err());
    let mut graph = Graph::default();
    let x = graph.add_value("x", shape(&[2]), DType::F32, Role::Input);
    assert!(graph.push("gate", Gate, &[x, x], &[]).is_err());
}

#[test]
fn numbers_of_an_op_are_taken_up_to_their_bounds_and_refused_beyond() {
    let plain = SoftmaxCrossEntropy::default;
    let norm = |alpha, k| LocalResponseNorm::new(5)?.with_constants(alpha, 0.75, k);
    let adam = |change: fn(&mut Adam)| {
        let mut adam = Adam::default();
        change(&mut adam);
        Optimizer::from(adam).check()
    };
    let sgd = |momentum, dampening, nesterov| {
        let sgd = Sgd {
            momentum,
            dampening,
            nesterov,
            ..Sgd::default()
        };
        Optimizer::from(sgd).check()
    };
    for (what, is_taken, want) in [
        (
            "smoothing 0",
            plain().with_label_smoothing(0.0).is_ok(),
            true,
        ),
        (
            "smoothing 1",
            plain().with_label_smoothing(1.0).is_ok(),
            false,
        ),
        (
            "no weights",
            plain().with_class_weights(vec![]).is_ok(),
            true,
        ),
        (
            "one weight",
            plain().with_class_weights(vec![0.0, 2.0]).is_ok(),
            true,
        ),
        (
            "weights of 0",
            plain().with_class_weights(vec![0.0; 2]).is_ok(),
            false,
        ),
        (
            "infinite weight",
            plain().with_class_weights(vec![f32::INFINITY]).is_ok(),
            false,
        ),
        ("alpha 0", norm(0.0, 1.0).is_ok(), true),
        ("alpha below 0", norm(-1e-9, 1.0).is_ok(), false),
        ("k of 0", norm(1e-4, 0.0).is_ok(), false),
        ("infinite k", norm(1e-4, f32::INFINITY).is_ok(), false),
        ("p of 0", Dropout::new(0.0, 1).is_ok(), true),
        ("p of 1", Dropout::new(1.0, 1).is_ok(), false),
        (
            "divisor 0",
            AvgPool2d::new(Pool2d::new(2, 2).expect("valid"))
                .with_divisor(0)
                .is_ok(),
            false,
        ),
        (
            "a divisor below 0",
            AvgPool2d::new(Pool2d::new(2, 2).expect("valid"))
                .with_divisor(-1)
                .is_ok(),
            true,
        ),
        ("adam", adam(|_| {}).is_ok(), true),
        ("eps 0", adam(|adam| adam.eps = 0.0).is_ok(), false),
        (
            "infinite eps",
            adam(|adam| adam.eps = f32::INFINITY).is_ok(),
            false,
        ),
        ("beta1 of 0", adam(|adam| adam.beta1 = 0.0).is_ok(), true),
        ("beta1 of 1", adam(|adam| adam.beta1 = 1.0).is_ok(), false),
        ("beta2 of 1", adam(|adam| adam.beta2 = 1.0).is_ok(), false),
        (
            "decay below 0",
            adam(|adam| adam.weight_decay = -0.1).is_ok(),
            false,
        ),
        (
            "infinite decay",
            adam(|adam| adam.weight_decay = f32::INFINITY).is_ok(),
            false,
        ),
        ("no momentum", sgd(0.0, 0.0, false).is_ok(), true),
        ("momentum 1", sgd(1.0, 0.0, false).is_ok(), false),
        ("dampening", sgd(0.9, 0.5, false).is_ok(), true),
        ("dampening 1", sgd(0.9, 1.0, false).is_ok(), false),
        ("Nesterov", sgd(0.9, 0.0, true).is_ok(), true),
        (
            "Nesterov without momentum",
            sgd(0.0, 0.0, true).is_ok(),
            false,
        ),
        (
            "Nesterov with dampening",
            sgd(0.9, 0.5, true).is_ok(),
            false,
        ),
        ("eps of a norm", BatchNorm::new(0.0, 0.1).is_ok(), false),
        (
            "momentum of a norm",
            BatchNorm::new(1e-5, 1.0).is_ok(),
            true,
        ),
        (
            "infinite momentum of a norm",
            BatchNorm::new(1e-5, f32::INFINITY).is_ok(),
            false,
        ),
    ] {
        assert_eq!(is_taken, want, "{what}");
    }
    let adaptive = |output| Pool2d::adaptive(shape(&[1, 1, 6, 8]), output);
    assert_eq!(adaptive([3, 2]), Pool2d::rectangular([2, 4], [2, 4]));
    for output in [[0, 2], [3, 0], [4, 2], [3, 3], [12, 2], [3, 16]] {
        assert!(adaptive(output).is_err(), "{output:?}");
    }
    let norm = BatchNorm::new(0.25, 0.5).expect("valid");
    assert_eq!([norm.eps(), norm.momentum()], [0.25, 0.5]);
    let eval = BatchNormEval::from(norm);
    assert!(!eval.relu() && eval.with_relu().relu());
}

#[test]
fn what_an_update_writes_is_counted_before_anything_else_is_checked() {
    let update = Update {
        clip_norm: Some(1.0),
        ..Update::from(Adam::default())
    };
    let push = |count| {
        let mut graph = Graph::default();
        let mut add =
            |name: &str, len, role| graph.add_value(name, shape(&[len]), DType::F32, role);
        let inputs = [("hyper", 6), ("gradient", 2), ("norm", 1)];
        let inputs = inputs.map(|(name, len)| add(name, len, Role::Input));
        let updates = [0, 1, 2, 3].map(|_| add("state", 2, Role::Parameter));
        graph.push("step", update.clone(), &inputs, &updates[..count])
    };
    push(3).expect("a parameter and two moments");
    for count in [2, 4] {
        let Err(GraphError::Shape { source, .. }) = push(count) else {
            panic!("{count} values are refused")
        };
        let error = source.to_string();
        assert!(error.contains("values to update"), "{error}");
    }
}

#[test]
fn pictures_are_gathered_up_to_the_bounds_of_a_kernel_and_refused_beyond() {
    // `[M,C,h,w]`, `[H,W]`, pixels cropped, and whether parts are taken.
    let gather = |source: [usize; 4], [h, w]: [usize; 2], crop, resized: bool| {
        let mut graph = Graph::default();
        let mut add = |dims: &[usize], dtype| {
            graph.add_value(format!("{dims:?}"), shape(dims), dtype, Role::Input)
        };
        let mut inputs = vec![
            add(&source, DType::U8),
            add(&source[..1], DType::U32),
            add(&[2], DType::U32),
            add(&[3], DType::U32),
        ];
        inputs.extend(resized.then(|| add(&[2, 4], DType::U32)));
        let augment = Augment {
            crop,
            flip: true,
            resized,
        };
        let op = Gather::new(h, w, Normalize::default()).with_augment(augment);
        graph.push("batch", op, &inputs, &[]).is_ok()
    };
    for (source, size, crop, resized, want) in [
        ([3, 1, 5, 4], [5, 4], 3, false, true),
        ([3, 1, 5, 4], [5, 4], 4, false, false),
        ([3, 1, 4, 5], [4, 5], 4, false, false),
        ([3, 4, 5, 5], [5, 5], 0, false, true),
        ([3, 5, 5, 5], [5, 5], 0, false, false),
        ([1, 1, 2, 16_384], [2, 16_384], 0, true, true),
        ([1, 1, 2, 16_385], [2, 16_384], 0, true, false),
        ([1, 1, 16_384, 2], [16_385, 2], 0, true, false),
        // 255 lines of 257 turns each are as many turns as a driver is trusted with.
        ([1, 1, 255, 256], [1, 1], 0, true, true),
        ([1, 1, 256, 256], [1, 1], 0, true, false),
        ([1, 1, 255, 257], [1, 1], 0, true, false),
    ] {
        let is_taken = gather(source, size, crop, resized);
        assert_eq!(
            is_taken, want,
            "{source:?} to {size:?}, crop {crop}, {resized}"
        );
    }
}

/// A gradient that is wanted through an op that has none.
#[test]
fn ops_without_a_gradient_are_named() {
    const NONE: &[&str] = &[
        "gather",
        "softmax",
        "log_softmax",
        "softmax_cross_entropy",
        "pooled_cross_entropy",
        "soft_target_cross_entropy",
        "mean_squared_error",
        "gradient_norm",
        "gate",
    ];
    let mut seen = std::collections::BTreeSet::new();
    for case in cases::tables::all() {
        for node in case.graph.nodes() {
            let name = node.op.name();
            let is_gradient = name.contains('.') && name != "batch_norm.eval";
            let Some(&y) = node.outputs.first() else {
                continue;
            };
            if !(is_gradient || NONE.contains(&name)) {
                continue;
            }
            let mut graph = case.graph.clone();
            let like = graph.value(y).shape;
            let dy = graph.add_value("dy", like, DType::F32, Role::Input);
            let result = autodiff::backward(&mut graph, y, dy);
            let named = matches!(result, Err(GraphError::NotDifferentiable(of)) if of == name);
            assert!(named, "{name}: {result:?}");
            seen.insert(name);
        }
    }
    assert!(NONE.iter().all(|name| seen.contains(name)), "{seen:?}");
}
