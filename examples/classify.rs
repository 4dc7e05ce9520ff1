//! Names what is in a picture: `cargo run --release --example classify -- img.png`.

#[path = "classify/args.rs"]
mod args;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use args::Args;
use clap::Parser;
use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::data::image_file;
use nin_wgpu::device::Device;
use nin_wgpu::models::Model;
use nin_wgpu::ops::Normalize;
use nin_wgpu::pictures::{self, heatmap};
use nin_wgpu::program::{Program, Run, Source};
use serde_json::json;

/// Pictures that are classified at once, at most.
const BATCH: usize = 16;

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
    let path = match &args.model {
        Some(path) => path.clone(),
        None => newest_run(Path::new("runs"))?,
    };
    let (parameters, metadata) = checkpoint::load_trained(&path)?;
    let model = Model::find(&metadata.model).with_context(|| path.display().to_string())?;
    let images = args.pictures()?;
    let mut pixels = Vec::new();
    for image in &images {
        pixels.push(image_file::load(image, metadata.image, args.invert.into())?);
    }

    let device = Device::open(args.device).with_context(|| format!("--device {}", args.device))?;
    let program = program(model, &metadata, images.len().min(BATCH))?;
    checkpoint::check(&path, &parameters, program.graph())?;
    let mut run = program.load(&device)?;
    run.set_parameters(&parameters)?;
    classify(args, &mut run, model, &metadata, &images, &pixels)
}

fn program(model: &Model, metadata: &Metadata, batch: usize) -> Result<Program> {
    let [_, height, width] = metadata.image;
    let normalize = Normalize::from_channels(&metadata.normalize);
    let source = Source::new(batch, metadata.image).with_normalize(normalize);
    let size = model.input_size(height, width);
    let classes = metadata.classes.len();
    Ok(Program::inference(&source, size, batch, |net, x| {
        model.build(net, x, classes)
    })?)
}

/// Runs the pictures in batches, prints their classes and draws what was asked for.
fn classify(
    args: &Args,
    run: &mut Run,
    model: &Model,
    metadata: &Metadata,
    images: &[PathBuf],
    pixels: &[Vec<u8>],
) -> Result<()> {
    let draw = args.heatmap.is_some() || args.maps.is_some();
    let classes = metadata.classes.len();
    let batch = run.program().batch();
    let indices: Vec<u32> = (0..batch as u32).collect();
    let (mut seen, mut map) = (Vec::new(), [0; 2]);
    for (paths, pixels) in images.chunks(batch).zip(pixels.chunks(batch)) {
        let mut bytes = pixels.concat();
        // The last batch is filled up; its filling is not printed.
        bytes.resize(batch * metadata.image.iter().product::<usize>(), 0);
        run.set_data(&bytes, &vec![0; batch])?;
        let probabilities = run.probabilities(&indices)?;
        let rows = probabilities.data.chunks(classes);
        for (path, row) in paths.iter().zip(rows.clone()) {
            print_classes(args, path, row, &metadata.classes).context("cannot print")?;
        }
        if draw && seen.len() < heatmap::MOST {
            let maps = run.maps()?;
            let [_, _, height, width] = maps.shape.nchw("maps", "maps")?;
            map = [height, width];
            let maps = maps.data.chunks(classes * height * width);
            let parts = paths.iter().zip(pixels).zip(rows).zip(maps);
            seen.extend(parts.map(|(((path, pixels), row), maps)| {
                heatmap::Seen {
                    name: path
                        .file_name()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into(),
                    pixels: pixels.clone(),
                    probabilities: row.to_vec(),
                    maps: maps.to_vec(),
                }
            }));
        }
    }
    if let (true, Some(grid)) = (draw, run.program().map_grid()) {
        seen.truncate(heatmap::MOST);
        let [_, height, width] = metadata.image;
        let network = heatmap::Network {
            classes: metadata.classes.clone(),
            image: metadata.image,
            input: model.input_size(height, width),
            map,
            grid,
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
    probabilities: &[f32],
    classes: &[String],
) -> std::io::Result<()> {
    let mut ranked: Vec<usize> = (0..classes.len()).collect();
    ranked.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    ranked.truncate(args.top);
    let mut out = std::io::stdout().lock();
    if args.json {
        let top: Vec<_> = ranked
            .iter()
            .map(|&l| json!({ "class": classes[l], "probability": probabilities[l] }))
            .collect();
        writeln!(
            out,
            "{}",
            json!({ "image": path.display().to_string(), "top": top })
        )
    } else {
        writeln!(out, "{}", path.display())?;
        for l in ranked {
            writeln!(out, "  {:>5.1} %  {}", 100.0 * probabilities[l], classes[l])?;
        }
        Ok(())
    }
}

/// `best.safetensors` of the run that was written to last.
fn newest_run(runs: &Path) -> Result<PathBuf> {
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for entry in std::fs::read_dir(runs).into_iter().flatten().flatten() {
        let path = entry.path().join("best.safetensors");
        if let Ok(time) = path.metadata().and_then(|metadata| metadata.modified())
            && newest.as_ref().is_none_or(|(before, _)| time > *before)
        {
            newest = Some((time, path));
        }
    }
    match newest {
        Some((_, path)) => Ok(path),
        None => bail!(
            "no checkpoint in {}/; train one with `cargo run --release --example train`, or name one with --model FILE",
            runs.display()
        ),
    }
}
