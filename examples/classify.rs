//! Names what is in a picture: `cargo run --example classify -- img.png`.

#![forbid(unsafe_code)]

#[path = "common/adapters.rs"]
mod adapters;
#[path = "classify/args.rs"]
mod args;
#[path = "common/cache.rs"]
mod cache;
#[path = "common/pictures.rs"]
#[allow(dead_code, reason = "it has flags that only training takes")]
mod flags;
#[path = "common/loss.rs"]
mod loss;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use args::Args;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::classifier::{Classifier, Prediction};
use nin_wgpu::data::{DataError, Preparation, image_file};
use nin_wgpu::gpu::Checks;
use nin_wgpu::output;
use nin_wgpu::pictures::{self, heatmap};
use serde_json::json;

/// Pictures that are classified at once, at most.
const BATCH: usize = 16;

/// The network that comes with the source.
const SHIPPED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/models/fashion-mnist.safetensors"
);

fn main() -> ExitCode {
    loss::hush();
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether every picture could be read.
fn run(args: &Args) -> Result<bool> {
    let images = args.pictures()?;
    for (flag, path) in [("--heatmap", &args.heatmap), ("--maps", &args.maps)] {
        if let Some(path) = path {
            output::check(path).context(flag)?;
        }
    }
    let model = match &args.model {
        Some(path) => path.clone(),
        None => newest_run(Path::new("runs")).unwrap_or_else(|| SHIPPED.into()),
    };
    let (_, metadata) = checkpoint::load_trained(&model)?;
    let device =
        adapters::open(args.device).with_context(|| format!("--device {}", args.device))?;
    let device = if args.precise {
        device.precise()
    } else {
        device
    };
    if args.checked {
        device.set_checks(Checks::All);
    }
    cache::of_pipelines(&device);
    let classifier = Classifier::open(&device, &model, images.len().min(BATCH));
    let mut classifier = classifier.with_context(|| {
        let (file, name, classes) = (model.display(), &metadata.model, metadata.classes.len());
        format!("cannot use {file}, which says that it is of {name} with {classes} classes")
    })?;
    if !args.json {
        let of = (&metadata.model, &metadata.dataset);
        eprintln!("with {}: {} trained on {}\n", model.display(), of.0, of.1);
    }

    let bar = progress(images.len());
    let (mut seen, mut bad) = (Vec::new(), 0);
    for paths in images.chunks(BATCH) {
        // As the network was trained on pictures, unless told otherwise.
        let preparation = args.preparation(metadata.preparation);
        let (mut faults, mut pixels) = (Vec::new(), Vec::new());
        for loaded in load(paths, &metadata, preparation) {
            faults.push(match loaded {
                Ok(picture) => {
                    pixels.push(picture);
                    None
                }
                Err(error) => Some(anyhow::Error::from(error)),
            });
        }
        let predictions = classifier.predict(&pixels)?;
        let mut answers = pixels.into_iter().zip(predictions);
        for (path, fault) in paths.iter().zip(faults) {
            if let Some(error) = fault {
                bad += 1;
                bar.suspend(|| tell_bad(args, path, &error))
                    .context("cannot print")?;
                continue;
            }
            let Some((pixels, prediction)) = answers.next() else {
                bail!("invariant: a prediction for each picture");
            };
            bar.suspend(|| print_classes(args, path, &prediction, &metadata.classes))
                .context("cannot print")?;
            if args.draws() && seen.len() < heatmap::MOST {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                seen.push(prediction.seen(name, pixels));
            }
        }
        bar.inc(paths.len() as u64);
    }
    bar.finish_and_clear();
    if args.draws() && !seen.is_empty() {
        let Some(network) = classifier.network() else {
            bail!("the network of {} keeps no maps to draw", model.display());
        };
        draw_maps(args, &network, &seen, images.len())?;
    }
    if bad > 0 && images.len() > 1 {
        eprintln!("{bad} of {} pictures could not be read", images.len());
    }
    Ok(bad == 0)
}

/// Pictures as the network takes them, each or what is wrong with it, on all cores.
fn load(
    paths: &[PathBuf],
    metadata: &Metadata,
    preparation: Preparation,
) -> Vec<Result<Vec<u8>, DataError>> {
    let Preparation { fit, invert } = preparation;
    let load = |path: &PathBuf| image_file::load(path, metadata.image, fit, invert);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = paths.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let parts: Vec<_> = paths
            .chunks(share)
            .map(|part| scope.spawn(move || part.iter().map(load).collect::<Vec<_>>()))
            .collect();
        let joined = parts.into_iter().map(|part| part.join());
        joined
            .flat_map(|part| part.expect("invariant: loading a picture does not panic"))
            .collect()
    })
}

/// A bar for so many pictures that one waits for them.
fn progress(count: usize) -> ProgressBar {
    if count <= 2 * BATCH {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(count as u64);
    // The template is a constant of this program.
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} pictures  {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Says what is wrong with a picture; in JSON also in its place among the others.
fn tell_bad(args: &Args, path: &Path, error: &anyhow::Error) -> std::io::Result<()> {
    eprintln!("error: {error:#}");
    if !args.json {
        return Ok(());
    }
    let line = json!({ "image": path.display().to_string(), "error": format!("{error:#}") });
    writeln!(std::io::stdout().lock(), "{line}")
}

fn draw_maps(
    args: &Args,
    network: &heatmap::Network,
    seen: &[heatmap::Seen],
    of: usize,
) -> Result<()> {
    if of > seen.len() {
        eprintln!(
            "warning: the first {} of {of} pictures are drawn; name fewer to draw the others",
            seen.len()
        );
    }
    if let Some(path) = &args.heatmap {
        let picture = heatmap::predicted(network, seen)?;
        pictures::save_png(path, &picture).context("--heatmap")?;
    }
    if let Some(path) = &args.maps {
        let picture = heatmap::all_classes(network, seen)?;
        pictures::save_png(path, &picture).context("--maps")?;
    }
    Ok(())
}

fn print_classes(
    args: &Args,
    path: &Path,
    prediction: &Prediction,
    classes: &[String],
) -> std::io::Result<()> {
    let ranked = prediction.ranked().into_iter().take(args.top);
    let of = ranked.map(|label| (&classes[label], prediction.probabilities[label]));
    let mut out = std::io::stdout().lock();
    if args.json {
        let top: Vec<_> = of
            .map(|(class, probability)| json!({ "class": class, "probability": probability }))
            .collect();
        let line = json!({ "image": path.display().to_string(), "top": top });
        return writeln!(out, "{line}");
    }
    writeln!(out, "{}", path.display())?;
    for (class, probability) in of {
        writeln!(out, "  {:>5.1} %  {class}", 100.0 * probability)?;
    }
    Ok(())
}

/// `best.safetensors` of the run that was written to last.
fn newest_run(runs: &Path) -> Option<PathBuf> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in std::fs::read_dir(runs).into_iter().flatten().flatten() {
        let path = entry.path().join("best.safetensors");
        if let Ok(time) = path.metadata().and_then(|metadata| metadata.modified())
            && newest.as_ref().is_none_or(|(before, _)| time > *before)
        {
            newest = Some((time, path));
        }
    }
    newest.map(|(_, path)| path)
}
