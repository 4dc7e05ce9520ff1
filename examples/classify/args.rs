//! The command line of `classify`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use nin_wgpu::data::Preparation;
use nin_wgpu::data::image_file::{self, Invert};
use nin_wgpu::device::DeviceChoice;

use crate::flags::InvertName;

/// Name what is in pictures, with a checkpoint that `train` wrote, and show where the network sees it.
#[derive(Debug, Parser)]
#[command(name = "classify", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Pictures (PNG, JPEG, WebP, GIF, BMP or TIFF, any size), and folders of them
    #[arg(required = true, value_name = "IMG|DIR")]
    images: Vec<PathBuf>,
    /// Checkpoint [default: best.safetensors of the newest run in runs/, else the Fashion-MNIST network in models/]
    #[arg(long, value_name = "FILE")]
    pub(crate) model: Option<PathBuf>,
    /// Where to run: auto, gpu, gpu:N, software or cpu
    #[arg(long, default_value_t)]
    pub(crate) device: DeviceChoice,

    /// Convolve by sums of all terms as they are, where Winograd's method would be faster, but round more: 3x3 and 5x5
    #[arg(long)]
    pub(crate) precise: bool,

    /// Keep all run-time checks in a GPU's kernels, also in those whose indices are known to be in range
    #[arg(long)]
    pub(crate) checked: bool,

    /// Swap light and dark: auto does as the network was trained; one of a published grey data set, light on dark, takes a
    /// picture with a bright border, as photos have, for dark on light
    #[arg(long, value_enum, default_value = "auto")]
    invert: InvertName,

    /// Classes to print for each picture
    #[arg(
        long,
        value_name = "N",
        value_parser = at_least_one,
        default_value_t = 3,
        help_heading = "Output"
    )]
    pub(crate) top: usize,
    /// Print one JSON object a picture
    #[arg(long, help_heading = "Output")]
    pub(crate) json: bool,
    /// Draw each picture, and over it in colour where the network sees the class that it predicts
    #[arg(long, value_name = "OUT.png", value_parser = png, help_heading = "Output")]
    pub(crate) heatmap: Option<PathBuf>,
    /// Draw the maps of all classes over each picture
    #[arg(long, value_name = "OUT.png", value_parser = png, help_heading = "Output")]
    pub(crate) maps: Option<PathBuf>,
}

fn at_least_one(s: &str) -> Result<usize, &'static str> {
    let number = s.parse().ok().filter(|n| *n >= 1);
    number.ok_or("expected a whole number, at least 1")
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release --example classify -- photo.jpg --heatmap why.png
      What is in the photo, and what in it said so.
  cargo run --release --example classify -- examples/images --json --top 1
      Every picture of a folder, for another program to read.";

fn png(s: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(s);
    let ending = path.extension();
    match ending.is_some_and(|ending| ending.eq_ignore_ascii_case("png")) {
        true => Ok(path),
        false => Err("expected the name of a file to write that ends in .png".to_owned()),
    }
}

impl Args {
    /// How pictures are prepared, given how the network's own were.
    pub(crate) fn preparation(&self, of_network: Preparation) -> Preparation {
        let invert = match self.invert.into() {
            Invert::Auto => of_network.invert,
            told => told,
        };
        Preparation {
            invert,
            ..of_network
        }
    }

    /// Whether any map is to be drawn.
    pub(crate) fn draws(&self) -> bool {
        self.heatmap.is_some() || self.maps.is_some()
    }

    /// Every picture that is named, and those of the folders that are named, by name.
    pub(crate) fn pictures(&self) -> Result<Vec<PathBuf>> {
        let mut pictures = Vec::new();
        for path in &self.images {
            if path.is_dir() {
                pictures.extend(pictures_of(path)?);
            } else {
                pictures.push(path.clone());
            }
        }
        self.check_outputs(&pictures)?;
        Ok(pictures)
    }

    /// No picture is written over another.
    fn check_outputs(&self, pictures: &[PathBuf]) -> Result<()> {
        let outputs = [("--heatmap", &self.heatmap), ("--maps", &self.maps)];
        for (flag, output) in outputs {
            let Some(output) = output else { continue };
            let same = |path: &PathBuf| {
                path == output
                    || matches!((path.canonicalize(), output.canonicalize()), (Ok(a), Ok(b)) if a == b)
            };
            if pictures.iter().any(same) {
                bail!(
                    "{flag} {} is one of the pictures to classify; name another file to write",
                    output.display()
                );
            }
            if flag == "--maps" && self.heatmap.as_ref().is_some_and(same) {
                bail!(
                    "--heatmap and --maps are both {}; name two files",
                    output.display()
                );
            }
        }
        Ok(())
    }
}

/// Such as `._photo.jpg`, which macOS puts beside a photo.
fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.as_encoded_bytes().starts_with(b".")
}

fn pictures_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .with_context(|| format!("cannot read folder {}", folder.display()))?;
    let mut pictures: Vec<PathBuf> = entries
        .into_iter()
        .map(|entry| entry.path())
        .filter(|path| image_file::has_picture_ending(path) && !is_hidden(path) && path.is_file())
        .collect();
    if pictures.is_empty() {
        bail!(
            "folder {} holds no pictures; want files that end in .{}",
            folder.display(),
            image_file::ENDINGS.join(", .")
        );
    }
    pictures.sort();
    Ok(pictures)
}
