//! Names what is in a picture: `cargo run --example classify -- img.png`.

#[path = "classify/args.rs"]
mod args;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use args::Args;
use clap::Parser;
use nin_wgpu::checkpoint;
use nin_wgpu::classifier::{Classifier, Prediction};
use nin_wgpu::data::image_file;
use nin_wgpu::device::Device;
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
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
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
    // All are read before the first is printed, so that a bad one among them ends the program before it began.
    let load = |image: &PathBuf| image_file::load(image, metadata.image, args.invert.into());
    let pixels = images.iter().map(load).collect::<Result<Vec<_>, _>>()?;
    let device = Device::open(args.device).with_context(|| format!("--device {}", args.device))?;
    let classifier = Classifier::open(&device, &model, images.len().min(BATCH));
    let mut classifier = classifier.with_context(|| {
        let (file, name, classes) = (model.display(), &metadata.model, metadata.classes.len());
        format!("cannot use {file}, which says that it is of {name} with {classes} classes")
    })?;
    if !args.json {
        let of = (&metadata.model, &metadata.dataset);
        eprintln!("with {}: {} trained on {}\n", model.display(), of.0, of.1);
    }

    let mut seen = Vec::new();
    for (paths, pixels) in images.chunks(BATCH).zip(pixels.chunks(BATCH)) {
        let predictions = classifier.predict(pixels)?;
        for ((path, pixels), prediction) in paths.iter().zip(pixels).zip(predictions) {
            print_classes(args, path, &prediction, &metadata.classes).context("cannot print")?;
            if args.draws() && seen.len() < heatmap::MOST {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                seen.push(prediction.seen(name, pixels.clone()));
            }
        }
    }
    if args.draws() {
        let Some(network) = classifier.network() else {
            bail!("the network of {} keeps no maps to draw", model.display());
        };
        draw_maps(args, &network, &seen, images.len())?;
    }
    Ok(())
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
