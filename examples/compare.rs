//! Networks side by side, on the same data for the same number of images: `cargo run --release --example compare`.

#![forbid(unsafe_code)]

#[path = "common/adapters.rs"]
mod adapters;
#[path = "compare/args.rs"]
mod args;
#[path = "common/cache.rs"]
mod cache;
#[path = "common/loss.rs"]
mod loss;
#[path = "compare/measure.rs"]
mod measure;
#[path = "compare/plot.rs"]
mod plot;
#[path = "compare/report.rs"]
mod report;
#[path = "common/sets.rs"]
mod sets;
#[path = "common/size.rs"]
mod size;

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};
use args::Args;
use clap::Parser;
use measure::measure;
use nin_wgpu::data::Loader;
use nin_wgpu::output;

fn main() -> ExitCode {
    loss::hush();
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<()> {
    let models = args.models()?;
    // Now, not after half an hour.
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("--out: cannot make the folder {}", args.out.display()))?;
    let [table, json, svg] =
        ["compare.md", "compare.json", "compare.svg"].map(|name| args.out.join(name));
    for path in [&table, &json, &svg] {
        output::check(path).context("--out")?;
    }
    let device =
        adapters::open(args.device).with_context(|| format!("--device {}", args.device))?;
    cache::of_pipelines(&device);
    if let Some(folder) = cache::folder() {
        device.set_tune_cache(folder);
    }
    let (name, folder) = args.dataset();
    let loader = Loader::new(name)
        .data_dir(folder.as_deref())
        .seed(args.seed)
        .image_size(Some(args.image_size))
        .native_size(args.image_size);
    let mut split = sets::load(loader, args.mirror.as_ref()).context("--dataset")?;
    split.train = split.train.limit(args.limit_train);
    split.test = split.test.limit(args.limit_test);

    let mut rows = Vec::new();
    for model in &models {
        let row = measure(args, &device, model, &split)
            .with_context(|| format!("--models {}", model.name))?;
        rows.push(row);
        // What is there is kept, should the next one fail or take too long.
        let text = report::markdown(args, &device, &split, &rows);
        output::write_whole(&table, text.as_bytes()).context("--out")?;
        let text = serde_json::to_string_pretty(&rows)?;
        output::write_whole(&json, text.as_bytes()).context("--out")?;
        let text = plot::svg(&rows).context("--out")?;
        output::write_whole(&svg, text.as_bytes()).context("--out")?;
    }
    // Whoever reads no further has seen enough; the files are there.
    let _ = write!(
        std::io::stdout(),
        "{}",
        report::markdown(args, &device, &split, &rows)
    );
    eprintln!(
        "\nwritten: {}, {}, {}",
        table.display(),
        json.display(),
        svg.display()
    );
    Ok(())
}
