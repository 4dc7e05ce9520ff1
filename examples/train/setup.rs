//! From flags, or from a run that was stopped, to everything that a run is made of.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use nin_wgpu::checkpoint::{Adopted, Checkpoint, Metadata, adopt};
use nin_wgpu::data::{DataError, Dataset, Loader, Outline, Split};
use nin_wgpu::device::Device;
use nin_wgpu::graph::GraphError;
use nin_wgpu::init::Init;
use nin_wgpu::models::{Model, Recipe};
use nin_wgpu::ops::{Augment, Normalize};
use nin_wgpu::program::{Loss, Parameters, Program, Training};
use nin_wgpu::train::{
    Home, OnBad, Resumed, RunFolder, TrainError, TrainOptions, balanced_class_weights,
    check_memory, training_program,
};

use crate::args::Args;
use crate::sets;
use crate::values::{ClassWeights, InitChoice, OnNan, RecipeName};

/// Everything that a run is made of.
pub(crate) struct Setup {
    pub(crate) model: Model,
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
) -> Result<TrainOptions> {
    let recipe = match args.recipe {
        RecipeName::Default => model.recipe,
        RecipeName::Seed => Recipe::SEED,
        RecipeName::Paper => Recipe::PAPER,
    };
    let schedule = args.tuning.schedule(recipe.schedule)?;
    let training = Training {
        skip_non_finite: args.on_nan == Some(OnNan::Skip),
        ..args.optimizer.training(recipe.optimizer)?
    };
    let warmup_steps = match (schedule.rises(), args.warmup) {
        (true, Some(1..)) => {
            bail!("--warmup: {schedule} begins with a rise of its own; leave --warmup out")
        }
        (true, _) => 0,
        (false, told) => told.unwrap_or(recipe.warmup_steps),
    };
    Ok(TrainOptions {
        batch_size: args.batch_size.unwrap_or(recipe.batch_size),
        accumulate: args.tuning.accumulate,
        epochs: args.epochs.unwrap_or(recipe.epochs),
        learning_rate: args.lr.unwrap_or(recipe.learning_rate),
        warmup_steps,
        schedule,
        training,
        normalize,
        augment,
        seed: args.seed,
        shuffle: !args.no_shuffle,
        log_every: args.log_every,
        checkpoint_every: args.checkpoint_every,
        max_steps: args.max_steps,
        patience: args.patience,
        first_step: args.dump.is_some(),
        image_size: args.image_size,
        home: args.data_home.map_or(Home::Auto, Into::into),
        prefetch: args.prefetch,
        workers: args.workers.unwrap_or(0),
        on_bad: args.on_bad.map_or(OnBad::Stop, Into::into),
        balance: args.balance,
    })
}

/// Finds the data set, or downloads it, and takes the first images of each part.
fn load_data(args: &Args, loader: Loader<'_>, [train, test]: [Option<usize>; 2]) -> Result<Split> {
    let split = sets::load(loader, args.mirror.as_ref()).map_err(|error| match error {
        DataError::UnknownDataset { .. } => {
            anyhow!("--dataset: {error}, or a folder of pictures that is there")
        }
        other => other.into(),
    })?;
    let limit = |data: Dataset, most: Option<usize>| match most {
        Some(most) => data.limit(most),
        None => data,
    };
    Ok(Split {
        train: limit(split.train, train),
        test: limit(split.test, test),
        ..split
    })
}

/// A checkpoint to start from.
type Initial = (PathBuf, Checkpoint);

fn initial(args: &Args) -> Result<Option<Initial>> {
    let Some(InitChoice::File(path)) = &args.init else {
        return Ok(None);
    };
    let file = Checkpoint::open(path).context("--init")?;
    Ok(Some((path.clone(), file)))
}

/// Mean and deviation that the input is normalised by, and what there is to tell of them.
fn normalization(
    args: &Args,
    train: &Dataset,
    initial: Option<&Initial>,
) -> (Vec<(f32, f32)>, Option<String>) {
    let plain = vec![(0.0, 1.0); train.channels()];
    let of_init = initial.and_then(|(path, file)| Some((path, &file.metadata.as_ref()?.normalize)));
    let of_init = of_init.filter(|(_, of)| of.len() == plain.len() && **of != plain);
    match (args.normalize, of_init) {
        (false, None) => (plain, None),
        (true, None) => (train.mean_std(), None),
        (false, Some((path, of))) => {
            let path = path.display();
            let note = format!(
                "input normalised as that of {path} was; --normalize takes these images' own statistics"
            );
            (of.clone(), Some(note))
        }
        (true, Some((path, of))) => {
            let own = train.mean_std();
            let note = format!(
                "input normalised by {own:.3?}, but {} was trained with {of:.3?} (mean, deviation)",
                path.display()
            );
            (own, Some(note))
        }
    }
}

/// The parameters to begin with; `of` is what is to be trained, of which a checkpoint to start from must have some tensor.
fn parameters(
    args: &Args,
    program: &Program,
    of: &str,
    initial: Option<Initial>,
) -> Result<Parameters> {
    let init = match (&args.init, args.recipe) {
        (Some(InitChoice::PyTorch), _) | (None | Some(InitChoice::File(_)), RecipeName::Seed) => {
            Init::PyTorch
        }
        _ => Init::Kaiming,
    };
    let fresh = init.parameters(program.graph(), args.seed)?;
    let Some((path, file)) = initial else {
        return Ok(fresh);
    };
    let adopted = adopt(&path, &file, fresh).with_context(|| {
        let holds = file.metadata.as_ref();
        let holds = holds.map(|of| describe(&of.model, of.image, of.classes.len()));
        let holds = holds.unwrap_or_else(|| "a network that it does not name".to_owned());
        format!("--init: the file holds {holds}, but {of} is to be trained")
    })?;
    warn_of_partial(&path, &adopted);
    Ok(adopted.parameters)
}

/// What of a checkpoint was not taken, and which parameters are not from it.
fn warn_of_partial(path: &Path, adopted: &Adopted) {
    let all = adopted.parameters.len();
    if adopted.fresh.is_empty() && adopted.left_out.is_empty() {
        return;
    }
    let mut text = format!(
        "--init: {} of the {all} parameters are from {}",
        adopted.taken,
        path.display()
    );
    let shapes: Vec<_> = adopted
        .fresh
        .iter()
        .map(|(name, got)| {
            let wanted = adopted.parameters.iter().find(|(of, _)| of == name);
            let wanted = wanted.map_or(String::new(), |(_, tensor)| tensor.shape.to_string());
            format!("{name} ({got} in the file, {wanted} here)")
        })
        .collect();
    for (what, names) in [
        ("these start anew", shapes),
        ("left out of the file", adopted.left_out.clone()),
    ] {
        if !names.is_empty() {
            text += &format!("; {what}: {}", names.join(", "));
        }
    }
    eprintln!("warning: {text}");
}

/// A network and the pictures that it is for, to be read by people.
fn describe(model: &str, [c, h, w]: [usize; 3], classes: usize) -> String {
    format!("{model} for {classes} classes of {c}x{h}x{w} pictures")
}

/// `runs/<model>-<data>`.
pub(crate) fn run_folder(model: &Model, dataset: &str) -> PathBuf {
    let of = Path::new(dataset).file_name().unwrap_or_default();
    PathBuf::from("runs").join(format!("{}-{}", model.name, of.to_string_lossy()))
}

/// What there is before anything is written.
pub(crate) struct Prepared {
    pub(crate) split: Split,
    pub(crate) options: TrainOptions,
    pub(crate) parameters: Parameters,
    metadata: Metadata,
}

/// The loss that the flags ask for, of these training images.
fn loss(args: &Args, train: &Dataset) -> Result<Loss> {
    let class_weights = match &args.class_weights {
        None => Vec::new(),
        Some(ClassWeights::Balanced) => balanced_class_weights(train),
        Some(ClassWeights::Given(weights)) => weights.clone(),
    };
    let (got, classes) = (class_weights.len(), train.classes().len());
    if got != 0 && got != classes {
        return Err(TrainError::ClassWeights { got, classes }).context("--class-weights");
    }
    Ok(Loss::CrossEntropy {
        label_smoothing: args.label_smoothing,
        class_weights,
    })
}

/// Data, options and parameters of a new run, as the flags say.
pub(crate) fn prepare(args: &Args, model: &Model, device: &Device) -> Result<Prepared> {
    let (name, data_dir) = args.dataset();
    let limits = [args.limit_train, args.limit_test];
    let loader = Loader::new(name)
        .data_dir(data_dir.as_deref())
        .seed(args.seed)
        .image_size(args.image_size)
        .native_size(model.native_size)
        .fit(args.fit.into())
        .invert(args.invert.into())
        .pictures_cache(args.pictures_cache());
    let mut split = load_data(args, loader, limits)?;
    if let Some(share) = args.val_split
        && split.val.is_none()
    {
        let count = (share * split.train.len() as f64).round() as usize;
        split = split.hold_out(count.max(1), args.seed);
    }
    let initial = initial(args)?;
    let (statistics, note) = normalization(args, &split.train, initial.as_ref());
    split.notes.extend(note);
    let normalize = Normalize::from_channels(&statistics);
    let mut options = options(args, model, normalize, args.augment.of(&split.train))?;
    options.training.loss = loss(args, &split.train)?;
    let outline = split.train.outline();
    let Outline { image, classes, .. } = outline;
    let program = training_program(model, &outline, &options).map_err(|error| {
        let ([_, h, w], [to_h, to_w]) = (image, model.native_size);
        let name = model.name;
        let context = match &error {
            nin_wgpu::Error::Graph(GraphError::NothingToTrain) => "--freeze".to_owned(),
            nin_wgpu::Error::Graph(GraphError::NoParameter { prefix, .. }) => {
                match options.training.frozen.contains(prefix) {
                    true => "--freeze".to_owned(),
                    false => "--lr-of".to_owned(),
                }
            }
            nin_wgpu::Error::Graph(_) | nin_wgpu::Error::Shape(_)
                if [h, w] != model.native_size =>
            {
                format!(
                "cannot train {name} on {h}x{w} pictures (--image-size {to_h}x{to_w} brings them to its own size)"
                )
            }
            _ => format!("cannot train {name} on {h}x{w} pictures"),
        };
        anyhow!(error).context(context)
    })?;
    check_memory(device, model, &split, &options)?;
    let of = describe(model.name, image, classes);
    let parameters = parameters(args, &program, &of, initial)?;
    let mut metadata = Metadata::new(model, &split.train, statistics, args.seed);
    metadata.input = args.image_size;
    Ok(Prepared {
        split,
        options,
        parameters,
        metadata,
    })
}

/// A new run, as the flags say.
pub(crate) fn new_run(args: &Args, model: Model, device: &Device) -> Result<Setup> {
    let Prepared {
        split,
        options,
        parameters,
        metadata,
    } = prepare(args, &model, device)?;
    let config = args.config(&model, device, &options);
    let folder = match &args.out {
        Some(out) => RunFolder::create(out, &config, metadata),
        // The first of its name and numbers that holds no run, and that no other training is at.
        None => RunFolder::create_unused(&run_folder(&model, &args.dataset), &config, metadata),
    };
    let folder = folder.context("--out")?;
    Ok(Setup {
        model,
        split,
        options,
        parameters,
        folder,
        resumed: None,
    })
}

/// A run where it stopped, its learning rate multiplied by `rate`.
pub(crate) fn resumed_run(
    args: &Args,
    (folder, resumed): (RunFolder, Resumed),
    rate: f64,
) -> Result<Setup> {
    let (metadata, state) = (&resumed.metadata, &resumed.state);
    let model = metadata.preset().context("--resume")?;
    let data_dir = args.data_dir.clone();
    let data_dir = data_dir.or_else(|| resumed.config["data_dir"].as_str().map(Into::into));
    let seed = state.options.seed;
    let preparation = metadata.preparation;
    let loader = Loader::new(&metadata.dataset)
        .data_dir(data_dir.as_deref())
        .seed(seed)
        .shape(metadata.image)
        .fit(preparation.fit)
        .invert(preparation.invert)
        .pictures_cache(args.pictures_cache());
    let mut split = load_data(args, loader, [None, None])?;
    if split.train.classes() != metadata.classes {
        bail!(
            "--resume: the run was trained on the classes {}, but the data has {}; name the folder that it was trained \
             on with --data-dir, or start a new run",
            metadata.classes.join(", "),
            split.train.classes().join(", ")
        );
    }
    split.test = split.test.limit(state.test_images);
    if split.val.is_some() {
        split.train = split.train.limit(state.train_images);
    } else {
        let both = state.train_images + state.val_images;
        split.train = split.train.limit(both);
        split = split.hold_out(state.val_images, seed);
    }
    let was = &state.options;
    let home = args.data_home.map_or(was.home, Into::into);
    let (outline, random) = (split.train.outline(), was.augment != Augment::NONE);
    // The device draws parts of what testing sees of a photo, threads parts of the photo.
    if outline.draws && random && home.of(&outline, random) != was.home.of(&outline, random) {
        split.notes.push(format!(
            "the pictures lay elsewhere ({:?}), where other parts of them are drawn: this goes on to other bits than the run in \
             one would",
            was.home
        ));
    }
    let training = Training {
        skip_non_finite: match args.on_nan {
            Some(on_nan) => on_nan == OnNan::Skip,
            None => was.training.skip_non_finite,
        },
        ..was.training.clone()
    };
    let options = TrainOptions {
        home,
        training,
        prefetch: args.prefetch,
        workers: args.workers.unwrap_or(0),
        on_bad: args.on_bad.map_or(state.options.on_bad, Into::into),
        epochs: args.epochs.unwrap_or(state.options.epochs),
        learning_rate: was.learning_rate * rate,
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
