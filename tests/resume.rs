//! Stopping and going on: a run in two parts equals a run in one, bit for bit.

mod cases;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::data::Split;
use nin_wgpu::data::synthetic::Synthetic;
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Augment;
use nin_wgpu::program::Parameters;
use nin_wgpu::train::{
    Event, Resumed, RunFolder, Schedule, TrainOptions, Trainer, training_program,
};

fn devices() -> Vec<Device> {
    let gpu = cases::gpu().map(|gpu| Device::Gpu(gpu.clone()));
    std::iter::once(Device::Cpu).chain(gpu).collect()
}

fn metadata(model: &Model, split: &Split) -> Metadata {
    Metadata::new(model, &split.train, vec![(0.0, 1.0)], 1)
}

/// Starts or resumes the run in `folder`, stops after `until` steps, and returns the parameters.
fn run_until(
    device: &Device,
    model: &Model,
    split: &Split,
    folder: &Path,
    epochs: u64,
    until: u64,
) -> Parameters {
    let options = TrainOptions {
        batch_size: 4,
        epochs,
        // All that draws on the step goes on too: the schedule and the random changes.
        schedule: Schedule::Cosine,
        augment: Augment {
            crop: 1,
            flip: true,
        },
        log_every: 3,
        max_steps: Some(until),
        ..TrainOptions::default()
    };
    let (mut folder, parameters, resumed) = if folder.join("resume.safetensors").exists() {
        let (folder, resumed) = RunFolder::resume(folder).expect("readable");
        (folder, resumed.parameters.clone(), Some(resumed))
    } else {
        let program = training_program(model, &split.train.outline(), &options).expect("builds");
        let parameters = Init::Kaiming
            .parameters(program.graph(), 1)
            .expect("initialises");
        let folder = RunFolder::create(folder, &"test", metadata(model, split)).expect("writable");
        (folder, parameters, None)
    };
    let mut trainer = Trainer::new(device, model, split, &parameters, options).expect("loads");
    if let Some(Resumed {
        metadata,
        moments,
        state,
        ..
    }) = &resumed
    {
        trainer.resume(metadata.step, moments, state).expect("fits");
    }
    let mut last = Parameters::new();
    trainer
        .run(|event| {
            folder.record(&event)?;
            if let Event::Checkpoint { parameters, .. } = event {
                last = parameters.clone();
            }
            Ok(())
        })
        .expect("trains");
    last
}

#[test]
fn a_run_in_three_parts_equals_a_run_in_one_bit_for_bit() {
    // 5 steps an epoch: the parts end within the first, at the end of the second, and within the third.
    let split = Synthetic {
        shape: [1, 14, 14],
        train: 22,
        test: 8,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid");
    // With dropout, whose random numbers must go on too, and without.
    for name in ["nin-paper", "nin-small"] {
        let model = Model::find(name).expect("exists");
        for device in devices() {
            let [one, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
            let whole = run_until(&device, model, &split, one.path(), 3, 12);
            for until in [3, 10] {
                run_until(&device, model, &split, parts.path(), 3, until);
            }
            let resumed = run_until(&device, model, &split, parts.path(), 3, 12);
            assert_eq!(whole.len(), 18);
            assert!(whole == resumed, "{name} on {device} differs");
            let read = |folder: &Path| {
                let text = std::fs::read_to_string(folder.join("metrics.jsonl")).expect("written");
                let mut epochs = text
                    .lines()
                    .filter(|line| line.contains(r#""kind":"epoch","epoch":2"#));
                let line = epochs
                    .next_back()
                    .expect("the second epoch ended")
                    .to_owned();
                line.split(",\"seconds\"")
                    .next()
                    .expect("a line")
                    .to_owned()
            };
            assert_eq!(
                read(one.path()),
                read(parts.path()),
                "the means of the second epoch, {device}"
            );
        }
    }
}

#[test]
fn two_hundred_steps_equal_a_hundred_and_a_hundred_more() {
    let split = Synthetic {
        shape: [1, 14, 14],
        train: 80,
        test: 8,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid");
    let model = Model::find("nin-small").expect("exists");
    for device in devices() {
        let [one, parts] = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        let whole = run_until(&device, model, &split, one.path(), 10, 200);
        let half = run_until(&device, model, &split, parts.path(), 10, 100);
        let resumed = run_until(&device, model, &split, parts.path(), 10, 200);
        assert!(whole == resumed && whole != half, "{device}");
    }
}

#[test]
fn a_stop_flag_ends_the_run_with_a_checkpoint_of_the_step() {
    let split = Synthetic {
        train: 400,
        test: 8,
        ..Synthetic::default()
    }
    .generate()
    .expect("valid");
    let model = Model::find("nin-small").expect("exists");
    let options = TrainOptions {
        batch_size: 4,
        log_every: 1,
        ..TrainOptions::default()
    };
    let program = training_program(model, &split.train.outline(), &options).expect("builds");
    let parameters = Init::Kaiming
        .parameters(program.graph(), 1)
        .expect("initialises");
    let mut trainer =
        Trainer::new(&Device::Cpu, model, &split, &parameters, options).expect("loads");
    let stop = trainer.stop_flag();
    let mut saved = None;
    let summary = trainer
        .run(|event| {
            match event {
                Event::Interval(interval) if interval.step == 5 => {
                    stop.store(true, Ordering::Relaxed)
                }
                Event::Checkpoint { step, .. } => saved = Some(step),
                _ => {}
            }
            Ok(())
        })
        .expect("trains");
    assert!(
        summary.stopped && (5..=7).contains(&summary.steps),
        "{summary:?}"
    );
    assert_eq!(saved, Some(summary.steps));
}

fn train(args: &[&str], out: &Path) -> Command {
    let test = std::env::current_exe().expect("a path");
    let profile = test
        .parent()
        .and_then(Path::parent)
        .expect("target/<profile>/deps");
    let mut command = Command::new(profile.join("examples/train"));
    command
        .args(args)
        .arg(out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

const NEW: &[&str] = &[
    "--dataset",
    "synthetic",
    "--model",
    "nin-small",
    "--device",
    "cpu",
    "--batch-size",
    "8",
    "--limit-test",
    "16",
    "--log-every",
    "1",
    "--epochs",
    "40",
    "--out",
];

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_the_run_can_be_taken_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let child = train(NEW, folder.path())
        .spawn()
        .expect("starts; run `cargo build --release --examples` first");
    let metrics = folder.path().join("metrics.jsonl");
    let start = Instant::now();
    while std::fs::read_to_string(&metrics).map_or(0, |text| text.lines().count()) < 3 {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "no step in a minute"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("kill runs");
    let output = child.wait_with_output().expect("ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("stopped; go on with"),
        "{text}"
    );
    let (_, saved) =
        checkpoint::load_trained(&folder.path().join("resume.safetensors")).expect("whole");
    assert!(saved.step >= 3, "{}", saved.step);

    let until = (saved.step + 4).to_string();
    let args = ["--device", "cpu", "--max-steps", &until, "--resume"];
    let output = train(&args, folder.path()).output().expect("starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains(&format!("resumed after step {}", saved.step)),
        "{text}"
    );
    let (_, now) =
        checkpoint::load_trained(&folder.path().join("last.safetensors")).expect("whole");
    assert_eq!(now.step, saved.step + 4);
    let text = std::fs::read_to_string(&metrics).expect("readable");
    let steps: Vec<u64> = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["step"].as_u64())
        .collect();
    assert!(
        steps.iter().copied().eq(1..=now.step),
        "each step once, in order: {steps:?}"
    );
}

#[test]
fn a_folder_without_a_run_and_flags_that_would_change_it_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = train(&["--device", "cpu", "--resume"], folder.path())
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && text.contains("--resume: cannot read checkpoint"),
        "{text}"
    );
    let output = train(&["--lr", "1", "--resume"], folder.path())
        .output()
        .expect("starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("--lr") && text.contains("--resume"), "{text}");
}
