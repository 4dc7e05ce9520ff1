//! The device of a training. What its bits depend on belongs to the run, and goes on with it.

use anyhow::{Context, Result, bail};
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::Checks;
use nin_wgpu::train::{Resumed, RunFolder, Speeds};

use crate::args::Args;
use crate::values::TuneName;
use crate::{adapters, cache};

/// Opens the device that the flags name, to compute as they and the run that goes on say; with what is to be told of that.
pub(crate) fn open(
    args: &Args,
    run: Option<&(RunFolder, Resumed)>,
) -> Result<(Device, Vec<String>)> {
    let was = |what: &str| run.and_then(|(_, resumed)| resumed.config[what].as_bool());
    if args.precise && was("precise") == Some(false) {
        bail!(
            "--resume: the run began without --precise, and would go on to other bits with it; leave --precise out, or start \
             a new run from its last.safetensors by --init"
        );
    }
    let mut told = Vec::new();
    let device =
        adapters::open(args.device).with_context(|| format!("--device {}", args.device))?;
    cache::of_pipelines(&device);
    let began = run.and_then(|(_, resumed)| resumed.config["device"].as_str());
    let device = match args.device {
        DeviceChoice::Auto => faster(device, began, &mut told),
        _ => device,
    };
    let device = match args.precise || was("precise") == Some(true) {
        true => device.precise(),
        false => device,
    };
    if args.checked || was("checked") == Some(true) {
        device.set_checks(Checks::All);
        if was("checked") == Some(false) && matches!(device, Device::Gpu(_)) {
            told.push(
                "the run began without --checked, and a driver may round otherwise in kernels that have all checks".into(),
            );
        }
    }
    device.set_tune(args.tune.into());
    if let Some(folder) = cache::folder() {
        device.set_tune_cache(folder);
    }
    if let Some((folder, _)) = run {
        let other = began.filter(|began| *began != device.to_string());
        if let Some(began) = other {
            told.push(format!(
                "the run began on {began}; from here on its numbers are rounded as this device does"
            ));
        }
        told.extend(keep_kernels(&device, args.tune, folder, other.is_some()));
    }
    Ok((device, told))
}

/// The CPU in place of a GPU that takes longer for a step, unless it was named, or the run began on it; a run that began on the
/// CPU goes on there.
fn faster(device: Device, began: Option<&str>, told: &mut Vec<String>) -> Device {
    let Device::Gpu(gpu) = &device else {
        return device;
    };
    if adapters::adapters().name.is_some() || began == Some(device.to_string().as_str()) {
        return device;
    }
    if began.is_some_and(|began| began.starts_with("CPU")) {
        return Device::Cpu;
    }
    match Speeds::known_or_measured(gpu, cache::folder().as_deref()) {
        Ok(speeds) if !speeds.cpu_is_faster() => return device,
        Ok(Speeds { gpu, cpu }) => {
            let [gpu, cpu] = [gpu, cpu].map(|seconds| 1e3 * seconds);
            told.push(format!(
                "the CPU is faster here than {device}: {cpu:.0} against {gpu:.0} ms for a step of nin with 4 images; --device gpu takes the GPU"
            ));
        }
        Err(error) => told.push(format!(
            "{device} is not used, as it does not train: {error}"
        )),
    }
    Device::Cpu
}

/// Has a GPU compute by the kernels that the run began with, whatever was measured meanwhile; says why, if it does not.
fn keep_kernels(
    device: &Device,
    tune: TuneName,
    folder: &RunFolder,
    elsewhere: bool,
) -> Option<String> {
    let (Device::Gpu(gpu), Some(kernels)) = (device, folder.kernels()) else {
        return None;
    };
    let why = match tune {
        TuneName::Full => "--tune full measures anew".to_owned(),
        TuneName::Off | TuneName::Cached => gpu.set_kernels(&kernels).err()?.to_string(),
    };
    // Of another device it is told already.
    (!elsewhere).then(|| {
        format!(
            "the kernels that the run began with do not go on ({why}): others are chosen, which may round otherwise"
        )
    })
}
