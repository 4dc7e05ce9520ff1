//! The command line of `compare`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use nin_wgpu::data;
use nin_wgpu::device::DeviceChoice;
use nin_wgpu::models::{Form, Model};

/// Train several networks on the same images, as many of them each, and put them side by side.
///
/// For each network: parameters, operations, memory, speed, and the accuracy on training and test images after every epoch.
/// A table (Markdown and JSON) and a plot are written. The defaults take two CPU cores about half an hour.
#[derive(Debug, Parser)]
#[command(name = "compare", version, args_override_self = true)]
pub(crate) struct Args {
    /// Presets, each with a factor on its channels: NAME[:WIDTH],…
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "lenet,alexnet:0.25,vgg11:0.25,nin-paper:0.25,nin-dense:0.25"
    )]
    models: Vec<String>,
    /// Put batch norm behind every convolution
    #[arg(long)]
    pub(crate) batch_norm: bool,
    /// Probability of dropout in those that have it [default: each network's own]
    #[arg(long, value_name = "P")]
    pub(crate) dropout: Option<f32>,
    /// Data set, as for `train`
    #[arg(long, value_name = "NAME|DIR", default_value = "fashion-mnist")]
    dataset: String,
    /// Folder with the data set's files
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Download from here instead of the official address: URL/FILE; only files of the official checksums are taken
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Height and width that pictures are brought to; AlexNet wants 63 at least
    #[arg(long, value_name = "N|HxW", value_parser = crate::size::size, default_value = "64")]
    pub(crate) image_size: [usize; 2],
    /// Use only the first N training images
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    pub(crate) limit_train: usize,
    /// Use only the first N test images; as many training images are tested too
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    pub(crate) limit_test: usize,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 6)]
    pub(crate) epochs: u64,
    /// Images of a step
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) batch_size: usize,
    /// Learning rate of all [default: each preset's own]
    #[arg(long, value_name = "RATE")]
    pub(crate) lr: Option<f64>,
    /// Where to run: auto (a GPU, else the CPU), gpu, gpu:N, software or cpu
    #[arg(long, default_value_t)]
    pub(crate) device: DeviceChoice,
    /// Seed of initialisation, order and dropout
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Folder for compare.md, compare.json and compare.svg
    #[arg(long, value_name = "DIR", default_value = "runs/compare")]
    pub(crate) out: PathBuf,
}

impl Args {
    /// The networks, in their forms.
    pub(crate) fn models(&self) -> Result<Vec<Model>> {
        let model = |text: &String| {
            let (name, width) = text.split_once(':').unwrap_or((text, "1"));
            let model = Model::find(name).context("--models")?;
            let width = width.parse().ok().filter(|width: &f64| *width > 0.0);
            let width = width
                .with_context(|| format!("--models {text}: the width must be a number above 0"))?;
            let form = Form {
                width,
                batch_norm: self.batch_norm || model.form.batch_norm,
                dropout: self.dropout,
            };
            model.with_form(form).context("--models")
        };
        let models = self.models.iter().map(model).collect::<Result<Vec<_>>>()?;
        ensure!(!models.is_empty(), "--models: none is named");
        Ok(models)
    }

    /// The data set's name, and its folder if one is given.
    pub(crate) fn dataset(&self) -> (&str, Option<PathBuf>) {
        match &self.data_dir {
            Some(folder) => (&self.dataset, Some(folder.clone())),
            None => data::find(&self.dataset),
        }
    }
}
