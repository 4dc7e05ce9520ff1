//! Labelled pictures as bytes: what to train and test on, and where it comes from.
//!
//! This module owns finding, reading and checking data. It does not order, normalise or resize
//! batches: that happens in a step, on the device.
//!
//! | name | what | where from |
//! |---|---|---|
//! | `fashion-mnist` | 60,000 + 10,000 garments, `[1,28,28]`, 10 classes | [`fashion_mnist`] |
//! | `mnist` | 60,000 + 10,000 digits, `[1,28,28]`, 10 classes | [`mnist`] |
//! | `kmnist` | 60,000 + 10,000 Japanese characters, `[1,28,28]`, 10 classes | [`kmnist`] |
//! | `emnist-balanced`, `-byclass`, `-bymerge`, `-digits`, `-letters`, `-mnist` | letters and digits, `[1,28,28]`, 10 to 62 classes | [`emnist`] |
//! | `cifar10` | 50,000 + 10,000 photos, `[3,32,32]`, 10 classes | [`cifar10`] |
//! | `cifar100`, `cifar100-coarse` | 50,000 + 10,000 photos, `[3,32,32]`, 100 or 20 classes | [`cifar100`] |
//! | `svhn` | 73,257 + 26,032 house numbers' digits, `[3,32,32]`, 10 classes | [`svhn`] |
//! | `idx` | idx files of your own | [`idx_folder`] |
//! | `folder` | pictures of your own, a sub-folder for each class | [`folder`] |
//! | `synthetic` | 6,000 + 1,000 gratings, `[1,28,28]`, 10 classes | [`synthetic`] |
//!
//! [`load`] looks in the folder it is given, else in the system's. A [`Loader`] can also look in a folder of downloads, and
//! download what is in none of them.

mod cache;
mod cifar;
pub mod cifar10;
pub mod cifar100;
mod dataset;
#[cfg(feature = "download")]
pub mod download;
pub mod emnist;
mod error;
pub mod fashion_mnist;
mod feed;
mod files;
pub mod folder;
mod identical;
pub mod idx;
pub mod idx_folder;
mod idx_set;
pub mod image_file;
pub mod kmnist;
mod listing;
mod loader;
mod mat;
pub mod mnist;
mod photos;
mod pickle;
mod preparation;
mod resample;
mod source;
mod split;
pub mod svhn;
pub mod synthetic;
mod view;
mod zip;

use std::path::Path;

pub use crate::ops::CropBox;
pub(crate) use dataset::check_labels;
pub use dataset::{Dataset, Outline};
use dataset::{byte_count, class_count_error};
pub use error::DataError;
pub use feed::Bad;
pub(crate) use feed::{Feed, Order};
pub use identical::identical;
pub use loader::{Loader, find};
pub use preparation::Preparation;
pub use source::PictureSource;
pub use split::Split;
pub use view::{Draw, Fit, View, mirrored, resized_crop};

/// The names that [`load`] knows.
pub const DATASETS: &[&str] = &[
    fashion_mnist::NAME,
    mnist::NAME,
    kmnist::NAME,
    "emnist-balanced",
    "emnist-byclass",
    "emnist-bymerge",
    "emnist-digits",
    "emnist-letters",
    "emnist-mnist",
    cifar10::NAME,
    cifar100::NAME,
    cifar100::COARSE_NAME,
    svhn::NAME,
    idx_folder::NAME,
    folder::NAME,
    folder::CSV,
    synthetic::NAME,
];

/// Loads a data set by name, from `data_dir` if given, else from the system's folder or the user's
/// cache folder. Downloads nothing: see [`Loader`].
///
/// # Errors
///
/// Those of [`Loader::load`].
pub fn load(name: &str, data_dir: Option<&Path>) -> Result<Split, DataError> {
    Loader::new(name).data_dir(data_dir).load()
}

/// The size of a data set's training part, known without its files; not for a `folder` or `idx` files.
///
/// # Errors
///
/// [`DataError::UnknownDataset`] if the name is not among [`DATASETS`], and
/// [`DataError::FolderWanted`] for `folder` and `idx`.
pub fn outline(name: &str) -> Result<Outline, DataError> {
    match files::SETS.iter().find(|set| set.name == name) {
        Some(set) => Ok(set.outline),
        None => Ok(load(name, None)?.train.outline()),
    }
}
