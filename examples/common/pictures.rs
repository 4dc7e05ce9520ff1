//! Flags that several programs have for how pictures are brought in.

use clap::ValueEnum;
use nin_wgpu::data::Fit;
use nin_wgpu::data::image_file::Invert;

/// What becomes of other proportions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FitName {
    Crop,
    Pad,
    Stretch,
}

impl From<FitName> for Fit {
    fn from(name: FitName) -> Self {
        match name {
            FitName::Crop => Self::Crop,
            FitName::Pad => Self::Pad,
            FitName::Stretch => Self::Stretch,
        }
    }
}

/// Whether light and dark are swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InvertName {
    Auto,
    Yes,
    No,
}

impl From<InvertName> for Invert {
    fn from(name: InvertName) -> Self {
        match name {
            InvertName::Auto => Self::Auto,
            InvertName::Yes => Self::Yes,
            InvertName::No => Self::No,
        }
    }
}
