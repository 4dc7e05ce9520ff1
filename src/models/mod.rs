//! The presets, by name. A model is a file here and a line in [`MODELS`].

mod alexnet;
mod form;
mod lenet;
mod nin;
mod resnet;
mod schedule;
mod table;
mod vgg;

pub use form::Form;
pub use schedule::{At, Schedule};
pub use table::{Layer, layers};

use form::{block, dense_head, features};

use crate::graph::{GraphBuilder, GraphError, ValueId};
use crate::ops::{Adam, Optimizer, Sgd};

/// Errors of naming a model.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// No such model.
    #[error("unknown model `{got}`; use one of {known}")]
    Unknown {
        /// The name given.
        got: String,
        /// The names that exist.
        known: String,
    },
    /// A model in a form that it does not have.
    #[error("`{model}` {form}: {what}")]
    Form {
        /// The model.
        model: String,
        /// The form that was asked for.
        form: Form,
        /// Why it cannot be.
        what: &'static str,
    },
}

/// Appends a network to a graph: images `[N,C,H,W]` and a number of classes -> logits `[N,classes]`.
pub type Network = fn(&mut GraphBuilder, ValueId, usize) -> Result<ValueId, GraphError>;

/// A network that can be built for any number of classes: a preset, or one of your own.
///
/// ```
/// use nin_wgpu::models::Model;
/// use nin_wgpu::ops::Conv2d;
///
/// let tiny = Model::new("tiny", |net, x, classes| {
///     let x = net.conv2d("conv1", x, 8, Conv2d::new(5, 2, 2)?)?;
///     let x = net.relu(x)?;
///     let x = net.conv2d("conv2", x, classes, Conv2d::new(1, 1, 0)?)?;
///     net.global_avg_pool(x)
/// });
/// # assert_eq!(tiny.name, "tiny");
/// # Ok::<(), nin_wgpu::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Name for the command line and checkpoints.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// Height and width that images are resized to; `None` keeps the data set's.
    pub size: Option<[usize; 2]>,
    /// Height and width for data without a size of their own, such as photos.
    pub native_size: [usize; 2],
    /// How it is trained unless told otherwise.
    pub recipe: Recipe,
    /// Its width, and whether it has batch norm; a network of your own decides that itself.
    pub form: Form,
    network: Builder,
}

/// What builds a model.
#[derive(Clone, Copy, Debug)]
enum Builder {
    /// A network of one form.
    Own(Network),
    /// A preset, in any form.
    Preset(fn(&mut GraphBuilder, ValueId, usize, Form) -> Result<ValueId, GraphError>),
}

/// How a preset is trained unless told otherwise, from [`crate::train::init::Init::Kaiming`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Images of a step.
    pub batch_size: usize,
    /// Passes over the training set.
    pub epochs: u64,
    /// Rule by which parameters follow from their gradients.
    pub optimizer: Optimizer,
    /// Its learning rate.
    pub learning_rate: f64,
    /// Steps over which it rises to its full value.
    pub warmup_steps: u64,
    /// How it goes on from there.
    pub schedule: Schedule,
}

impl Recipe {
    /// A careful start for a network without a recipe of its own.
    pub const DEFAULT: Self = Self {
        batch_size: 32,
        epochs: 8,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 1e-3,
        warmup_steps: 30,
        schedule: Schedule::Cosine,
    };

    /// The tutorial's script for `nin`: to be used with [`crate::train::init::Init::PyTorch`].
    pub const SEED: Self = Self {
        batch_size: 16,
        epochs: 3,
        optimizer: Optimizer::Adam(Adam::DEFAULT),
        learning_rate: 1e-3,
        warmup_steps: 0,
        schedule: Schedule::Constant,
    };

    /// The paper's training of its CIFAR-10 network (Lin, Chen, Yan, arXiv:1312.4400, section 4), with the numbers that the
    /// authors published beside their code (`NIN/cifar-10_params` and the README of github.com/mavenlin/cuda-convnet): SGD with
    /// momentum 0.9, and a rate that is divided by ten twice, by them after 200 and 230 of 260 epochs. Their loss counts a
    /// tenth (`coeff`), so a rate of 1 (`epsW`) is 0.1 here, and a decay of 1e-5 (`wc`) is 1e-4.
    pub const PAPER: Self = Self {
        batch_size: 128,
        epochs: 260,
        optimizer: Optimizer::Sgd(Sgd {
            momentum: 0.9,
            weight_decay: 1e-4,
            ..Sgd::DEFAULT
        }),
        learning_rate: 0.1,
        warmup_steps: 0,
        schedule: Schedule::Plateau {
            patience: 10,
            gamma: 0.1,
            drops: 2,
        },
    };
}

/// Every preset.
pub const MODELS: &[Model] = &[
    nin::NIN,
    nin::NIN_PAPER,
    nin::NIN_SMALL,
    nin::NIN_FINE,
    nin::NIN_DENSE,
    lenet::LENET,
    alexnet::ALEXNET,
    vgg::VGG11,
    resnet::RESNET18,
];

impl Model {
    /// A model of your own, at the size of the data's images.
    pub const fn new(name: &'static str, network: Network) -> Self {
        Self {
            name,
            summary: "",
            size: None,
            native_size: [32, 32],
            recipe: Recipe::DEFAULT,
            form: Form::PLAIN,
            network: Builder::Own(network),
        }
    }

    /// The preset of this name.
    ///
    /// # Errors
    /// [`ModelError::Unknown`], which lists the names.
    pub fn find(name: &str) -> Result<&'static Self, ModelError> {
        MODELS
            .iter()
            .find(|model| model.name == name)
            .ok_or_else(|| ModelError::Unknown {
                got: name.to_owned(),
                known: MODELS
                    .iter()
                    .map(|model| model.name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })
    }

    /// The same network in another form.
    ///
    /// # Errors
    /// [`ModelError::Form`] if the width is no number above 0, or this is a network of your own.
    pub fn with_form(self, form: Form) -> Result<Self, ModelError> {
        let what = match self.network {
            _ if form == self.form => return Ok(self),
            Builder::Own(_) => "a network of your own decides on its form itself",
            Builder::Preset(_) if !(form.width.is_finite() && form.width > 0.0) => {
                "the width must be a number above 0"
            }
            Builder::Preset(_) if self.form.batch_norm && !form.batch_norm => {
                "it is not itself without batch norm"
            }
            Builder::Preset(_) if form.dropout.is_some_and(|p| !(0.0..1.0).contains(&p)) => {
                "dropout must be at least 0 and below 1"
            }
            Builder::Preset(_) => return Ok(Self { form, ..self }),
        };
        Err(ModelError::Form {
            model: self.name.to_owned(),
            form,
            what,
        })
    }

    /// Height and width of the network's input for images of `height x width`.
    pub fn input_size(&self, height: usize, width: usize) -> [usize; 2] {
        self.size.unwrap_or([height, width])
    }

    /// Appends the network to `net`: images `[N,C,H,W]` -> logits `[N,classes]`.
    ///
    /// # Errors
    /// [`GraphError`] if the images are too small for it.
    pub fn build(
        &self,
        net: &mut GraphBuilder,
        images: ValueId,
        classes: usize,
    ) -> Result<ValueId, GraphError> {
        match self.network {
            Builder::Own(network) => network(net, images, classes),
            Builder::Preset(network) => network(net, images, classes, self.form),
        }
    }
}
