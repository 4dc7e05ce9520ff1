//! Many trainings at once in one process: each computes what it computes alone, and all of them end.

mod cases;

use std::sync::mpsc::channel;
use std::time::Duration;

use nin_wgpu::device::Device;
use nin_wgpu::gpu::Gpu;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Adam;
use nin_wgpu::program::{Program, Source};

/// Trainings at once.
const CROWD: u64 = 8;
const STEPS: u64 = 6;

/// Bits of the losses of some steps and of the parameters after them.
fn train(device: &Device, seed: u64) -> Vec<u32> {
    let model = Model::find("nin-small").expect("a preset");
    let (len, batch) = (16, 4);
    let source = Source::new(len, [1, 28, 28]);
    let program = Program::training(&source, [28, 28], batch, Adam::default(), |net, x| {
        model.build(net, x, 10)
    });
    let program = program.expect("builds");
    let mut run = program.load(device).expect("loads");
    let parameters = Init::Kaiming.parameters(program.graph(), seed);
    run.set_parameters(&parameters.expect("drawn"))
        .expect("fit");
    let pixels: Vec<u8> = (0..len * 28 * 28)
        .map(|i| ((i as u64 * (2 * seed + 7919)) % 251) as u8)
        .collect();
    let labels: Vec<u16> = (0..len as u16).map(|i| i % 10).collect();
    run.set_data(&pixels, &labels).expect("fit");
    let mut bits = Vec::new();
    for step in 1..=STEPS {
        let indices = [0, 1, 2, 3].map(|i| (i + 5 * step as u32) % len as u32);
        let metrics = run.train_step(&indices, 1e-3, step).expect("trains");
        bits.push((metrics.loss() as f32).to_bits());
    }
    for (_, tensor) in run.parameters().expect("read") {
        bits.extend(tensor.data.iter().map(|x| x.to_bits()));
    }
    bits
}

/// Has every training go on a thread of its own, on a device that `device` brings there, and compares with one after the other.
fn crowd(alone: &Device, device: impl Fn() -> Device + Send + Clone + 'static) {
    let want: Vec<_> = (0..CROWD).map(|seed| train(alone, seed)).collect();
    let (tell, told) = channel();
    let begin = |seed| {
        let (tell, device) = (tell.clone(), device.clone());
        std::thread::spawn(move || {
            let bits = train(&device(), seed);
            // Nobody hears it if another one failed before.
            let _ = tell.send((seed, bits));
        })
    };
    let threads: Vec<_> = (0..CROWD).map(begin).collect();
    drop(tell);
    for _ in 0..CROWD {
        // Not how fast it is, but that this test ends where they wait for each other.
        let ended = told.recv_timeout(Duration::from_secs(300));
        let (seed, got) = ended.expect("every training ends");
        assert!(got == want[seed as usize], "training {seed} differs");
    }
    for thread in threads {
        thread.join().expect("ends");
    }
}

#[test]
fn eight_trainings_at_once_on_the_cpu_compute_what_each_does_alone() {
    crowd(&Device::Cpu, || Device::Cpu);
}

#[test]
fn so_do_eight_that_share_a_gpu() {
    let Some(gpu) = cases::gpu() else { return };
    let shared = Device::Gpu(gpu.clone());
    crowd(&shared.clone(), move || shared.clone());
}

#[test]
fn and_eight_with_a_gpu_each() {
    let Some(gpu) = cases::gpu() else { return };
    crowd(&Device::Gpu(gpu.clone()), || {
        let wanted = cases::gpu().expect("it was there").description();
        let own = Gpu::open(&cases::adapters(), "adapter", |_, found| found == wanted);
        Device::Gpu(own.expect("opens"))
    });
}
