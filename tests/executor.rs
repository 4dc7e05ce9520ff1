//! What a step costs the device besides its kernels: one submit, and no object created.

mod cases;

use nin_wgpu::device::Device;
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
