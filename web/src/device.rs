//! Opening what a session computes on, and telling of it.

use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::gpu::{AdapterFilter, AdapterKind, GpuError};
use nin_wgpu::models::Model;
use nin_wgpu::train::seconds_of_step_async;

use crate::error::Result;
use crate::host::Host;
use crate::protocol::{Event, Preset};

/// The networks that are small enough to be trained in a tab.
const MODELS: [&str; 4] = ["nin-small", "lenet", "nin-fine", "nin-paper"];

/// Opens the browser's GPU; the CPU if there is none, with the reason.
pub(crate) async fn open(cpu: bool, host: &Host) -> (Device, Option<String>) {
    if cpu {
        return (Device::Cpu, None);
    }
    // A browser chooses among its adapters by itself, and offers one.
    let first = DeviceChoice::Adapter(0);
    match Device::open_among_async(&AdapterFilter::default(), first).await {
        Ok(device) => {
            if let Device::Gpu(gpu) = &device {
                let host = host.clone();
                gpu.on_compiled(move |done, of| host.post(&Event::Compiling { done, of }));
            }
            (device, None)
        }
        // Its mend is for programs.
        Err(GpuError::NoAdapter { .. }) => (Device::Cpu, Some("no adapter was offered".into())),
        Err(error) => (Device::Cpu, Some(error.to_string())),
    }
}

/// Seconds of a training step of the first network on a device.
pub(crate) async fn seconds_of_step(device: &Device) -> Result<f64> {
    let model = Model::find(MODELS[0])?;
    Ok(seconds_of_step_async(device, model, model.recipe.batch_size).await?)
}

/// What there is to tell of a device.
pub(crate) fn opened(device: &Device, reason: Option<String>) -> Result<Event> {
    let models = MODELS.iter().map(|name| {
        let model = Model::find(name)?;
        Ok(Preset {
            name: model.name,
            summary: model.summary,
            batch: model.recipe.batch_size,
            learning_rate: model.recipe.learning_rate,
        })
    });
    Ok(Event::Opened {
        device: device.to_string(),
        gpu: matches!(device, Device::Gpu(_)),
        reason,
        details: details(device),
        models: models.collect::<Result<_>>()?,
    })
}

fn details(device: &Device) -> Vec<(String, String)> {
    let Device::Gpu(gpu) = device else {
        return Vec::new();
    };
    let adapter = gpu.description();
    let limits = &adapter.limits;
    let kind = match adapter.kind {
        AdapterKind::Hardware => "hardware",
        AdapterKind::Software => "software, on CPU cores",
    };
    let rows = [
        ("adapter", adapter.name.clone()),
        ("interface", adapter.backend.clone()),
        ("kind", kind.to_owned()),
        ("features", adapter.features.join(", ")),
        ("largest binding", format!("{} bytes", limits.max_binding)),
        (
            "invocations of a workgroup",
            limits.max_invocations.to_string(),
        ),
        (
            "memory of a workgroup",
            format!("{} bytes", limits.workgroup_memory),
        ),
        (
            "storage buffers of a kernel",
            limits.storage_buffers.to_string(),
        ),
        ("workgroups along a side", limits.max_workgroups.to_string()),
    ];
    let rows = rows.into_iter();
    rows.map(|(name, value)| (name.to_owned(), value)).collect()
}
