//! Writes the kernels as a GPU is given them: `cargo run --release --example shaders -- --out DIR`.

#![forbid(unsafe_code)]

#[path = "shaders/step.rs"]
mod step;
#[path = "shaders/translate.rs"]
mod translate;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use nin_wgpu::output;
use translate::{Format, Shader};

/// Write every kernel in every variant as the GPU's driver is given it, a file each.
#[derive(Debug, Parser)]
#[command(name = "shaders", version, after_help = EXAMPLES)]
struct Args {
    /// Folder for the files, made if need be; those of an earlier run are replaced, others stay
    #[arg(long, value_name = "DIR", required_unless_present = "step")]
    out: Option<PathBuf>,
    /// Languages, in a list with commas
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_values_t = [Format::Wgsl, Format::Hlsl51, Format::Hlsl62, Format::Msl, Format::Spirv, Format::Glsl]
    )]
    format: Vec<Format>,
    /// With all run-time checks, as with `--checked` of other programs
    #[arg(long)]
    checked: bool,
    /// Write a whole training step too, for another implementation of WebGPU: its kernels, buffers and dispatches, and
    /// what must come out
    #[arg(long, value_name = "DIR")]
    step: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release --example shaders -- --out /tmp/kernels
      All of them in all languages, to read.
  cargo run --release --example shaders -- --out /tmp/before --format msl
      As Metal is given them, to compare with those of another version.";

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
    if let Some(folder) = &args.out {
        write(folder, &args.format, args.checked)?;
    }
    if let Some(folder) = &args.step {
        let plans = step::write(folder)?;
        println!("a training step in {plans} plans in {}", folder.display());
    }
    Ok(())
}

fn write(folder: &Path, formats: &[Format], checked: bool) -> Result<()> {
    let formats: BTreeSet<_> = formats.iter().copied().collect();
    let named = folder.display();
    std::fs::create_dir_all(folder).with_context(|| format!("--out: cannot make {named}"))?;
    let mut shaders = Shader::all()?;
    for shader in &mut shaders {
        shader.trusted &= !checked;
    }
    let mut files = 0;
    for shader in &shaders {
        for &format in formats.iter().filter(|format| format.takes(shader.kernel)) {
            files += 1;
            let path = folder.join(format!("{}.{}", shader.name(), format.ending()));
            output::write_whole(&path, &shader.translate(format)?).context("--out")?;
        }
    }
    let kernels = shaders.len();
    println!("{kernels} kernels in {files} files in {named}");
    Ok(())
}
