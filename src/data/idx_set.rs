//! MNIST and its relatives: four idx files of grey 28x28 pictures.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::files::{FileSet, all_found};
use super::{DataError, Dataset, Loader, Outline, Split, check_labels, idx, zip};

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

/// The size of MNIST's training set, and of the sets made to take its place.
pub(super) const OUTLINE: Outline = Outline {
    len: 60_000,
    image: [1, SIZE[0], SIZE[1]],
    classes: 10,
    draws: false,
};

/// The pictures of their test sets.
pub(super) const TEST: usize = 10_000;

/// Height and width.
pub(super) const SIZE: [usize; 2] = [28, 28];

/// What the bytes of such a set mean.
pub(super) struct Form<'a> {
    /// The names of the classes, by label.
    pub(super) classes: &'a [&'a str],
    /// The names of the four files, in an archive too.
    pub(super) files: [&'static str; 4],
    /// The label of the first class.
    pub(super) first_label: u8,
    /// Whether pictures lie column after column.
    pub(super) transposed: bool,
}

impl<'a> Form<'a> {
    /// As MNIST has it.
    pub(super) fn new(classes: &'a [&'a str]) -> Self {
        Self {
            classes,
            files: FILES,
            first_label: 0,
            transposed: false,
        }
    }
}

/// Finds these files in a folder, or names the missing ones.
pub(super) fn locate(
    files: &[&'static str; 4],
    folder: &Path,
) -> Result<Vec<PathBuf>, Vec<&'static str>> {
    let found = files.map(|name| {
        // Some unpackers write a dot for the dash before `idx`.
        let dotted = name.replace("-idx", ".idx");
        [name.into(), format!("{name}.gz"), dotted]
            .into_iter()
            .map(|name| folder.join(name))
            .find(|path| path.is_file())
    });
    all_found(files, found.into())
}

/// Finds and reads a set. Files with fewer pictures than the published ones are accepted.
pub(super) fn load(
    set: &FileSet,
    form: &Form<'_>,
    loader: &mut Loader<'_>,
) -> Result<Split, DataError> {
    let paths = set.find(loader)?;
    let pair = |images: usize| {
        let images_file = open(&paths, form, images)?;
        let labels_file = open(&paths, form, images + 1)?;
        load_pair(set.name, form, images_file, labels_file)
    };
    Ok(Split::new(pair(0)?, pair(2)?))
}

/// What a file is called in messages, and its bytes.
type Opened = (PathBuf, Box<dyn Read>);

/// Opens one of the four files, or the archive's member if that is all there is.
fn open(paths: &[PathBuf], form: &Form<'_>, file: usize) -> Result<Opened, DataError> {
    if let [archive] = paths {
        return zip::open(archive, &format!("{}.gz", form.files[file]));
    }
    let path = &paths[file];
    let opened = File::open(path).map_err(|source| DataError::Read {
        path: path.clone(),
        source,
    })?;
    Ok((path.clone(), Box::new(opened)))
}

fn load_pair(
    name: &str,
    form: &Form<'_>,
    (image_path, image_bytes): Opened,
    (label_path, label_bytes): Opened,
) -> Result<Dataset, DataError> {
    let mut images = idx::read_from(&image_path, 3, image_bytes)?;
    let labels = idx::read_from(&label_path, 1, label_bytes)?.values;
    let (count, size) = (images.dims[0], [images.dims[1], images.dims[2]]);
    if size != SIZE {
        return Err(DataError::PictureSize {
            path: image_path,
            got: size,
            want: SIZE,
        });
    }
    if count != labels.len() {
        return Err(DataError::CountMismatch {
            images: image_path,
            labels: label_path,
            got_images: count,
            got_labels: labels.len(),
        });
    }
    if form.transposed {
        for picture in images.values.chunks_exact_mut(SIZE[0] * SIZE[1]) {
            transpose(picture, SIZE[0]);
        }
    }
    let first = form.first_label;
    if let Some(index) = labels.iter().position(|&label| label < first) {
        return Err(DataError::Format {
            path: label_path,
            format: "idx",
            got: format!("label {} at {index}", labels[index]),
            want: format!("labels from {first} on"),
        });
    }
    let labels: Vec<u16> = labels
        .iter()
        .map(|&label| u16::from(label - first))
        .collect();
    // Checked here although `Dataset::new` does, so that the error names the file.
    check_labels(
        &label_path.display().to_string(),
        labels.iter().copied(),
        form.classes.len(),
    )?;
    Dataset::new(
        name,
        images.values,
        labels,
        [1, size[0], size[1]],
        form.classes.iter().copied().map(String::from).collect(),
    )
}

/// Swaps rows and columns of a square plane.
pub(super) fn transpose(plane: &mut [u8], side: usize) {
    for row in 0..side {
        for column in 0..row {
            plane.swap(row * side + column, column * side + row);
        }
    }
}
