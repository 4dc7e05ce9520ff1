//! MNIST and its relatives: four idx files of grey 28x28 pictures in ten classes.

use std::path::{Path, PathBuf};

use super::files::{FileSet, all_found};
use super::{DataError, Dataset, Loader, Outline, Split, check_labels, idx};

/// The files of such a set: pictures and labels to train on, then those to test on. Each plain or
/// with `.gz` added.
pub(super) const FILES: [&str; 4] = [
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
];

/// [`FILES`] in words.
pub(super) const WANT: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, \
     t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte (each plain or as .gz)";

/// The size of the official training sets.
pub(super) const OUTLINE: Outline = Outline {
    len: 60_000,
    image: [1, 28, 28],
    classes: 10,
};

const SIZE: [usize; 2] = [28, 28];

/// Finds [`FILES`] in a folder, or names the missing ones.
pub(super) fn locate(folder: &Path) -> Result<Vec<PathBuf>, Vec<&'static str>> {
    let found = FILES.map(|name| {
        // Some unpackers write a dot for the dash before `idx`.
        let dotted = name.replace("-idx", ".idx");
        [name.into(), format!("{name}.gz"), dotted]
            .into_iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file())
    });
    all_found(&FILES, found)
}

/// Finds and reads a set. Files with fewer pictures than the published ones are accepted.
pub(super) fn load(
    set: &FileSet,
    classes: [&str; 10],
    loader: &mut Loader<'_>,
) -> Result<Split, DataError> {
    let paths = set.find(loader)?;
    let pair = |images: usize| load_pair(set.name, classes, &paths[images], &paths[images + 1]);
    Ok(Split::new(pair(0)?, pair(2)?))
}

fn load_pair(
    name: &str,
    classes: [&str; 10],
    image_path: &Path,
    label_path: &Path,
) -> Result<Dataset, DataError> {
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
        classes.len(),
    )?;
    Dataset::new(
        name,
        images.values,
        labels.values,
        [1, size[0], size[1]],
        classes.map(String::from).to_vec(),
    )
}
