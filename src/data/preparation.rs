//! How pictures of any size and kind became those of a data set, so that new ones are treated alike.

use serde::{Deserialize, Serialize};

use super::Fit;
use super::image_file::Invert;

/// How pictures of any size and kind became those of a data set. A checkpoint keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// What became of other proportions.
    pub fit: Fit,
    /// Whether light and dark were swapped, [`Invert::Auto`] if that is to be decided picture by picture.
    pub invert: Invert,
}

impl Default for Preparation {
    /// For published sets of small grey pictures, light on dark: a photo is shown to their networks whole, and swapped if its
    /// border is bright.
    fn default() -> Self {
        Self {
            fit: Fit::Pad,
            invert: Invert::Auto,
        }
    }
}
