//! Fashion-MNIST: 70,000 grey pictures of garments, 28x28, light on dark, in ten classes.
//!
//! Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747; files at
//! <https://github.com/zalandoresearch/fashion-mnist>.

use std::path::{Path, PathBuf};

use super::{DataError, Dataset, Split, check_labels, idx};

/// The names of the classes, by label.
pub const CLASSES: [&str; 10] = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
];

/// The size of the official training set.
pub(super) const OUTLINE: super::Outline = super::Outline {
    len: 60_000,
    image: [1, 28, 28],
    classes: CLASSES.len(),
};

/// Where Debian's package `dataset-fashion-mnist` puts the files.
pub const SYSTEM_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// The files of the set, each plain or with `.gz` added.
pub const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

pub(super) const NAME: &str = "fashion-mnist";
const SIZE: [usize; 2] = [28, 28];

/// Loads the set from `data_dir` if given, else from [`SYSTEM_FOLDER`].
///
/// Files with fewer pictures than the published ones are accepted.
///
/// # Errors
///
/// [`DataError::NoFolder`], [`DataError::MissingFiles`] or [`DataError::NotInstalled`] if files
/// are not there; the errors of [`idx::read`]; and [`DataError::PictureSize`],
/// [`DataError::CountMismatch`] or [`DataError::Label`] if their content is not this data set's.
pub fn load(data_dir: Option<&Path>) -> Result<Split, DataError> {
    let folder = data_dir.unwrap_or(Path::new(SYSTEM_FOLDER));
    if !folder.is_dir() {
        return Err(match data_dir {
            Some(_) => DataError::NoFolder {
                folder: folder.into(),
            },
            None => DataError::NotInstalled {
                name: NAME,
                folder: folder.into(),
                package: "dataset-fashion-mnist",
                want: FILES.join(", "),
                url: "github.com/zalandoresearch/fashion-mnist",
            },
        });
    }
    let found = FILES.map(|name| find(folder, name));
    let [
        Some(train_images),
        Some(train_labels),
        Some(test_images),
        Some(test_labels),
    ] = &found
    else {
        let missing: Vec<_> = FILES
            .into_iter()
            .zip(&found)
            .filter(|(_, path)| path.is_none())
            .map(|(name, _)| name)
            .collect();
        return Err(DataError::MissingFiles {
            folder: folder.into(),
            missing: missing.join(", "),
            want: FILES.join(", "),
        });
    };
    Ok(Split {
        train: load_pair(train_images, train_labels)?,
        test: load_pair(test_images, test_labels)?,
    })
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))]
        .into_iter()
        .find(|path| path.is_file())
}

fn load_pair(image_path: &Path, label_path: &Path) -> Result<Dataset, DataError> {
    let images = idx::read(image_path, 3)?;
    let labels = idx::read(label_path, 1)?;
    let (count, size) = (images.dims[0], [images.dims[1], images.dims[2]]);
    if size != SIZE {
        return Err(DataError::PictureSize {
            path: image_path.into(),
            got: size,
            want: SIZE,
        });
    }
    if count != labels.values.len() {
        return Err(DataError::CountMismatch {
            images: image_path.into(),
            labels: label_path.into(),
            got_images: count,
            got_labels: labels.values.len(),
        });
    }
    // Checked here although `Dataset::new` does, so that the error names the file.
    check_labels(
        &label_path.display().to_string(),
        &labels.values,
        CLASSES.len(),
    )?;
    Dataset::new(
        NAME,
        images.values,
        labels.values,
        [1, size[0], size[1]],
        CLASSES.map(String::from).to_vec(),
    )
}
