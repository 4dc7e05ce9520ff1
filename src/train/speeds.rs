//! How long a training step takes on a GPU and on the CPU: what one chooses between them by.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::backend::device::Device;
use crate::backend::wait::block_on;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::models::Model;
use crate::ops::Adam;
use crate::output;
use crate::program::{Program, Source};

/// How long steps are timed on each device. What compiling takes before them is kept by most drivers.
const TIMED: Duration = Duration::from_millis(300);

/// What is timed, on both: a step that is long enough to tell their arithmetic apart, and short enough for a slow CPU.
const MODEL: &str = "nin";
const BATCH: usize = 4;

/// Seconds of a training step of `nin` with four images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Speeds {
    /// On a GPU.
    pub gpu: f64,
    /// On all CPU cores.
    pub cpu: f64,
}

impl Speeds {
    /// What was measured before of this GPU, its driver and as many cores, if it was kept in the cache folder; else measures
    /// both, in less than a second but for what the driver compiles, and keeps that.
    ///
    /// ```
    /// use nin_wgpu::device::{Device, DeviceChoice};
    /// use nin_wgpu::train::Speeds;
    ///
    /// let mut device = Device::open(DeviceChoice::Auto)?;
    /// if let Device::Gpu(gpu) = &device
    ///     && Speeds::known_or_measured(gpu, None)?.cpu_is_faster()
    /// {
    ///     device = Device::Cpu;
    /// }
    /// # Ok::<(), nin_wgpu::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Program::load`] and [`Run::train_step`](crate::program::Run::train_step): a GPU that cannot train at all.
    pub fn known_or_measured(gpu: &Gpu, cache: Option<&Path>) -> Result<Self, Error> {
        let adapter = gpu.description().to_string();
        let cpu = Device::Cpu.to_string();
        let kept = cache.map(|cache| Gpu::tune_file(cache, &[&adapter, &cpu]));
        let known = kept.as_ref().and_then(|path| fs::read(path).ok());
        // One that is damaged counts as nothing known.
        if let Some(known) = known.and_then(|json| serde_json::from_slice(&json).ok()) {
            return Ok(known);
        }
        let model = Model::find(MODEL)?;
        let seconds = |device: &Device| block_on(seconds_of_step_async(device, model, BATCH));
        let measured = Self {
            gpu: seconds(&Device::Gpu(gpu.clone()))?,
            cpu: seconds(&Device::Cpu)?,
        };
        if let Some(path) = kept {
            let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
            let json = serde_json::to_vec_pretty(&measured).unwrap_or_default();
            if folder.is_err() || output::write_whole(&path, &json).is_err() {
                tracing::warn!(path = %path.display(), "what was measured cannot be kept");
            }
        }
        Ok(measured)
    }

    /// Whether the CPU takes less time.
    pub fn cpu_is_faster(&self) -> bool {
        self.cpu < self.gpu
    }
}

/// Seconds of a training step of a model with `batch` grey images of its own size, ten classes, on a device, by the kernels usual
/// for its kind.
///
/// # Errors
/// As [`Speeds::known_or_measured`].
pub async fn seconds_of_step_async(
    device: &Device,
    model: &Model,
    batch: usize,
) -> Result<f64, Error> {
    let [height, width] = model.native_size;
    let source = Source::new(batch, [1, height, width]);
    let network = |net: &mut _, x| model.build(net, x, 10);
    let program = Program::training(&source, model.native_size, batch, Adam::default(), network)?;
    let mut run = program.load_usual_async(device).await?;
    Ok(run.step_seconds_async(TIMED).await?)
}
