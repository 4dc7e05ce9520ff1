//! Examining one device: the self-test, and how fast it is. Whatever goes wrong on it ends no other examination.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use indicatif::{ProgressBar, ProgressStyle};
use nin_wgpu::data;
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::{AdapterDescription, Checks, Gpu};
use nin_wgpu::init::Init;
use nin_wgpu::models::Model;
use nin_wgpu::peak::Peak;
use nin_wgpu::self_test::{Check, Outcome};
use nin_wgpu::train::{TrainOptions, training_program};

use crate::adapters::adapters;

/// A device before it is opened.
pub(crate) struct Patient {
    /// What it is called behind `--device`.
    pub(crate) choice: DeviceChoice,
    /// What is known of it, if it is an adapter of the list.
    pub(crate) adapter: Option<AdapterDescription>,
}

impl Patient {
    pub(crate) fn of(choice: DeviceChoice) -> Result<Self> {
        let adapter = match choice {
            DeviceChoice::Adapter(n) => Gpu::list(&adapters())?.into_iter().nth(n),
            DeviceChoice::Cpu => None,
            _ => match Device::open_among(&adapters(), choice)
                .with_context(|| format!("--device {choice}"))?
            {
                Device::Gpu(gpu) => Some(gpu.description().clone()),
                Device::Cpu | Device::PreciseCpu => None,
            },
        };
        if adapter.is_none() && matches!(choice, DeviceChoice::Adapter(_)) {
            // For the error that lists what there is.
            Device::open_among(&adapters(), choice)
                .with_context(|| format!("--device {choice}"))?;
        }
        Ok(Self { choice, adapter })
    }
}

/// How fast a preset trains.
pub(crate) struct Speed {
    pub(crate) model: &'static str,
    pub(crate) images_a_second: f64,
}

/// What was found with all run-time checks in the kernels.
pub(crate) struct Watched {
    pub(crate) checks: Vec<Check>,
    /// Indices that were out of range.
    pub(crate) strays: u32,
}

/// What was found.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) checks: Vec<Check>,
    pub(crate) seconds: f64,
    /// The same on a GPU with all run-time checks.
    pub(crate) watched: Option<Watched>,
    pub(crate) peak: Option<Peak>,
    pub(crate) speed: Option<Speed>,
    /// Why the examination ended early.
    pub(crate) ended: Option<String>,
}

impl Findings {
    /// Whether something was computed wrong.
    pub(crate) fn is_wrong(&self) -> bool {
        let watched = self.watched.iter().flat_map(|watched| &watched.checks);
        let mut checks = self.checks.iter().chain(watched);
        checks.any(|check| matches!(check.outcome, Outcome::Wrong(..)))
            || self.watched.as_ref().is_some_and(|w| w.strays > 0)
    }
}

/// Examines a device on a thread of its own, so that a driver that panics is one more finding.
pub(crate) fn examine(patient: &Patient, checked: bool) -> Findings {
    let mut findings = Findings::default();
    let choice = patient.choice;
    let ended = std::thread::scope(|scope| {
        let examination = scope.spawn(|| try_examine(choice, checked, &mut findings));
        match examination.join() {
            Ok(result) => result.err(),
            Err(_) => Some(anyhow!("its driver panicked, see above")),
        }
    });
    findings.ended = ended.map(|error| format!("{error:#}"));
    findings
}

fn try_examine(choice: DeviceChoice, checked: bool, findings: &mut Findings) -> Result<()> {
    let device = Device::open_among(&adapters(), choice)?;
    if checked {
        device.set_checks(Checks::All);
    }
    let start = Instant::now();
    let test = device.self_test()?;
    let bar = bar(test.len() as u64);
    for check in test {
        bar.set_message(check.op);
        bar.inc(1);
        findings.checks.push(check);
        findings.seconds = start.elapsed().as_secs_f64();
    }
    bar.finish_and_clear();
    if let (Device::Gpu(gpu), false) = (&device, checked) {
        gpu.set_checks(Checks::Watched);
        findings.watched = Some(Watched {
            checks: device.self_test()?.collect(),
            strays: gpu.strays()?,
        });
        gpu.set_checks(Checks::Trusted);
    }
    // It is no use to know how fast a broken device is.
    if findings.checks.iter().all(|check| check.outcome.is_right()) {
        findings.peak = Some(device.peak()?);
        findings.speed = Some(speed(&device)?);
    }
    Ok(())
}

fn bar(len: u64) -> ProgressBar {
    let bar = ProgressBar::new(len);
    // The template is a constant of this program.
    if let Ok(style) = ProgressStyle::with_template("self-test {bar:24} {pos}/{len}  {msg}") {
        bar.set_style(style);
    }
    bar
}

/// How long steps are timed.
const TIMED: Duration = Duration::from_secs(1);

/// Trains the preset that the device would train by default for a second.
fn speed(device: &Device) -> Result<Speed> {
    let name = if device.is_software() {
        "nin-small"
    } else {
        "nin"
    };
    let model = Model::find(name)?;
    let batch = model.recipe.batch_size;
    let mut outline = data::outline("fashion-mnist")?;
    outline.len = batch;
    let options = TrainOptions {
        batch_size: batch,
        ..TrainOptions::default()
    };
    let program = training_program(model, &outline, &options)?;
    let mut run = program.load(device)?;
    run.set_parameters(&Init::Kaiming.parameters(program.graph(), 1)?)?;
    run.set_data(&vec![100; batch * 28 * 28], &vec![1; batch])?;
    let indices: Vec<u32> = (0..batch as u32).collect();
    let mut step = 1;
    // The first steps compile and fill caches.
    while step <= 2 {
        run.train_step(&indices, 1e-4, step)?;
        step += 1;
    }
    let (start, first) = (Instant::now(), step);
    while start.elapsed() < TIMED {
        run.train_step(&indices, 1e-4, step)?;
        step += 1;
    }
    let images = (step - first) as f64 * batch as f64;
    Ok(Speed {
        model: model.name,
        images_a_second: images / start.elapsed().as_secs_f64(),
    })
}
