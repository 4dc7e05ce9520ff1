//! LeNet, AlexNet, VGG-11 and ResNet-18 against PyTorch: logits, every gradient, ten steps, and evaluation behind them.
//!
//! `fixtures/models.py` wrote the values in `f64`, and beside them how far PyTorch's own `f32` lies from them.

mod cases;

use std::collections::{BTreeMap, HashSet};

use cases::fixture::{Fixture, devices, difference, widen};
use nin_wgpu::device::Device;
use nin_wgpu::graph::{GraphBuilder, Phase};
use nin_wgpu::models::{Form, MODELS, Model};
use nin_wgpu::ops::Sgd;
use nin_wgpu::program::{Parameters, Program, Run, Source};
use nin_wgpu::shape::Shape;
use nin_wgpu::tensor::Tensor;

const CLASSES: usize = 10;
const STEPS: u64 = 10;

/// The model that a fixture's metadata name, `vgg11 0.03125 batch_norm` say, without dropout.
fn model(fixture: &Fixture, name: &str) -> Model {
    let words: Vec<&str> = fixture.metadata[&format!("{name}.model")]
        .split(' ')
        .collect();
    let model = Model::find(words[0]).expect("a preset");
    let form = Form {
        width: words[1].parse().expect("a number"),
        batch_norm: model.form.batch_norm || words.get(2) == Some(&"batch_norm"),
        dropout: Some(0.0),
    };
    model.with_form(form).expect("a form of it")
}

/// The tensors whose names begin with `prefix`, without it.
fn tensors(fixture: &Fixture, prefix: &str) -> Parameters {
    let of = fixture.tensors.iter().filter_map(|(name, (dims, data))| {
        let tensor = Tensor {
            shape: Shape::new(dims).ok()?,
            data: data.iter().map(|&x| x as f32).collect(),
        };
        Some((name.strip_prefix(prefix)?.to_owned(), tensor))
    });
    of.collect()
}

fn load(fixture: &Fixture, name: &str, device: &Device, program: &Program) -> Run {
    let mut run = program.load(device).expect("loads");
    let labels = fixture.bytes(&format!("{name}.labels"));
    let labels: Vec<u16> = labels.into_iter().map(u16::from).collect();
    run.set_data(&fixture.bytes(&format!("{name}.images_u8")), &labels)
        .expect("fits");
    run
}

/// Asserts that the values lie within `factor` times PyTorch's own error of its own.
fn assert_near(what: &str, got: &[f32], want: &[f64], allowed: f64) {
    let (off, most) = difference(&widen(got), want);
    assert!(
        off <= allowed * most,
        "{what} is off by {:e} of the largest, {most:e}; allowed is {allowed:e}",
        off / most
    );
}

fn follows_pytorch(name: &str) {
    let fixture = Fixture::load("models.safetensors");
    let own = |what: &str| -> f64 {
        let value = &fixture.metadata[&format!("{name}.f32_vs_f64.{what}")];
        value.parse().expect("a number")
    };
    let &[batches, batch, c, h, w] = fixture.dims(&format!("{name}.images_u8")) else {
        panic!("five dimensions")
    };
    let model = model(&fixture, name);
    let source = Source::new(batches * batch, [c, h, w]);
    let sgd = Sgd {
        momentum: 0.9,
        ..Sgd::default()
    };
    let network = |net: &mut GraphBuilder, x| model.build(net, x, CLASSES);
    let program = Program::training(&source, [h, w], batch, sgd, network).expect("builds");
    let inference = Program::inference(&source, [h, w], batch, network).expect("builds");
    let init = tensors(&fixture, &format!("{name}.init."));
    for device in devices() {
        let of = |what: &str| format!("{name} on {device}: {what}");
        let mut run = load(&fixture, name, &device, &program);
        run.set_parameters(&init).expect("fits");
        let losses = fixture.get(&format!("{name}.losses"));
        for (step, &want) in (1..=STEPS).zip(losses) {
            let first = ((step - 1) as usize % batches * batch) as u32;
            let indices: Vec<u32> = (first..first + batch as u32).collect();
            let loss = run.train_step(&indices, 0.002, step).expect("runs").loss();
            let allowed = 2e-6 + 10.0 * own("losses");
            assert!(
                (loss - want).abs() <= allowed * want,
                "{}: {loss}, expected {want}",
                of("loss")
            );
            if step == 1 {
                let logits = run.logits().expect("readable").data;
                let want = fixture.get(&format!("{name}.logits"));
                assert_near(&of("logits"), &logits, want, 2e-6 + 10.0 * own("logits"));
                let gradients = run.gradients().expect("readable");
                let all = tensors(&fixture, &format!("{name}.grad."));
                assert_eq!(gradients.len(), all.len());
                for (parameter, tensor) in gradients {
                    let want = fixture.get(&format!("{name}.grad.{parameter}"));
                    // In front of batch norm a bias has no gradient but rounding.
                    if want.iter().any(|x| x.abs() > 1e-6) {
                        let allowed = 1e-5 + 10.0 * own("grads");
                        assert_near(&of(&parameter), &tensor.data, want, allowed);
                    }
                }
            }
        }
        let trained = run.parameters().expect("readable");
        assert_eq!(trained.len(), init.len());
        for (parameter, tensor) in &trained {
            let want = fixture.get(&format!("{name}.final.{parameter}"));
            let allowed = 1e-5 + 10.0 * own("final");
            assert_near(&of(parameter), &tensor.data, want, allowed);
        }
        let mut run = load(&fixture, name, &device, &inference);
        run.set_parameters(&trained).expect("fits");
        let indices: Vec<u32> = (0..batch as u32).collect();
        run.probabilities(&indices).expect("runs");
        let want = fixture.get(&format!("{name}.evaluated"));
        let logits = run.logits().expect("readable").data;
        assert_near(
            &of("evaluation"),
            &logits,
            want,
            1e-5 + 10.0 * own("evaluated"),
        );
    }
}

#[test]
fn lenet_follows_pytorch() {
    follows_pytorch("lenet");
}

#[test]
fn alexnet_follows_pytorch() {
    follows_pytorch("alexnet");
}

#[test]
fn vgg11_follows_pytorch() {
    follows_pytorch("vgg11");
}

#[test]
fn vgg11_with_batch_norm_follows_pytorch() {
    follows_pytorch("vgg11_bn");
}

#[test]
fn resnet18_follows_pytorch() {
    follows_pytorch("resnet18");
}

#[test]
fn resnet18_for_small_pictures_follows_pytorch() {
    follows_pytorch("resnet18_small");
}

#[test]
fn parameters_are_named_and_shaped_as_torchvisions() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/torchvision.json"
    );
    let text = std::fs::read_to_string(path).expect("the fixture is committed");
    let networks: BTreeMap<String, BTreeMap<String, Vec<usize>>> =
        serde_json::from_str(&text).expect("JSON");
    assert_eq!(networks.len(), 4);
    for (name, want) in networks {
        let model = Model::find(name.trim_end_matches("_bn")).expect("a preset");
        let form = if name.ends_with("_bn") {
            Form::NORMED
        } else {
            model.form
        };
        let model = model.with_form(form).expect("a form of it");
        let mut net = GraphBuilder::new(Phase::Train);
        let x = net.input("images", &[2, 3, 224, 224]).expect("valid");
        model.build(&mut net, x, 1000).expect("builds");
        let graph = net.finish();
        let got: BTreeMap<String, Vec<usize>> = graph
            .state()
            .map(|id| graph.value(id))
            .map(|value| (value.name.clone(), value.shape.dims().to_vec()))
            .collect();
        let counters = |name: &String, _: &mut Vec<usize>| !name.ends_with("num_batches_tracked");
        let mut want = want;
        want.retain(counters);
        assert_eq!(got, want, "{name}");
    }
}

#[test]
fn every_preset_has_a_name_of_its_own_and_scales() {
    let names: HashSet<&str> = MODELS.iter().map(|model| model.name).collect();
    assert_eq!(names.len(), MODELS.len());
    for model in MODELS {
        for batch_norm in [model.form.batch_norm, true] {
            let form = Form {
                width: 0.01,
                batch_norm,
                dropout: None,
            };
            let model = model.with_form(form).expect("a form of it");
            let [height, width] = model.native_size;
            let mut net = GraphBuilder::new(Phase::Train);
            let x = net.input("images", &[2, 1, height, width]).expect("valid");
            let logits = model.build(&mut net, x, 7).expect("builds");
            assert_eq!(
                net.graph().value(logits).shape.dims(),
                [2, 7],
                "{}",
                model.name
            );
        }
        for width in [0.0, -1.0, f64::NAN] {
            let form = Form {
                width,
                ..model.form
            };
            assert!(model.with_form(form).is_err());
        }
    }
}
