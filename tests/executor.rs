//! What a step costs the device besides its kernels: one submit unless it takes long, and no object created.

mod cases;

use std::path::Path;
use std::time::Duration;

use nin_wgpu::device::Device;
use nin_wgpu::gpu::Gpu;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::program::{Program, Run, Source};

fn run(device: &Device) -> Run {
    let model = Model::find("nin-small").expect("exists");
    let source = Source::new(8, [1, 28, 28]);
    let program = Program::training(&source, [28, 28], 4, Adam::default(), |net, x| {
        model.build(net, x, 10)
    })
    .expect("builds");
    let mut run = program.load(device).expect("loads");
    run.set_data(&[7; 8 * 28 * 28], &[1; 8]).expect("fits");
    run.set_parameters(
        &Init::Kaiming
            .parameters(program.graph(), 1)
            .expect("initialises"),
    )
    .expect("fits");
    run
}

#[test]
fn a_step_is_one_pass_and_one_submit_and_creates_nothing() {
    let Some(gpu) = cases::gpu() else { return };
    gpu.set_longest_submission(Duration::MAX);
    let mut run = run(&Device::Gpu(gpu.clone()));
    let step = |run: &mut Run, n: u64| {
        run.train_step(&[0, 1, 2, 3], 1e-3, n).expect("runs");
    };
    for n in 1..=2 {
        step(&mut run, n);
    }
    let (work, objects) = (gpu.work(), gpu.objects());
    assert!(
        objects.pipelines > 10 && objects.bind_groups > 20,
        "the counters count: {objects:?}"
    );
    const STEPS: u64 = 5;
    for n in 3..3 + STEPS {
        step(&mut run, n);
    }
    assert_eq!(gpu.work().passes - work.passes, STEPS);
    assert_eq!(gpu.work().submits - work.submits, STEPS);
    assert_eq!(gpu.objects(), objects);
    assert_eq!(run.completed(), 2 + STEPS);
}

#[test]
fn a_run_in_many_submissions_computes_what_it_does_in_one() {
    let Some(shared) = cases::gpu() else { return };
    // One of its own: the other one's runs are one submission each.
    let gpu = Gpu::open(&cases::adapters(), "adapter", |_, found| {
        found == shared.description()
    });
    let gpu = gpu.expect("opens");
    let parameters = [Duration::MAX, Duration::ZERO].map(|longest| {
        gpu.set_longest_submission(longest);
        let before = gpu.work().submits;
        let mut run = run(&Device::Gpu(gpu.clone()));
        for n in 1..=3 {
            run.train_step(&[0, 1, 2, 3], 1e-3, n).expect("runs");
        }
        let submits = gpu.work().submits - before;
        match longest {
            Duration::MAX => assert_eq!(submits, 3),
            _ => assert!(submits > 3 * 10, "{submits} submissions"),
        }
        run.parameters().expect("reads")
    });
    assert_eq!(parameters[0], parameters[1]);
}

#[test]
fn an_inference_follows_parameters_that_are_written_between_its_runs() {
    let Some(shared) = cases::gpu() else { return };
    // One of its own: the work of the shared one is counted.
    let gpu = Gpu::open(&cases::adapters(), "adapter", |_, found| {
        found == shared.description()
    });
    let gpu = gpu.expect("opens");
    let model = Model::find("nin-small").expect("exists");
    let source = Source::new(4, [1, 28, 28]);
    let build = |net: &mut _, x| model.build(net, x, 10);
    let program = Program::inference(&source, [28, 28], 4, build).expect("builds");
    let pixels: Vec<u8> = (0..4 * 28 * 28).map(|i| (i * 7919 % 251) as u8).collect();
    let mut runs = [Device::Gpu(gpu), Device::Cpu].map(|device| {
        let mut run = program.load(&device).expect("loads");
        run.set_data(&pixels, &[1; 4]).expect("fits");
        run
    });
    for seed in [1, 2, 1] {
        let parameters = Init::Kaiming.parameters(program.graph(), seed);
        let parameters = parameters.expect("initialises");
        // The second run of each reads what the first kept.
        let [got, want] = runs.each_mut().map(|run| {
            run.set_parameters(&parameters).expect("fits");
            let twice = [(); 2].map(|()| run.probabilities(&[0, 1, 2, 3]).expect("runs"));
            assert_eq!(twice[0], twice[1]);
            run.logits().expect("kept").data
        });
        for (got, want) in got.iter().zip(&want) {
            assert!(
                (got - want).abs() < 1e-3,
                "seed {seed}: {got}, expected {want}"
            );
        }
    }
}

#[test]
fn compiled_kernels_that_are_kept_damaged_or_foreign_change_no_bit() {
    let Some(shared) = cases::gpu() else { return };
    let losses = |folder: Option<&Path>| {
        let gpu = Gpu::open(&cases::adapters(), "adapter", |_, found| {
            found == shared.description()
        });
        let gpu = gpu.expect("opens");
        let offered = folder.is_some_and(|folder| gpu.set_pipeline_cache(folder));
        let mut run = run(&Device::Gpu(gpu));
        let steps = (1..=3).map(|n| run.train_step(&[0, 1, 2, 3], 1e-3, n));
        let losses: Vec<_> = steps.map(|metrics| metrics.expect("runs").loss()).collect();
        (losses, offered)
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (expected, _) = losses(None);
    let (cold, offered) = losses(Some(folder.path()));
    assert_eq!(cold, expected);
    let kept = folder.path().join("nin-wgpu/pipelines");
    assert_eq!(kept.exists(), offered);
    if !offered {
        return;
    }
    let file = kept.read_dir().expect("readable").next();
    let file = file.expect("one").expect("readable").path();
    let whole = std::fs::read(&file).expect("readable");
    let damaged = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        bytes
    };
    let files = [
        whole.clone(),
        damaged(0),
        damaged(whole.len() - 1),
        whole[..whole.len() / 2].to_vec(),
        Vec::new(),
        b"of another driver".repeat(100),
    ];
    for (i, bytes) in files.iter().enumerate() {
        std::fs::write(&file, bytes).expect("writable");
        let (warm, _) = losses(Some(folder.path()));
        assert_eq!(warm, expected, "file {i}");
        let replaced = std::fs::read(&file).expect("readable");
        assert!(replaced.len() >= whole.len(), "file {i} is made whole");
    }
    // Nor does a folder that cannot be made.
    let (unkept, _) = losses(Some(&file.join("folder")));
    assert_eq!(unkept, expected);
}
