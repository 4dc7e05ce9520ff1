//! Labelled pictures as bytes: what to train and test on, and where it comes from.
//!
//! This module owns finding, reading and checking data. It does not order, normalise or resize
//! batches: that happens in a step, on the device.
//!
//! | name | what | where from |
//! |---|---|---|
//! | `fashion-mnist` | 60,000 + 10,000 garments, `[1,28,28]`, 10 classes | [`fashion_mnist`] |
//! | `mnist` | 60,000 + 10,000 digits, `[1,28,28]`, 10 classes | [`mnist`] |
//! | `cifar10` | 50,000 + 10,000 photos, `[3,32,32]`, 10 classes | [`cifar10`] |
//! | `folder` | pictures of your own, a sub-folder for each class | [`folder`] |
//! | `synthetic` | 6,000 + 1,000 gratings, `[1,28,28]`, 10 classes | [`synthetic`] |
//!
//! [`load`] looks in the folder it is given, else in the system's, else in the user's cache folder.
//! A [`Loader`] can also download what is in none of them.

pub mod cifar10;
mod dataset;
#[cfg(feature = "download")]
pub mod download;
mod error;
pub mod fashion_mnist;
mod files;
pub mod folder;
pub mod idx;
mod idx_set;
pub mod image_file;
mod loader;
pub mod mnist;
pub mod synthetic;

use std::path::Path;

pub use dataset::{Dataset, Outline, Split};
use dataset::{byte_count, check_labels, class_count_error};
pub use error::DataError;
pub use loader::{Loader, cache_dir};

/// The names that [`load`] knows.
pub const DATASETS: &[&str] = &[
    fashion_mnist::NAME,
    mnist::NAME,
    cifar10::NAME,
    folder::NAME,
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

/// The size of a data set's training part, known without its files; not for a `folder`.
///
/// # Errors
///
/// [`DataError::UnknownDataset`] if the name is not among [`DATASETS`], and
/// [`DataError::FolderWanted`] for `folder`.
pub fn outline(name: &str) -> Result<Outline, DataError> {
    match name {
        fashion_mnist::NAME | mnist::NAME => Ok(idx_set::OUTLINE),
        cifar10::NAME => Ok(cifar10::OUTLINE),
        _ => Ok(load(name, None)?.train.outline()),
    }
}
