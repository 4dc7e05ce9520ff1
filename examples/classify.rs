//! Names what is in a picture: `cargo run --release --example classify -- img.png`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use clap::Parser;
use nin_wgpu::checkpoint;
use nin_wgpu::data::image_file::{self, Invert};
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::models::Model;
use nin_wgpu::ops::Normalize;
use nin_wgpu::program::{Program, Source};
use serde_json::json;

/// Name what is in pictures, with a checkpoint that `train` wrote.
#[derive(Debug, Parser)]
#[command(name = "classify", version)]
struct Args {
    /// Pictures: PNG, JPEG, WebP or GIF, any size
    #[arg(required = true, value_name = "IMG")]
    images: Vec<PathBuf>,
    /// Checkpoint [default: best.safetensors of the newest run in runs/]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Classes to print for each picture
    #[arg(long, value_name = "N", default_value_t = 3)]
    top: usize,
    /// Print one JSON object a picture
    #[arg(long)]
    json: bool,
    /// Where to run: auto, gpu, gpu:N, software or cpu
    #[arg(long, default_value_t)]
    device: DeviceChoice,
}

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
    let [_, height, width] = metadata.image;
    let normalize = Normalize::from_channels(&metadata.normalize);

    let mut pixels = Vec::new();
    for image in &args.images {
        pixels.push(image_file::load(image, metadata.image, Invert::Auto)?);
    }
    let device = Device::open(args.device).with_context(|| format!("--device {}", args.device))?;
    let batch = args.images.len().min(BATCH);
    let source = Source::new(batch, metadata.image).with_normalize(normalize);
    let size = model.input_size(height, width);
    let classes = metadata.classes.len();
    let program = Program::inference(&source, size, batch, |net, x| model.build(net, x, classes))?;
    checkpoint::check(&path, &parameters, program.graph())?;
    let mut run = program.load(&device)?;
    run.set_parameters(&parameters)?;

    let indices: Vec<u32> = (0..batch as u32).collect();
    for (paths, pixels) in args.images.chunks(batch).zip(pixels.chunks(batch)) {
        let mut bytes = pixels.concat();
        // The last batch is filled up; its filling is not printed.
        bytes.resize(batch * metadata.image.iter().product::<usize>(), 0);
        run.set_data(&bytes, &vec![0; batch])?;
        let probabilities = run.probabilities(&indices)?;
        for (path, row) in paths.iter().zip(probabilities.data.chunks(classes)) {
            print_classes(args, path, row, &metadata.classes);
        }
    }
    Ok(())
}

fn print_classes(args: &Args, path: &Path, probabilities: &[f32], classes: &[String]) {
    let mut ranked: Vec<usize> = (0..classes.len()).collect();
    ranked.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    ranked.truncate(args.top);
    if args.json {
        let top: Vec<_> = ranked
            .iter()
            .map(|&l| json!({ "class": classes[l], "probability": probabilities[l] }))
            .collect();
        println!(
            "{}",
            json!({ "image": path.display().to_string(), "top": top })
        );
    } else {
        println!("{}", path.display());
        for l in ranked {
            println!("  {:>5.1} %  {}", 100.0 * probabilities[l], classes[l]);
        }
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
