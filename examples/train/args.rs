//! The command line of `train`.

use std::path::PathBuf;

use clap::Parser;
use nin_wgpu::data;
use nin_wgpu::device::{Device, DeviceChoice};
use nin_wgpu::models::{Form, Model, ModelError};
use nin_wgpu::train::TrainOptions;
use serde_json::{Value, json};

use crate::cache;
use crate::optimizer::OptimizerArgs;
use crate::pictures::{FitName, InvertName};
use crate::size::size;
use crate::tuning::Tuning;
use crate::values::{
    AugmentName, ClassWeights, HomeName, InitChoice, OnBadName, OnNan, RecipeName, TuneName,
    at_least_one, rate, share, smoothing,
};

/// Train Network in Network, or a small network like it, on a GPU or on the CPU.
///
/// With no flags it trains on Fashion-MNIST: the full network `nin` on a GPU, `nin-small` on a machine without one.
/// It writes metrics and checkpoints to a run folder that `classify` finds by itself.
#[derive(Debug, Parser)]
#[command(name = "train", version, args_override_self = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Network: nin (224x224), nin-paper (the paper's), nin-small, nin-fine (fine heat maps), nin-dense (a dense layer at the
    /// end, to compare), lenet, alexnet, vgg11, resnet18 [default: nin on a GPU, else nin-small]
    #[arg(long, help_heading = "What to train")]
    pub(crate) model: Option<String>,
    #[command(flatten)]
    pub(crate) form: FormFlags,
    /// Data set: fashion-mnist, mnist, kmnist, emnist-balanced (and -byclass, -bymerge, -digits, -letters, -mnist), cifar10,
    /// cifar100, cifar100-coarse, svhn; synthetic (needs no files); a folder of your own pictures with a sub-folder for each
    /// class; or a table path,label[,split] that ends in .csv
    #[arg(
        long,
        value_name = "NAME|DIR",
        default_value = "fashion-mnist",
        help_heading = "What to train"
    )]
    pub(crate) dataset: String,
    /// Folder with the data set's files [default: the system's, then the user's cache folder, then a download]
    #[arg(long, value_name = "DIR", help_heading = "What to train")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Download from here instead of the official address: URL/FILE; only files of the official checksums are taken
    #[arg(long, value_name = "URL", help_heading = "What to train")]
    pub(crate) mirror: Option<String>,
    /// Use only the first N training images
    #[arg(long, value_name = "N", value_parser = at_least_one::<usize>, help_heading = "What to train")]
    pub(crate) limit_train: Option<usize>,
    /// Use only the first N test images
    #[arg(long, value_name = "N", value_parser = at_least_one::<usize>, help_heading = "What to train")]
    pub(crate) limit_test: Option<usize>,
    /// Hold this share of the training images out, choose the best epoch by them, and test once, at the end
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "What to train", allow_negative_numbers = true)]
    pub(crate) val_split: Option<f64>,
    /// Change the training images at random in each step: crop moves them, flip mirrors them; auto, which is meant if no
    /// value is given, leaves flip out where left and right matter (letters and digits)
    #[arg(
        long,
        value_enum,
        value_name = "HOW",
        num_args = 0..=1,
        default_value = "none",
        default_missing_value = "auto",
        help_heading = "What to train"
    )]
    pub(crate) augment: AugmentName,
    /// Height and width that pictures are brought to: one number for both, or HxW [default: the data's own size; for photos
    /// the model's: 224 for nin, 32 for nin-paper, 28 for nin-small and nin-fine]
    #[arg(long, value_name = "N|HxW", value_parser = size, help_heading = "Pictures")]
    pub(crate) image_size: Option<[usize; 2]>,
    /// What becomes of other proportions: crop takes the centre, pad adds a border, stretch distorts
    #[arg(long, value_enum, default_value = "crop", help_heading = "Pictures")]
    pub(crate) fit: FitName,
    /// Swap light and dark of your own pictures: auto does if the set as a whole is grey and dark on light
    #[arg(long, value_enum, default_value = "auto", help_heading = "Pictures")]
    pub(crate) invert: InvertName,
    /// What becomes of pictures that cannot be read: stop ends the run, skip goes on without them and lists them
    /// [default: stop]
    #[arg(long, value_enum, help_heading = "Pictures")]
    pub(crate) on_bad: Option<OnBadName>,
    /// Where the pictures lie: resident on the device, or streamed to it by threads that load the next batches meanwhile;
    /// auto chooses by their size [default: auto]
    #[arg(long, value_enum, help_heading = "Pictures")]
    pub(crate) data_home: Option<HomeName>,
    /// Batches that are loaded ahead of a streamed training; they bound its memory
    #[arg(long, value_name = "N", value_parser = at_least_one::<usize>, default_value_t = 4, help_heading = "Pictures")]
    pub(crate) prefetch: usize,
    /// Threads that load pictures [default: as many as there are cores]
    #[arg(long, value_name = "N", value_parser = at_least_one::<usize>, help_heading = "Pictures")]
    pub(crate) workers: Option<usize>,
    /// Folder that decoded pictures are kept in for the next epoch and the next run, or off [default: the user's cache
    /// folder]
    #[arg(long, value_name = "DIR|off", help_heading = "Pictures")]
    pub(crate) cache: Option<PathBuf>,
    /// Train on every class equally often, however many pictures it has
    #[arg(long, help_heading = "Pictures")]
    pub(crate) balance: bool,
    /// Weight of each class in the loss, in the order of the labels: numbers with commas between, or balanced for the inverse
    /// of how many pictures a class has [default: all alike]
    #[arg(long, value_name = "A,B,..|balanced", help_heading = "How to train")]
    pub(crate) class_weights: Option<ClassWeights>,
    /// Spread this part of each target over all classes alike: 0.1 is usual
    #[arg(long, value_name = "PART", value_parser = smoothing, default_value_t = 0.0, help_heading = "How to train", allow_negative_numbers = true)]
    pub(crate) label_smoothing: f32,
    /// List every file that is left out, and why
    #[arg(long, help_heading = "Pictures")]
    pub(crate) verbose: bool,
    /// Normalise the input by the training set's mean and standard deviation, instead of 0..1
    #[arg(long, help_heading = "What to train")]
    pub(crate) normalize: bool,
    /// Take the images in the order they lie in
    #[arg(long, help_heading = "What to train")]
    pub(crate) no_shuffle: bool,

    /// Where to run: auto (a GPU, else the CPU), gpu, gpu:N, software (a software Vulkan driver) or cpu
    #[arg(long, default_value_t, help_heading = "Where to run")]
    pub(crate) device: DeviceChoice,
    /// How a GPU's kernels are chosen: off takes those usual for its kind; cached takes what was measured on this adapter
    /// before, and on a hardware GPU measures the rest for two seconds at most; full measures all of them and prints a table
    #[arg(
        long,
        value_enum,
        default_value = "cached",
        help_heading = "Where to run"
    )]
    pub(crate) tune: TuneName,

    /// Convolve by sums of all terms as they are, where Winograd's method would be faster, but round more: 3x3 and 5x5
    #[arg(long, help_heading = "Where to run")]
    pub(crate) precise: bool,

    /// Keep all run-time checks in a GPU's kernels, also in those whose indices are known to be in range
    #[arg(long, help_heading = "Where to run")]
    pub(crate) checked: bool,

    /// List the adapters and stop; the environment variables WGPU_BACKEND (vulkan, dx12, metal, gl) and WGPU_ADAPTER_NAME
    /// (part of a name) limit them
    #[arg(long, help_heading = "Where to run")]
    pub(crate) list_devices: bool,

    /// Set of defaults: default (the preset's own), seed (PyTorch's initialisation, lr 1e-3, no warm-up) or paper (for
    /// nin-paper: batch 128, lr 0.1, a tenth of it whenever 10 epochs bring no better accuracy, twice)
    #[arg(
        long,
        value_enum,
        default_value = "default",
        help_heading = "How to train"
    )]
    pub(crate) recipe: RecipeName,
    /// Passes over the training set [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>, help_heading = "How to train", allow_negative_numbers = true)]
    pub(crate) epochs: Option<u64>,
    /// Images that are run at once, those of a step without --accumulate [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = at_least_one::<usize>, help_heading = "How to train", allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// The optimizer's learning rate [default: the recipe's]
    #[arg(long, value_name = "RATE", value_parser = rate, help_heading = "How to train", allow_negative_numbers = true)]
    pub(crate) lr: Option<f64>,
    /// Steps over which the learning rate rises to its full value [default: the recipe's]
    #[arg(long, value_name = "STEPS", help_heading = "How to train")]
    pub(crate) warmup: Option<u64>,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
    /// Initial parameters: kaiming, pytorch, or a safetensors file under PyTorch's names, of which all tensors are taken that
    /// fit, so it may be of other classes [default: the recipe's]
    #[arg(
        long,
        value_name = "kaiming|pytorch|FILE",
        help_heading = "How to train"
    )]
    pub(crate) init: Option<InitChoice>,
    /// Seed of initialisation, order and dropout
    #[arg(long, default_value_t = 1, help_heading = "How to train")]
    pub(crate) seed: u64,
    /// Stop after N steps, test, and save
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>, help_heading = "How to train")]
    pub(crate) max_steps: Option<u64>,
    /// Stop early after N epochs without a better accuracy on the held-out images (on the test images without --val-split)
    #[arg(long, value_name = "N", value_parser = at_least_one::<u64>, help_heading = "How to train")]
    pub(crate) patience: Option<u64>,

    /// What becomes of a training whose loss is no number any more: stop ends it, rollback goes on from the last checkpoint at half
    /// the learning rate, five times at most. Or skip leaves a step out whose gradient is not finite, until 100 in a row are: nothing
    /// moves, and its images count in no loss [default: stop; with --resume skip if the run began so]
    #[arg(long, value_enum, help_heading = "How to train")]
    pub(crate) on_nan: Option<OnNan>,
    /// When the loss is no number any more, run the steps since the last checkpoint once more, on the CPU, and say which layer first
    /// had a value that is not finite
    #[arg(long, help_heading = "How to train")]
    pub(crate) debug_nan: bool,
    /// Open a GPU that was lost again, N times at most, and go on from the last checkpoint, or before the first one from the beginning
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        help_heading = "Where to run"
    )]
    pub(crate) retries: u32,
    /// Lose the GPU after this step, to test what becomes of the run
    #[arg(long, value_name = "STEP", hide = true)]
    pub(crate) lose_device_at: Option<u64>,

    /// Go on with the run in this folder where it stopped, as if it had not; only --epochs, --max-steps, --on-nan and where it
    /// runs and finds its pictures may change
    #[arg(
        long,
        value_name = "DIR",
        help_heading = "How to train",
        conflicts_with_all = ["model", "width", "batch_norm", "dropout", "dataset", "limit_train", "limit_test", "val_split", "augment", "recipe", "batch_size", "lr", "warmup", "schedule",
            "step_every", "patience_lr", "gamma", "accumulate", "find_lr", "label_smoothing", "class_weights",
            "normalize", "image_size", "fit", "invert", "balance", "init", "seed", "patience", "no_shuffle", "out", "log_every", "checkpoint_every", "dump"]
    )]
    pub(crate) resume: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,

    /// Run folder [default: runs/<model>-<dataset>]
    #[arg(long, value_name = "DIR", help_heading = "What to write")]
    pub(crate) out: Option<PathBuf>,
    /// Steps of a log interval
    #[arg(
        long,
        value_name = "STEPS",
        value_parser = at_least_one::<u64>,
        default_value_t = 100,
        help_heading = "What to write"
    )]
    pub(crate) log_every: u64,
    /// Save last.safetensors every N steps too; 0 saves after each epoch only
    #[arg(
        long,
        value_name = "STEPS",
        default_value_t = 1000,
        help_heading = "What to write"
    )]
    pub(crate) checkpoint_every: u64,
    /// Write the first step's logits and gradients to a safetensors file
    #[arg(long, value_name = "FILE", help_heading = "What to write")]
    pub(crate) dump: Option<PathBuf>,
    /// At the end write the best epoch's parameters to a safetensors file of 16-bit floats, half the size
    #[arg(long, value_name = "FILE", help_heading = "What to write")]
    pub(crate) export: Option<PathBuf>,
    /// Print errors, warnings and the summary only
    #[arg(long, help_heading = "What to write")]
    pub(crate) quiet: bool,
    /// Before training, time each dispatch of a training step: print a table, and write profile.json for chrome://tracing or
    /// ui.perfetto.dev. It takes four steps and leaves the training as it is
    #[arg(long, help_heading = "What to write")]
    pub(crate) profile: bool,
    /// Print the plan of a training step and stop; needs neither GPU nor data
    #[arg(long, help_heading = "What to write")]
    pub(crate) plan: bool,
}

/// The form of a preset.
#[derive(Debug, clap::Args)]
pub(crate) struct FormFlags {
    /// Factor on the channels of every layer but the classes
    #[arg(long, value_name = "FACTOR", value_parser = rate, default_value_t = 1.0, help_heading = "What to train", allow_negative_numbers = true)]
    pub(crate) width: f64,
    /// Put batch norm behind every convolution (resnet18 has it anyway)
    #[arg(long, help_heading = "What to train")]
    pub(crate) batch_norm: bool,
    /// Probability of dropout, where the network has it; 0 for none [default: the network's own, 0.5]
    #[arg(
        long,
        value_name = "P",
        help_heading = "What to train",
        allow_negative_numbers = true
    )]
    pub(crate) dropout: Option<f32>,
}

const EXAMPLES: &str = "\
Examples:
  cargo run --release --example train
      Fashion-MNIST with defaults that suit this machine.
  cargo run --release --example train -- --model nin --device software --max-steps 10 --log-every 1
      Ten steps of the full network through the WGSL kernels, without a GPU.
  cargo run --release --example train -- --model nin --plan
      What one training step does: each dispatch, its shapes and its memory.
  cargo run --release --example train -- --profile --max-steps 10
      How long each of them takes here, and what part of this machine's peak it reaches.";

impl Args {
    /// The network, in its form.
    pub(crate) fn model(&self, default: &str) -> Result<Model, ModelError> {
        let model = Model::find(self.model.as_deref().unwrap_or(default))?;
        model.with_form(Form {
            width: self.form.width,
            batch_norm: self.form.batch_norm || model.form.batch_norm,
            dropout: self.form.dropout,
        })
    }

    /// The data set's name, and its folder if one is given.
    pub(crate) fn dataset(&self) -> (&str, Option<PathBuf>) {
        match &self.data_dir {
            Some(folder) => (&self.dataset, Some(folder.clone())),
            None => data::find(&self.dataset),
        }
    }

    /// The folder that decoded pictures are kept in, if they are.
    pub(crate) fn pictures_cache(&self) -> Option<PathBuf> {
        match &self.cache {
            Some(told) if told.as_os_str() == "off" => None,
            Some(told) => Some(told.clone()),
            None => cache::data().map(|folder| folder.join("pictures")),
        }
    }

    /// What `config.json` records.
    pub(crate) fn config(&self, model: &Model, device: &Device, options: &TrainOptions) -> Value {
        json!({
            "command": std::env::args().skip(1).collect::<Vec<_>>(),
            "version": env!("CARGO_PKG_VERSION"),
            "model": model.name,
            "form": model.form,
            "dataset": self.dataset().0,
            "data_dir": self.dataset().1.and_then(|folder| std::path::absolute(folder).ok()),
            "device": device.to_string(),
            "precise": self.precise,
            "checked": self.checked,
            "recipe": format!("{:?}", self.recipe).to_lowercase(),
            "init": self.init.as_ref().map(|init| format!("{init:?}")),
            "batch_size": options.batch_size,
            "accumulate": options.accumulate,
            "epochs": options.epochs,
            "learning_rate": options.learning_rate,
            "warmup_steps": options.warmup_steps,
            "schedule": options.schedule,
            "training": options.training,
            "normalize": self.normalize,
            "augment": options.augment,
            "image_size": options.image_size,
            "data_home": options.home,
            "balance": options.balance,
            "val_split": self.val_split,
            "patience": options.patience,
            "seed": options.seed,
            "shuffle": options.shuffle,
            "max_steps": options.max_steps,
            "limit_train": self.limit_train,
            "limit_test": self.limit_test,
        })
    }
}
