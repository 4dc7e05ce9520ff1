//! From flags, or from a run that was stopped, to everything that a run is made of.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nin_wgpu::checkpoint::{self, Metadata};
use nin_wgpu::data::{DataError, Dataset, Loader, Outline, Split};
use nin_wgpu::device::Device;
use nin_wgpu::init::Init;
use nin_wgpu::models::{Model, Recipe};
use nin_wgpu::ops::{Augment, Normalize};
use nin_wgpu::program::{Parameters, Program};
use nin_wgpu::train::{Resumed, RunFolder, TrainOptions, training_program};

use crate::args::{Args, InitChoice, RecipeName};
use crate::screen;

/// Everything that a run is made of.
pub(crate) struct Setup {
    pub(crate) model: &'static Model,
    pub(crate) split: Split,
    pub(crate) options: TrainOptions,
    pub(crate) parameters: Parameters,
    pub(crate) folder: RunFolder,
    /// Where a run that was stopped goes on.
    pub(crate) resumed: Option<Resumed>,
}

/// Flags over the recipe's values.
pub(crate) fn options(
    args: &Args,
    model: &Model,
    normalize: Normalize,
    augment: Augment,
) -> TrainOptions {
    let recipe = match args.recipe {
        RecipeName::Default => model.recipe,
        RecipeName::Seed => Recipe::SEED,
    };
    TrainOptions {
        batch_size: args.batch_size.unwrap_or(recipe.batch_size),
        epochs: args.epochs.unwrap_or(recipe.epochs),
        learning_rate: args.lr.unwrap_or(recipe.learning_rate),
        warmup_steps: args.warmup.unwrap_or(recipe.warmup_steps),
        schedule: args.schedule.map_or(recipe.schedule, Into::into),
        normalize,
        augment,
        seed: args.seed,
        shuffle: !args.no_shuffle,
        log_every: args.log_every,
        checkpoint_every: args.checkpoint_every,
        max_steps: args.max_steps,
        patience: args.patience,
        first_step: args.dump.is_some(),
    }
}

/// Finds the data set, or downloads it, and takes the first images of each part.
fn load_data(
    name: &str,
    folder: Option<&Path>,
    seed: u64,
    [train, test]: [Option<usize>; 2],
) -> Result<Split> {
    let bar = screen::download_bar();
    let loader = Loader::new(name).data_dir(folder).seed(seed);
    let split = loader.on_download(|progress| bar.show(progress)).load();
    bar.clear();
    let split = split.map_err(|error| match error {
        DataError::UnknownDataset { .. } => {
            anyhow!("--dataset: {error}, or a folder of pictures that is there")
        }
        other => other.into(),
    })?;
    let limit = |data: Dataset, most: Option<usize>| match most {
        Some(most) => data.limit(most),
        None => data,
    };
    Ok(Split::new(
        limit(split.train, train),
        limit(split.test, test),
    ))
}

fn normalization(args: &Args, train: &Dataset) -> Vec<(f32, f32)> {
    match args.normalize {
        true => train.mean_std(),
        false => vec![(0.0, 1.0); train.channels()],
    }
}

/// `of` is what is to be trained, which a checkpoint to start from must be of too.
fn parameters(args: &Args, program: &Program, of: &str) -> Result<Parameters> {
    let init = args.init.clone().unwrap_or(match args.recipe {
        RecipeName::Default => InitChoice::Kaiming,
        RecipeName::Seed => InitChoice::PyTorch,
    });
    Ok(match init {
        InitChoice::Kaiming => Init::Kaiming.parameters(program.graph(), args.seed)?,
        InitChoice::PyTorch => Init::PyTorch.parameters(program.graph(), args.seed)?,
        InitChoice::File(path) => {
            let (parameters, metadata) = checkpoint::load(&path).context("--init")?;
            checkpoint::check(&path, &parameters, program.graph()).with_context(|| {
                let holds = metadata.map(|of| describe(&of.model, of.image, of.classes.len()));
                let holds = holds.unwrap_or_else(|| "a network that it does not name".to_owned());
                format!("--init: the file holds {holds}, but {of} is to be trained")
            })?;
            parameters
        }
    })
}

/// A network and the pictures that it is for, to be read by people.
fn describe(model: &str, [c, h, w]: [usize; 3], classes: usize) -> String {
    format!("{model} for {classes} classes of {c}x{h}x{w} pictures")
}

/// `runs/<model>-<data>`, or if there is a run in it `runs/<model>-<data>-2`, and so on.
fn default_folder(model: &Model, dataset: &str) -> PathBuf {
    let of = Path::new(dataset).file_name().unwrap_or_default();
    let name = format!("{}-{}", model.name, of.to_string_lossy());
    RunFolder::unused(&PathBuf::from("runs").join(name))
}

/// A new run, as the flags say.
pub(crate) fn new_run(args: &Args, model: &'static Model, device: &Device) -> Result<Setup> {
    let (name, data_dir) = args.dataset();
    let limits = [args.limit_train, args.limit_test];
    let mut split = load_data(name, data_dir.as_deref(), args.seed, limits)?;
    if let Some(share) = args.val_split {
        let count = (share * split.train.len() as f64).round() as usize;
        split = split.hold_out(count.max(1), args.seed);
    }
    let statistics = normalization(args, &split.train);
    let normalize = Normalize::from_channels(&statistics);
    let options = options(args, model, normalize, args.augment.of(&split.train));
    let outline = split.train.outline();
    let program = training_program(model, &outline, &options)?;
    let Outline { image, classes, .. } = outline;
    let parameters = parameters(args, &program, &describe(model.name, image, classes))?;
    let metadata = Metadata::new(model, &split.train, statistics, args.seed);
    let config = args.config(model, device, &options);
    let out = args.out.clone();
    let out = out.unwrap_or_else(|| default_folder(model, &args.dataset));
    let folder = RunFolder::create(&out, &config, metadata).context("--out")?;
    Ok(Setup {
        model,
        split,
        options,
        parameters,
        folder,
        resumed: None,
    })
}

/// The run in `out`, where it stopped.
pub(crate) fn resumed_run(args: &Args, out: &Path) -> Result<Setup> {
    let (folder, resumed) = RunFolder::resume(out).context("--resume")?;
    let (metadata, state) = (&resumed.metadata, &resumed.state);
    let model = Model::find(&metadata.model).context("--resume")?;
    let data_dir = args.data_dir.clone();
    let data_dir = data_dir.or_else(|| resumed.config["data_dir"].as_str().map(Into::into));
    let limits = [state.train_images + state.val_images, state.test_images].map(Some);
    let seed = state.options.seed;
    let split = load_data(&metadata.dataset, data_dir.as_deref(), seed, limits)?;
    let split = split.hold_out(state.val_images, seed);
    let options = TrainOptions {
        epochs: args.epochs.unwrap_or(state.options.epochs),
        max_steps: args.max_steps,
        patience: args.patience.or(state.options.patience),
        ..state.options.clone()
    };
    let parameters = resumed.parameters.clone();
    Ok(Setup {
        model,
        split,
        options,
        parameters,
        folder,
        resumed: Some(resumed),
    })
}
