//! The command line of `data`.

use std::path::PathBuf;

use clap::Parser;

use crate::flags::{FitName, InvertName};
use crate::size::size;

/// Look at a data set before you train on it: classes, sizes, what is left out, and a sheet of what the network will see.
#[derive(Debug, Parser)]
#[command(name = "data", version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Data set: a folder with a sub-folder for each class, a table (.csv with path,label[,split]), or a name such as cifar10
    #[arg(value_name = "NAME|DIR|FILE.csv")]
    pub(crate) dataset: String,
    /// Folder with the data set's files, for a name
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Download from here instead of the official address: URL/FILE; only files of the official checksums are taken
    #[arg(long, value_name = "URL")]
    pub(crate) mirror: Option<String>,
    /// Network whose size photos are brought to
    #[arg(long, default_value = "nin")]
    pub(crate) model: String,
    /// Height and width that pictures are brought to [default: the data's own size; for photos the model's]
    #[arg(long, value_name = "N|HxW", value_parser = size)]
    pub(crate) image_size: Option<[usize; 2]>,
    /// What becomes of other proportions
    #[arg(long, value_enum, default_value = "crop")]
    pub(crate) fit: FitName,
    /// Swap light and dark: auto does if the set as a whole is grey and dark on light
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) invert: InvertName,
    /// Seed that the set is split by, as that of `train`
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Pictures of the sheet
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..=400))]
    pub(crate) pictures: u16,
    /// Where to draw the sheet
    #[arg(long, value_name = "OUT.png", default_value = "data.png")]
    pub(crate) out: PathBuf,
    /// Measure how fast the pictures load, twice, as a training with --augment has them
    #[arg(long)]
    pub(crate) speed: bool,
    /// Threads that load pictures [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) workers: Option<u16>,
    /// Folder that decoded pictures are kept in [default: none]
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// List every file that is left out and every pair of identical files
    #[arg(long)]
    pub(crate) verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release --example data -- photos
      Classes, sizes and what is left out of a folder; data.png shows it as `nin` will see it.
  cargo run --release --example data -- cifar10 --pictures 100 --out cifar10.png
      A hundred pictures of CIFAR-10.
  cargo run --release --example data -- photos --speed --cache /tmp/cache
      Images a second, decoded and from the cache.";
