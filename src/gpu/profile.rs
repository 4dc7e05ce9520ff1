//! How long each of many launches takes.

use web_time::Instant;

use super::launch::Launch;
use super::{Gpu, GpuError, readback};
use crate::backend::profile::medians;

/// Seconds of each launch: the median over `runs` runs, at least one, of all of them in order.
///
/// Each launch is a pass of its own here. The device's own clock is read around it, or where a device has none that can
/// be read, the host's around submitting it and waiting for its end, which adds some tens of microseconds.
///
/// # Errors
/// [`GpuError`] if the device fails.
pub(super) fn time(gpu: &Gpu, launches: &[Launch], runs: usize) -> Result<Vec<f64>, GpuError> {
    gpu.check()?;
    let has_clock = gpu
        .device
        .features()
        .contains(wgpu::Features::TIMESTAMP_QUERY);
    let stamps = has_clock.then(|| Stamps::new(gpu, launches.len()));
    let run = |_| match &stamps {
        Some(stamps) => stamps.time(gpu, launches),
        None => launches
            .iter()
            .map(|launch| wait_for(gpu, launch))
            .collect(),
    };
    let runs = (0..runs.max(1)).map(run).collect::<Result<Vec<_>, _>>()?;
    Ok(medians(&runs))
}

fn wait_for(gpu: &Gpu, launch: &Launch) -> Result<f64, GpuError> {
    let start = Instant::now();
    let mut encoder = gpu.device.create_command_encoder(&Default::default());
    launch.encode(&mut gpu.begin_pass(&mut encoder, None));
    gpu.submit(encoder);
    gpu.wait()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Launches that one set of queries has room for.
const MOST: usize = wgpu::QUERY_SET_MAX_QUERIES as usize / 2;

/// Room for two readings of the device's clock for each launch.
struct Stamps {
    queries: wgpu::QuerySet,
    resolved: wgpu::Buffer,
}

impl Stamps {
    fn new(gpu: &Gpu, launches: usize) -> Self {
        let count = 2 * launches.clamp(1, MOST) as u32;
        let queries = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timestamps"),
            ty: wgpu::QueryType::Timestamp,
            count,
        });
        let resolved = gpu.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timestamps"),
            size: u64::from(count * wgpu::QUERY_SIZE),
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        Self { queries, resolved }
    }

    /// Seconds of each launch in one run of all.
    fn time(&self, gpu: &Gpu, launches: &[Launch]) -> Result<Vec<f64>, GpuError> {
        let nanoseconds = f64::from(gpu.queue.get_timestamp_period());
        let mut seconds = Vec::with_capacity(launches.len());
        for launches in launches.chunks(MOST) {
            let mut encoder = gpu.device.create_command_encoder(&Default::default());
            for (launch, begin) in launches.iter().zip((0..).step_by(2)) {
                let stamps = wgpu::ComputePassTimestampWrites {
                    query_set: &self.queries,
                    beginning_of_pass_write_index: Some(begin),
                    end_of_pass_write_index: Some(begin + 1),
                };
                launch.encode(&mut gpu.begin_pass(&mut encoder, Some(stamps)));
            }
            let count = 2 * launches.len() as u32;
            encoder.resolve_query_set(&self.queries, 0..count, &self.resolved, 0);
            gpu.submit(encoder);
            let bytes = u64::from(count * wgpu::QUERY_SIZE);
            let words = readback::read(gpu, &self.resolved, 0, bytes)?;
            let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&words);
            // A clock that is reset meanwhile yields no time rather than centuries.
            let pairs = ticks.as_chunks().0.iter();
            seconds.extend(
                pairs.map(|[begin, end]| end.saturating_sub(*begin) as f64 * nanoseconds / 1e9),
            );
        }
        Ok(seconds)
    }
}
