//! What a page and its worker say to each other.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// What a page asks for. Commands are done in their order; a training goes on meanwhile.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Command {
    /// Opens the browser's GPU, or the CPU if there is none or it is asked for.
    Open {
        /// Whether the GPU is left alone.
        cpu: bool,
    },
    /// Times a training step on the open device and on the CPU.
    Compare,
    /// Loads a checkpoint to classify with.
    Load {
        /// What it is called.
        name: String,
        /// The file.
        bytes: ByteBuf,
    },
    /// Classifies a picture.
    Classify {
        /// Comes back with the answer.
        id: u32,
        /// By the network that is being trained, as it is, instead of the loaded one.
        training: bool,
        /// Whether the maps of every layer are wanted.
        layers: bool,
        /// The picture.
        picture: Picture,
    },
    /// Takes data of idx files.
    Data {
        /// What they are called.
        name: String,
        /// Names of the classes, by label.
        classes: Vec<String>,
        /// Images and labels to train on, then those to test on.
        files: [ByteBuf; 4],
    },
    /// Begins a data set of picture files.
    Folder {
        /// What it is called.
        name: String,
        /// Names of the classes, by label.
        classes: Vec<String>,
        /// Channels, height and width that pictures are brought to.
        image: [usize; 3],
    },
    /// Adds pictures to it.
    Pictures {
        /// Label and file of each.
        files: Vec<LabelledFile>,
    },
    /// Ends it.
    FolderEnd,
    /// Trains a network from its beginning.
    Train {
        /// How.
        plan: TrainPlan,
    },
    /// Goes on with a run that was saved.
    Resume {
        /// What a [`Event::Saved`] brought.
        bytes: ByteBuf,
        /// Passes over the training set, all in all; `None` as it was begun.
        epochs: Option<u64>,
    },
    /// Halts after the current step.
    Pause,
    /// Goes on.
    Continue,
    /// Does one step and halts.
    Step,
    /// Ends the training.
    Stop,
    /// Saves the training as it is.
    Save,
    /// Tests the network that is being trained.
    Examine,
    /// Tests every kernel of the device.
    SelfTest,
}

/// A picture as it comes.
#[derive(Debug, Deserialize)]
#[serde(tag = "form", rename_all = "camelCase")]
pub(crate) enum Picture {
    /// A png, jpeg, webp, gif, bmp or tiff file.
    File {
        /// What it is called.
        name: String,
        /// The file.
        bytes: ByteBuf,
    },
    /// Pixels of red, green, blue and alpha, as canvases have them.
    Pixels {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// The pixels.
        rgba: ByteBuf,
    },
}

/// A picture file and the index of its class.
#[derive(Debug, Deserialize)]
pub(crate) struct LabelledFile {
    /// Index of its class.
    pub(crate) label: u16,
    /// Its path in the folder.
    pub(crate) name: String,
    /// The file.
    pub(crate) bytes: ByteBuf,
}

/// How to train.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TrainPlan {
    /// Name of the preset.
    pub(crate) model: String,
    /// Images of a step.
    pub(crate) batch: usize,
    /// Passes over the training set.
    pub(crate) epochs: u64,
    /// The optimizer's learning rate.
    pub(crate) learning_rate: f64,
    /// How parameters follow from their gradients.
    pub(crate) optimizer: OptimizerName,
    /// Whether images are moved and mirrored at random.
    pub(crate) augment: bool,
    /// Seed of everything that is left to chance.
    pub(crate) seed: u64,
    /// Steps between two values of the loss.
    pub(crate) log_every: u64,
}

/// The optimizers to choose from.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OptimizerName {
    /// Adam.
    Adam,
    /// Adam with weight decay of its own.
    Adamw,
    /// Stochastic gradient descent with momentum 0.9.
    Sgd,
}

/// What a worker tells of.
#[derive(Debug, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Event {
    /// The device is open.
    Opened {
        /// The device, for people.
        device: String,
        /// Whether it is a GPU of the browser's.
        gpu: bool,
        /// Why it is none, if one was wanted.
        reason: Option<String>,
        /// Limits and features, names and values.
        details: Vec<(String, String)>,
        /// The networks to train.
        models: Vec<Preset>,
    },
    /// How long a training step takes.
    Compared {
        /// Seconds on the open device.
        device: f64,
        /// Seconds on the CPU.
        cpu: f64,
    },
    /// So many of the kernels of a network are compiled.
    Compiling {
        /// Those that are.
        done: usize,
        /// All of them.
        of: usize,
    },
    /// A checkpoint is ready to classify with.
    Loaded {
        /// The file's name.
        name: String,
        /// What it holds.
        network: Network,
    },
    /// A picture was classified.
    Classified(Classified),
    /// Data are ready to train on.
    DataReady {
        /// Their name.
        name: String,
        /// Names of the classes.
        classes: Vec<String>,
        /// Images to train on and to test on.
        images: [usize; 2],
        /// Channels, height and width.
        image: [usize; 3],
    },
    /// So many pictures of a folder were read.
    FolderProgress {
        /// Those that were.
        read: usize,
        /// Those that could not be, and why.
        bad: Vec<String>,
    },
    /// A training begins, or goes on.
    TrainStarted {
        /// The network.
        network: Network,
        /// Steps done already.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// Images of a step.
        batch: usize,
    },
    /// How far a test is.
    Testing {
        /// Images done.
        images: u64,
        /// All of them.
        of: u64,
    },
    /// Means over some steps.
    Metrics {
        /// Last of the steps.
        step: u64,
        /// Epoch, from 1.
        epoch: u64,
        /// Mean loss.
        loss: f64,
        /// Part of the images that were classified right.
        accuracy: f64,
        /// Learning rate of the last step.
        learning_rate: f64,
        /// Images a second.
        images_per_second: f64,
    },
    /// An epoch is over.
    Epoch {
        /// Its number, from 1.
        epoch: u64,
        /// Steps so far.
        step: u64,
        /// Mean loss of its steps.
        train_loss: f64,
        /// Part of the test images that are classified right.
        test_accuracy: f64,
    },
    /// The training halted after this step.
    Paused {
        /// The step.
        step: u64,
    },
    /// The training as it is, to be kept.
    Saved {
        /// Steps done.
        step: u64,
        /// For the native program, PyTorch and this page: parameters and metadata.
        weights: ByteBuf,
        /// To go on from: parameters, the optimizer's moments and the state of the run.
        run: ByteBuf,
    },
    /// The training is over.
    TrainEnded {
        /// Steps done.
        step: u64,
        /// Whether it was stopped or came to its end.
        stopped: bool,
    },
    /// The training cannot go on. What was saved can.
    TrainFailed {
        /// Why.
        message: String,
    },
    /// How the network does on the test images.
    Examined(Examined),
    /// A kernel was tested.
    Checked {
        /// How many are done.
        done: usize,
        /// All of them.
        of: usize,
        /// What was tested and what came of it.
        text: String,
        /// Whether it is right.
        right: bool,
    },
    /// The session came to an end that nobody foresaw.
    Crashed {
        /// What happened.
        message: String,
    },
    /// A command could not be done.
    Error {
        /// Which.
        of: &'static str,
        /// Why.
        message: String,
    },
}

/// A network that can be trained.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Preset {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is made of.
    pub(crate) summary: &'static str,
    /// Images of a step.
    pub(crate) batch: usize,
    /// Its learning rate.
    pub(crate) learning_rate: f64,
}

/// What is known of a network.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Network {
    /// Its preset.
    pub(crate) model: String,
    /// The data that it was trained on.
    pub(crate) dataset: String,
    /// Names of the classes, by label.
    pub(crate) classes: Vec<String>,
    /// Channels, height and width of its pictures.
    pub(crate) image: [usize; 3],
    /// Numbers that are learnt.
    pub(crate) parameters: usize,
    /// Steps that it was trained.
    pub(crate) step: u64,
}

/// What a network says of a picture.
#[derive(Debug, Serialize)]
pub(crate) struct Classified {
    /// That of the command.
    pub(crate) id: u32,
    /// Whether the network is the one that is being trained.
    pub(crate) training: bool,
    /// Names of the classes.
    pub(crate) classes: Vec<String>,
    /// Probability of each.
    pub(crate) probabilities: Vec<f32>,
    /// The picture as the network sees it, `[C,H,W]`.
    pub(crate) pixels: ByteBuf,
    /// Its shape.
    pub(crate) image: [usize; 3],
    /// The class maps, if the network has any.
    pub(crate) maps: Option<Maps>,
    /// The maps of every layer, if they were asked for.
    pub(crate) layers: Vec<Maps>,
    /// The filters of the first convolution, likewise, if the network begins with one.
    pub(crate) filters: Option<Filters>,
}

/// Filters to look at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Filters {
    /// Count, rows and columns.
    pub(crate) shape: [usize; 3],
    /// Weights `[count,rows,columns]`, the mean over their channels: 128 for 0, and 0 or 255 for the largest of each filter.
    pub(crate) values: ByteBuf,
}

/// Maps of one layer, and where they lie on the picture.
#[derive(Debug, Serialize)]
pub(crate) struct Maps {
    /// The layer.
    pub(crate) name: String,
    /// Count, rows and columns.
    pub(crate) shape: [usize; 3],
    /// Values `[count,rows,columns]` from 0 to 255, 255 for `highest`; what is below 0 is 0.
    pub(crate) values: ByteBuf,
    /// The highest value.
    pub(crate) highest: f32,
    /// Where the first pixel's centre lies on the picture, row and column, in parts of its sides.
    pub(crate) first: [f64; 2],
    /// Distance to the next one's, likewise.
    pub(crate) step: [f64; 2],
}

/// How a network does on images that it was not trained on.
#[derive(Debug, Serialize)]
pub(crate) struct Examined {
    /// Step of the network.
    pub(crate) step: u64,
    /// Names of the classes.
    pub(crate) classes: Vec<String>,
    /// How often images of a class (row) were given a class (column).
    pub(crate) confusion: Vec<Vec<u32>>,
    /// The mistakes that it was surest of.
    pub(crate) mistakes: Vec<Mistake>,
    /// Shape of their pixels.
    pub(crate) image: [usize; 3],
}

/// An image that was classified wrong.
#[derive(Debug, Serialize)]
pub(crate) struct Mistake {
    /// Its class.
    pub(crate) label: usize,
    /// The class that it was given.
    pub(crate) predicted: usize,
    /// With which probability.
    pub(crate) probability: f32,
    /// Its pixels, `[C,H,W]`.
    pub(crate) pixels: ByteBuf,
}
