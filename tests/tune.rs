//! The tuner: it tries every algorithm on the adapter, and what it chooses computes what the reference computes.

mod cases;

use cases::{assert_agreement, gpu, of_graph, on_reference, results, write};
use nin_wgpu::gpu::{Executor, Gpu, Tune};
use nin_wgpu::models::Model;
use nin_wgpu::ops::{Adam, Conv2d};
use nin_wgpu::plan::{Conv2dAlgorithm, Plan};
use nin_wgpu::program::{Program, Source};
use nin_wgpu::runtime::Runtime;
use nin_wgpu::train::Speeds;

#[test]
fn every_algorithm_is_tried_and_the_fastest_right_one_serves() {
    let Some(gpu) = gpu() else { return };
    let model = Model::find("nin-small").expect("exists");
    let build = |net: &mut _, x| model.build(net, x, 10);
    let source = Source::new(2, [1, 28, 28]);
    let program = Program::training(&source, [28, 28], 2, Adam::default(), build).expect("builds");
    let cache = tempfile::tempdir().expect("a folder");
    gpu.set_tune_cache(cache.path());
    gpu.set_tune(Tune::Full);
    let options = gpu
        .tuned_options(program.graph())
        .expect("the device stays");
    let trials = gpu.trials().0;

    let graph = program.graph();
    let mut computations: Vec<_> = graph
        .nodes()
        .iter()
        .filter_map(|node| Conv2d::of_node(graph, node))
        .collect();
    computations.dedup();
    assert!(computations.len() > 6, "{}", computations.len());
    for (direction, geometry) in computations {
        let tried: Vec<_> = trials
            .iter()
            .filter(|trial| (trial.direction, trial.geometry) == (direction, geometry))
            .collect();
        let algorithms: Vec<_> = tried.iter().map(|trial| trial.algorithm).collect();
        let mut wanted = Conv2dAlgorithm::available(options.limits)[1..].to_vec();
        wanted.retain(|algorithm| algorithm.serves(&geometry));
        assert_eq!(algorithms, wanted, "{direction} of {geometry}");
        let seconds = |trial: &&nin_wgpu::gpu::Trial| {
            trial
                .seconds
                .clone()
                .expect("every algorithm is right here")
        };
        let fastest = tried.iter().map(seconds).fold(f64::INFINITY, f64::min);
        let chosen = options.conv2d.of(direction, &geometry, options.limits);
        let chosen = tried
            .iter()
            .find(|trial| trial.algorithm == chosen)
            .expect("was tried");
        assert_eq!(seconds(chosen), fastest, "{direction} of {geometry}");
    }

    for case in of_graph("nin-small", program.graph()) {
        let plan = Plan::new(case.graph.clone(), &options).expect("fits");
        let mut executor = Executor::new(gpu, plan).expect("loads");
        write(&mut executor, &case);
        executor.run().expect("runs");
        let got = results(&mut executor, &case);
        assert_agreement(&case, "the tuned plan", &got, &on_reference::<f64>(&case));
    }
}

#[test]
fn speeds_of_gpu_and_cpu_are_measured_once_and_kept() {
    let Some(gpu) = gpu() else { return };
    let cache = tempfile::tempdir().expect("a folder");
    let speeds = || Speeds::known_or_measured(gpu, Some(cache.path())).expect("both train");
    let measured = speeds();
    assert!(measured.gpu > 0.0 && measured.cpu > 0.0, "{measured:?}");
    assert_eq!(measured.cpu_is_faster(), measured.cpu < measured.gpu);
    assert_eq!(speeds(), measured, "nothing is measured twice");

    let mut files = std::fs::read_dir(Gpu::tune_dir(cache.path())).expect("it was made");
    let file = files.next().expect("one file").expect("readable").path();
    assert!(files.next().is_none(), "the kernels' choice is left alone");
    std::fs::write(&file, "{\"gpu\": 2.5, \"cpu\": 1e3}").expect("written");
    let kept = speeds();
    assert_eq!(kept, Speeds { gpu: 2.5, cpu: 1e3 });
    assert!(!kept.cpu_is_faster());
    std::fs::write(&file, "{\"gpu\": 2.5, ").expect("written");
    assert_ne!(speeds(), kept, "a damaged file counts as nothing known");
}
