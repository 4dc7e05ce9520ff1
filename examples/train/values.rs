//! What flags of `train` take: names, numbers, and how they are read.

use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;
use nin_wgpu::data::Dataset;
use nin_wgpu::gpu::Tune;
use nin_wgpu::ops::Augment;
use nin_wgpu::train::{Home, OnBad};

/// A named set of defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RecipeName {
    /// The preset's own.
    Default,
    /// The tutorial's script, exactly.
    Seed,
    /// That of the paper's CIFAR-10 network.
    Paper,
}

/// How kernels are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TuneName {
    Off,
    Cached,
    Full,
}

impl From<TuneName> for Tune {
    fn from(name: TuneName) -> Self {
        match name {
            TuneName::Off => Self::Off,
            TuneName::Cached => Self::Cached,
            TuneName::Full => Self::Full,
        }
    }
}

/// What becomes of pictures that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnBadName {
    Stop,
    Skip,
}

impl From<OnBadName> for OnBad {
    fn from(name: OnBadName) -> Self {
        match name {
            OnBadName::Stop => Self::Stop,
            OnBadName::Skip => Self::Skip,
        }
    }
}

/// What becomes of a training that diverges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnNan {
    Stop,
    Rollback,
    Skip,
}

/// Where the pictures lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HomeName {
    Auto,
    Resident,
    Stream,
}

impl From<HomeName> for Home {
    fn from(name: HomeName) -> Self {
        match name {
            HomeName::Auto => Self::Auto,
            HomeName::Resident => Self::Resident,
            HomeName::Stream => Self::Stream,
        }
    }
}

/// Random changes to the training images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AugmentName {
    None,
    Auto,
    Crop,
    Flip,
    Both,
}

impl AugmentName {
    /// For images of a data set: moved by up to an eighth of their side.
    pub(crate) fn of(self, data: &Dataset) -> Augment {
        let [crop, flip] = match self {
            Self::None => [false, false],
            // The mirror image of a letter or digit is none, and that of a synthetic grating is another class.
            Self::Auto => {
                let name = data.name();
                let matters = matches!(name, "mnist" | "kmnist" | "svhn" | "synthetic");
                [true, !matters && !name.starts_with("emnist")]
            }
            Self::Crop => [true, false],
            Self::Flip => [false, true],
            Self::Both => [true, true],
        };
        let side = data.height().min(data.width()) as u32;
        Augment {
            crop: if crop { side / 8 } else { 0 },
            flip,
            ..Augment::NONE
        }
    }
}

/// Where the initial parameters come from.
#[derive(Clone, Debug)]
pub(crate) enum InitChoice {
    Kaiming,
    PyTorch,
    File(PathBuf),
}

impl FromStr for InitChoice {
    type Err = std::convert::Infallible;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(match s {
            "kaiming" => Self::Kaiming,
            "pytorch" => Self::PyTorch,
            path => Self::File(path.into()),
        })
    }
}

/// How much each class counts in the loss.
#[derive(Clone, Debug)]
pub(crate) enum ClassWeights {
    Balanced,
    Given(Vec<f32>),
}

impl FromStr for ClassWeights {
    type Err = &'static str;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s == "balanced" {
            return Ok(Self::Balanced);
        }
        let weight = |s: &str| {
            s.trim()
                .parse()
                .ok()
                .filter(|w: &f32| w.is_finite() && *w >= 0.0)
        };
        let weights: Option<Vec<f32>> = s.split(',').map(weight).collect();
        let weights = weights.filter(|weights| weights.iter().any(|&w| w > 0.0));
        let wanted = "expected balanced, or a number for each class, at least 0 and not all 0, such as 1,2.5,1";
        weights.map(Self::Given).ok_or(wanted)
    }
}

pub(crate) fn smoothing(s: &str) -> Result<f32, &'static str> {
    let number = s.parse().ok().filter(|part| (0.0..1.0).contains(part));
    number.ok_or("expected a number of at least 0 and below 1, such as 0.1")
}

pub(crate) fn at_least_one<T: FromStr + PartialOrd + From<u8>>(s: &str) -> Result<T, &'static str> {
    let number = s.parse().ok().filter(|n| *n >= T::from(1));
    number.ok_or("expected a whole number, at least 1")
}

pub(crate) fn share(s: &str) -> Result<f64, &'static str> {
    let number = s.parse().ok().filter(|share| *share > 0.0 && *share < 1.0);
    number.ok_or("expected a share between 0 and 1, such as 0.1")
}

pub(crate) fn rate(s: &str) -> Result<f64, &'static str> {
    let number: Option<f64> = s.parse().ok();
    let number = number.filter(|rate| rate.is_finite() && *rate > 0.0);
    number.ok_or("expected a number above 0, such as 0.001")
}
