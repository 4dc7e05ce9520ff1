//! Gradients against finite differences, in `f64` on the reference.
//!
//! Each op sits between convolutions, so that its gradient is checked through the parameters before it.

mod cases;

use cases::{floats, integers, shape};
use nin_wgpu::autodiff;
use nin_wgpu::fuse::fuse;
use nin_wgpu::graph::{Graph, GraphBuilder, Phase, Role, ValueId};
use nin_wgpu::models::{MODELS, Model};
use nin_wgpu::ops::{
    Activation, Add, AvgPool2d, BatchNorm, BatchNormEval, Conv2d, GlobalAvgPool, Linear,
    LocalResponseNorm, Pool2d, Relu, SoftTargetCrossEntropy, SoftmaxCrossEntropy,
};
use nin_wgpu::reference::Reference;
use nin_wgpu::runtime::Runtime;
use nin_wgpu::shape::DType;

type Built = Result<ValueId, Box<dyn std::error::Error>>;

/// A network with loss and gradients, its data, and where to read the loss.
struct Check {
    run: Reference<f64>,
    metrics: ValueId,
}

impl Check {
    fn new(
        dims: [usize; 4],
        fused: bool,
        network: impl Fn(&mut GraphBuilder, ValueId) -> Built,
    ) -> Self {
        let mut net = GraphBuilder::new(Phase::Train);
        let x = net.input("images", &dims).expect("valid");
        let logits = network(&mut net, x).expect("the network builds");
        Self::of(net.finish(), x, logits, fused)
    }

    /// The same for a finished forward graph, from images `x` to `logits`.
    fn of(graph: Graph, x: ValueId, logits: ValueId, fused: bool) -> Self {
        Self::with_loss(graph, x, logits, fused, SoftmaxCrossEntropy::default())
    }

    /// The same with this loss.
    fn with_loss(
        mut graph: Graph,
        x: ValueId,
        logits: ValueId,
        fused: bool,
        loss: SoftmaxCrossEntropy,
    ) -> Self {
        let dims = graph.value(x).shape.dims().to_vec();
        let classes = graph.value(logits).shape.dims()[1];
        let labels = graph.add_value("labels", shape(&dims[..1]), DType::U32, Role::Input);
        let len = SoftmaxCrossEntropy::metrics_len(classes);
        let metrics = graph.add_value("metrics", shape(&[len]), DType::F32, Role::Accumulator);
        let dlogits = graph
            .push("loss", loss, &[logits, labels], &[metrics])
            .expect("fits")[0];
        autodiff::backward(&mut graph, logits, dlogits).expect("differentiable");
        if fused {
            fuse(&mut graph);
        }
        let mut run = Reference::<f64>::new(graph.clone());
        for (seed, id) in graph.parameters().enumerate() {
            let value = graph.value(id);
            // Positive biases keep most ReLUs alive, so that gradients reach every layer.
            let bias = value.shape.dims().len() == 1;
            let shift = if bias { 0.3 } else { 0.0 };
            let fan_in: usize = value.shape.dims()[1..].iter().product();
            let scale = if bias {
                0.1
            } else {
                1.7 / (fan_in as f64).sqrt()
            };
            let data: Vec<f64> = floats(value.shape.len(), seed as u32)
                .iter()
                .map(|&x| f64::from(x) * scale + shift)
                .collect();
            run.set_real(id, &data).expect("a float value");
        }
        run.write(x, floats(shape(&dims).len(), 99).as_slice().into())
            .expect("fits");
        run.write(
            labels,
            integers(dims[0], classes as u32, 5).as_slice().into(),
        )
        .expect("fits");
        if let Some(random) = graph.find("random") {
            run.write(random, [3u32, 4, 0].as_slice().into())
                .expect("fits");
        }
        Self { run, metrics }
    }

    fn graph(&self) -> Graph {
        self.run.graph().clone()
    }

    fn loss(&mut self) -> f64 {
        let zeros = vec![0.0; self.run.real(self.metrics).len()];
        self.run
            .set_real(self.metrics, &zeros)
            .expect("a float value");
        self.run.run().expect("runs");
        let sums = self.run.real(self.metrics);
        sums[0] / sums[sums.len() - 1]
    }

    /// Compares up to `samples` elements of every parameter's gradient with central differences.
    fn check(&mut self, name: &str, samples: usize) {
        const H: f64 = 1e-6;
        let graph = self.graph();
        self.loss();
        let gradients: Vec<_> = graph
            .gradients()
            .map(|(p, id)| (p, self.run.real(id).to_vec()))
            .collect();
        assert_eq!(gradients.len(), graph.parameters().count(), "{name}");
        for (parameter, gradient) in gradients {
            let label = &graph.value(parameter).name;
            let largest = gradient.iter().fold(0f64, |most, g| most.max(g.abs()));
            assert!(
                largest > 1e-6,
                "{name}: the gradient of {label} vanishes, so it tests nothing"
            );
            let values = self.run.real(parameter).to_vec();
            for i in (0..values.len()).step_by(values.len().div_ceil(samples)) {
                let mut at = |offset: f64| {
                    let mut moved = values.clone();
                    moved[i] += offset;
                    self.run.set_real(parameter, &moved).expect("a float value");
                    self.loss()
                };
                let want = (at(H) - at(-H)) / (2.0 * H);
                let off = (gradient[i] - want).abs();
                assert!(
                    off <= 1e-6 * largest.max(1e-2),
                    "{name}: gradient of {label}[{i}] is {}, finite difference {want}",
                    gradient[i]
                );
            }
            self.run
                .set_real(parameter, &values)
                .expect("a float value");
        }
    }
}

/// A convolution, the op under test, a convolution and the head.
fn check_op(name: &str, op: impl Fn(&mut GraphBuilder, ValueId) -> Built) {
    for fused in [false, true] {
        let mut check = Check::new([2, 3, 9, 8], fused, |net, x| {
            let x = net.conv2d("before", x, 4, Conv2d::new(3, 1, 1)?)?;
            let x = op(net, x)?;
            let x = net.conv2d("after", x, 5, Conv2d::new(1, 1, 0)?)?;
            Ok(net.global_avg_pool(x)?)
        });
        check.check(&format!("{name}, fused: {fused}"), 40);
    }
}

#[test]
fn linear_layers_have_the_gradient_of_their_finite_differences() {
    for fused in [false, true] {
        let mut check = Check::new([3, 2, 4, 3], fused, |net, x| {
            let x = net.conv2d("before", x, 3, Conv2d::new(3, 1, 1)?)?;
            let x = net.relu(x)?;
            let x = net.flatten(x)?;
            let x = net.linear("first", x, 11)?;
            let x = net.relu(x)?;
            let x = net.linear_by("second", x, 7, Linear::default().without_bias())?;
            Ok(net.linear("logits", x, 5)?)
        });
        check.check(&format!("linear, fused: {fused}"), 40);
    }
}

#[test]
fn the_loss_with_smoothing_and_class_weights_has_the_gradient_of_its_finite_differences() {
    let plain = SoftmaxCrossEntropy::default();
    let weights = vec![0.2, 1.0, 3.0, 0.5, 2.0];
    let smooth = plain.clone().with_label_smoothing(0.2).expect("in range");
    let weighted = plain.with_class_weights(weights.clone()).expect("weights");
    let both = smooth.clone().with_class_weights(weights).expect("weights");
    for loss in [smooth, weighted, both] {
        for fused in [false, true] {
            let mut net = GraphBuilder::new(Phase::Train);
            let x = net.input("images", &[4, 3, 6, 5]).expect("valid");
            let conv = Conv2d::new(3, 1, 1).expect("valid");
            let y = net.conv2d("conv", x, 5, conv).expect("fits");
            let logits = net.global_avg_pool(y).expect("fits");
            let mut check = Check::with_loss(net.finish(), x, logits, fused, loss.clone());
            check.check(&format!("{loss:?}, fused: {fused}"), 40);
        }
    }
}

#[test]
fn conv2d_has_the_gradient_of_its_finite_differences() {
    for (filter, stride, pad) in [(1, 1, 0), (3, 1, 1), (3, 2, 0), (5, 3, 2), (4, 4, 3)] {
        check_op(
            &format!("conv2d {filter} stride {stride} pad {pad}"),
            |net, x| Ok(net.conv2d("tested", x, 6, Conv2d::new(filter, stride, pad)?)?),
        );
    }
}

#[test]
fn conv2d_of_any_kind_has_the_gradient_of_its_finite_differences() {
    check_op("rectangular, dilated, padded apart", |net, x| {
        let conv = Conv2d::rectangular([3, 2], [2, 1])?.with_dilation([2, 3])?;
        let conv = conv.with_paddings([[2, 0], [1, 3]])?;
        Ok(net.conv2d("tested", x, 6, conv)?)
    });
    check_op("in groups", |net, x| {
        let conv = Conv2d::rectangular([2, 3], [1, 2])?.with_groups(2)?;
        Ok(net.conv2d("tested", x, 6, conv.with_padding([0, 1])?)?)
    });
    for (filters, stride) in [(4, 1), (8, 2)] {
        check_op("depthwise", |net, x| {
            let conv = Conv2d::new(3, stride, 1)?.with_groups(4)?.without_bias();
            let x = net.conv2d("tested", x, filters, conv)?;
            Ok(net.relu(x)?)
        });
    }
}

#[test]
fn conv2d_without_bias_has_the_gradient_of_its_finite_differences() {
    check_op("conv2d without bias", |net, x| {
        let conv = Conv2d::new(3, 2, 1)?.without_bias();
        let x = net.conv2d("tested", x, 6, conv)?;
        assert!(net.graph().find("tested.bias").is_none());
        Ok(net.relu(x)?)
    });
}

#[test]
fn relu_has_the_gradient_of_its_finite_differences() {
    check_op("relu", |net, x| Ok(net.relu(x)?));
}

#[test]
fn activations_have_the_gradient_of_their_finite_differences() {
    for activation in Activation::ALL {
        check_op(&format!("{activation:?}"), |net, x| {
            Ok(net.activation(x, activation)?)
        });
    }
}

#[test]
fn max_pool2d_has_the_gradient_of_its_finite_differences() {
    for (window, stride, pad) in [(3, 2, 0), (2, 2, 1), (2, 3, 0)] {
        check_op(
            &format!("max_pool2d {window} stride {stride} pad {pad}"),
            |net, x| {
                let x = net.relu(x)?;
                Ok(net.max_pool2d(x, Pool2d::new(window, stride)?.with_pad(pad)?)?)
            },
        );
    }
}

#[test]
fn pools_of_any_window_have_the_gradient_of_their_finite_differences() {
    let pool = || Pool2d::rectangular([3, 2], [2, 3]).and_then(|pool| pool.with_padding([1, 0]));
    check_op("max_pool2d 3x2, dilated", |net, x| {
        let x = net.relu(x)?;
        let pool = Pool2d::rectangular([3, 2], [2, 3])?.with_dilation([2, 3])?;
        Ok(net.max_pool2d(x, pool.with_padding([1, 1])?.with_ceil_mode())?)
    });
    check_op("avg_pool2d 3x2", |net, x| Ok(net.avg_pool2d(x, pool()?)?));
    check_op("avg_pool2d 3x2, in ceil mode", |net, x| {
        let x = net.relu(x)?;
        let op = AvgPool2d::new(pool()?.with_ceil_mode());
        Ok(net.avg_pool2d_by(x, op.without_padding_in_count())?)
    });
    let apart = || pool()?.with_paddings([[2, 0], [0, 1]]);
    check_op("max_pool2d 3x2, padded apart", |net, x| {
        Ok(net.max_pool2d(x, apart()?.with_ceil_mode())?)
    });
    check_op("avg_pool2d 3x2, dilated, padded apart", |net, x| {
        let op = AvgPool2d::new(apart()?.with_dilation([2, 3])?);
        Ok(net.avg_pool2d_by(x, op.with_divisor(5)?)?)
    });
}

/// Behind a ReLU, since a bias before it moves nothing.
#[test]
fn batch_norm_has_the_gradient_of_its_finite_differences() {
    check_op("batch_norm", |net, x| {
        let x = net.relu(x)?;
        Ok(net.batch_norm("tested", x)?)
    });
    check_op("batch_norm, ReLU", |net, x| {
        let x = net.relu(x)?;
        let x = net.batch_norm("tested", x)?;
        Ok(net.relu(x)?)
    });
    for swapped in [false, true] {
        let name = format!("batch_norm, shortcut, ReLU, swapped: {swapped}");
        check_op(&name, |net, x| {
            let x = net.relu(x)?;
            let y = net.conv2d("block", x, 4, Conv2d::new(3, 1, 1)?.without_bias())?;
            let y = net.batch_norm("tested", y)?;
            let [a, b] = if swapped { [x, y] } else { [y, x] };
            let y = net.add(a, b)?;
            Ok(net.relu(y)?)
        });
    }
}

#[test]
fn batch_norm_by_running_statistics_has_the_gradient_of_its_finite_differences() {
    for fused in [false, true] {
        let mut net = GraphBuilder::new(Phase::Train);
        let x = net.input("images", &[2, 3, 9, 8]).expect("valid");
        let conv = Conv2d::new(3, 1, 1).expect("valid");
        let y = net.conv2d("before", x, 4, conv).expect("fits");
        let y = net.relu(y).expect("fits");
        let mut graph = net.finish();
        let mut add = |name, role| graph.add_value(name, shape(&[4]), DType::F32, role);
        let [weight, bias] = ["weight", "bias"].map(|name| add(name, Role::Parameter));
        let [mean, var] = ["mean", "var"].map(|name| add(name, Role::Statistic));
        let norm = BatchNormEval::from(BatchNorm::default());
        let inputs = [y, weight, bias, mean, var];
        let y = graph.push("tested", norm, &inputs, &[]).expect("fits")[0];
        let y = graph.push("tested", Relu, &[y], &[]).expect("fits")[0];
        let logits = graph.push("pool", GlobalAvgPool::default(), &[y], &[]);
        let logits = logits.expect("fits")[0];
        let mut check = Check::of(graph, x, logits, fused);
        check
            .run
            .set_real(mean, &[0.1, -0.2, 0.3, 0.0])
            .expect("a float value");
        check
            .run
            .set_real(var, &[0.5, 1.0, 2.0, 0.7])
            .expect("a float value");
        check.check(&format!("batch_norm.eval, fused: {fused}"), 40);
    }
}

#[test]
fn the_loss_against_probabilities_has_the_gradient_of_its_finite_differences() {
    const H: f64 = 1e-5;
    let loss = SoftmaxCrossEntropy::default().with_label_smoothing(0.2);
    let weights = vec![0.2, 1.0, 3.0, -0.5, 2.0];
    let loss = loss.expect("in range").with_class_weights(weights);
    let op = SoftTargetCrossEntropy::new(loss.expect("weights"));
    let mut graph = Graph::default();
    let mut add = |name, dims: &[usize], role| graph.add_value(name, shape(dims), DType::F32, role);
    let [x, targets] = ["x", "targets"].map(|name| add(name, &[4, 5], Role::Input));
    let weights = add("weights", &[4], Role::Input);
    let metrics = add("metrics", &[9], Role::Accumulator);
    let dx = graph
        .push("loss", op, &[x, targets, weights], &[metrics])
        .expect("fits")[0];
    graph.keep(dx);
    let mut run = Reference::<f64>::new(graph);
    let of = |seed| floats(20, seed).into_iter().map(f64::from);
    let logits: Vec<f64> = of(1).collect();
    run.set_real(targets, &of(2).map(f64::abs).collect::<Vec<_>>())
        .expect("a float value");
    run.set_real(weights, &[1.0, 0.0, 2.0, 0.5])
        .expect("a float value");
    let mut at = |logits: &[f64]| {
        run.set_real(x, logits).expect("a float value");
        run.set_real(metrics, &[0.0; 9]).expect("a float value");
        run.run().expect("runs");
        let sums = run.real(metrics);
        (sums[0] / sums[8], run.real(dx).to_vec())
    };
    let (_, gradient) = at(&logits);
    for i in 0..20 {
        let mut moved = |by| {
            let mut logits = logits.clone();
            logits[i] += by;
            at(&logits).0
        };
        let want = (moved(H) - moved(-H)) / (2.0 * H);
        assert!(
            (gradient[i] - want).abs() < 1e-9,
            "{i}: {} {want}",
            gradient[i]
        );
        assert_eq!(gradient[i] == 0.0, i / 5 == 1, "row 1 counts for nothing");
    }
}

#[test]
fn local_response_norm_has_the_gradient_of_its_finite_differences() {
    for size in [3, 4] {
        check_op(&format!("local_response_norm {size}"), |net, x| {
            let x = net.relu(x)?;
            let norm = LocalResponseNorm::new(size)?.with_constants(0.8, 0.75, 1.5)?;
            Ok(net.local_response_norm(x, norm)?)
        });
    }
}

#[test]
fn dropout_has_the_gradient_of_its_finite_differences() {
    check_op("dropout", |net, x| Ok(net.dropout(x, 0.5)?));
}

#[test]
fn the_head_has_the_gradient_of_its_finite_differences_behind_a_relu() {
    for fused in [false, true] {
        let mut check = Check::new([3, 2, 5, 5], fused, |net, x| {
            let x = net.conv2d("only", x, 7, Conv2d::new(3, 1, 0)?)?;
            let x = net.relu(x)?;
            Ok(net.global_avg_pool(x)?)
        });
        check.check(&format!("head, fused: {fused}"), 100);
    }
}

#[test]
fn networks_that_branch_and_join_have_the_gradients_of_their_finite_differences() {
    for (name, network) in cases::branches::NETWORKS {
        for fused in [false, true] {
            let mut check = Check::new([2, 3, 9, 8], fused, |net, x| Ok(network(net, x)?));
            check.check(&format!("{name}, fused: {fused}"), 12);
        }
    }
}

/// A convolution three times over, with the same filters and biases.
#[test]
fn a_parameter_used_twice_has_the_sum_of_its_gradients() {
    for fused in [false, true] {
        let mut net = GraphBuilder::new(Phase::Train);
        let x = net.input("images", &[2, 3, 9, 8]).expect("valid");
        let conv = Conv2d::new(3, 1, 1).expect("valid");
        let y = net.conv2d("shared", x, 3, conv).expect("fits");
        let y = net.relu(y).expect("fits");
        let again = |net: &mut GraphBuilder, y| net.sharing(|net| net.conv2d("shared", y, 3, conv));
        let y = again(&mut net, y).expect("is there");
        let y = again(&mut net, y).expect("is there");
        let logits = net.global_avg_pool(y).expect("fits");
        let graph = net.finish();
        assert_eq!(graph.parameters().count(), 2);
        Check::of(graph, x, logits, fused).check(&format!("shared, fused: {fused}"), 30);
    }
}

/// Both parameters, and what else is added, have one and the same gradient; each needs a place of its own.
#[test]
fn parameters_that_are_added_have_a_gradient_each() {
    let mut net = GraphBuilder::new(Phase::Train);
    let x = net.input("images", &[2, 3, 9, 8]).expect("valid");
    let conv = Conv2d::new(3, 1, 1).expect("valid");
    let mut graph = net.finish();
    let mut parameter =
        |name, dims: &[usize]| graph.add_value(name, shape(dims), DType::F32, Role::Parameter);
    let [w1, w2] = ["w1", "w2"].map(|name| parameter(name, &[3, 3, 3, 3]));
    let b = parameter("b", &[3]);
    let w = graph
        .push("sum", Add::default(), &[w1, w2], &[])
        .expect("fits")[0];
    let y = graph.push("sum", conv, &[x, w, b], &[]).expect("fits")[0];
    let logits = graph.push("pool", GlobalAvgPool::default(), &[y], &[]);
    let logits = logits.expect("fits")[0];
    Check::of(graph, x, logits, true).check("sum of parameters", 30);
}

#[test]
fn a_whole_small_network_has_the_gradient_of_its_finite_differences() {
    let small = &MODELS[2];
    assert_eq!(small.name, "nin-small");
    let build =
        |model: &'static Model| move |net: &mut GraphBuilder, x| Ok(model.build(net, x, 4)?);
    Check::new([2, 1, 28, 28], true, build(small)).check("nin-small", 6);
}
