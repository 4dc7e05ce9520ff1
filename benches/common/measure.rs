//! Timing under criterion, and the medians for the report.

use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};
use nin_wgpu::device::Device;
use nin_wgpu::runtime::Runtime;

use super::device::{is_quick, key};

/// Criterion's fewest samples, spread over a third of a second, or as long as they take.
pub fn criterion() -> Criterion {
    let (warm_up, measurement) = if is_quick() { (1, 10) } else { (50, 300) };
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(warm_up))
        .measurement_time(Duration::from_millis(measurement))
        .nresamples(2000)
        .without_plots()
        .configure_from_args()
}

/// A group of criterion's on a device, with the work of one run.
pub fn group<'c>(
    criterion: &'c mut Criterion,
    device: &Device,
    name: &str,
    work: Throughput,
) -> BenchmarkGroup<'c, WallTime> {
    let mut group = criterion.benchmark_group(format!("{} {name}", key(device)));
    group.throughput(work);
    group
}

/// Criterion insists on ten samples and more to warm up. What has run for this long is slow, and a few will do: from the
/// third on, criterion is given those again in turn. So a bench ends in its time on a slow device too.
const PATIENCE: Duration = Duration::from_secs(1);
const FEW: usize = 3;

/// Median seconds of one run; `None` if the command line filters it out.
///
/// `prepare` is called once, untimed; what it returns does as many runs as it is told and waits for their end.
pub fn measure<R: FnMut(u64)>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    prepare: impl FnOnce() -> R,
) -> Option<f64> {
    let mut prepare = Some(prepare);
    let mut run = None;
    let mut samples = Vec::new();
    let mut spent = Duration::ZERO;
    let mut again = 0;
    group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
        if let Some(prepare) = prepare.take() {
            run = Some(prepare());
        }
        bencher.iter_custom(|runs| {
            if spent > PATIENCE && samples.len() >= FEW {
                again += 1;
                return Duration::from_secs_f64(samples[again % samples.len()] * runs as f64);
            }
            let start = Instant::now();
            if let Some(run) = &mut run {
                run(runs);
            }
            let time = start.elapsed();
            spent += time;
            samples.push(time.as_secs_f64() / runs as f64);
            time
        });
    });
    median(samples)
}

/// The middle one, or the mean of the middle two.
pub fn median(mut samples: Vec<f64>) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    let half = samples.len() / 2;
    let upper = *samples.get(half)?;
    Some(if samples.len().is_multiple_of(2) {
        (samples[half - 1] + upper) / 2.0
    } else {
        upper
    })
}

/// Runs a graph `runs` times, to the end of the work.
pub fn run(runtime: &mut dyn Runtime, runs: u64) {
    for _ in 0..runs {
        runtime.run().expect("the device runs");
    }
    runtime.take_snapshots(true).expect("the device waits");
}
