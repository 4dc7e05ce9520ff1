//! CIFAR-10: 60,000 colour photos of animals and vehicles, 32x32, in ten classes.
//!
//! The binary version is six files of records, each a label and then the red, green and blue
//! planes. They may lie in the folder itself, in its sub-folder [`FOLDER`], or still packed in
//! [`ARCHIVE`], as it is downloaded. The python version, six pickles, is read as well: plain, in
//! [`PYTHON_FOLDER`] or in [`PYTHON_ARCHIVE`]. No code in it is run, and what else a pickle could hold
//! is refused.
//!
//! Source: Krizhevsky 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>.

use super::cifar::{self, Layout, SHAPE, Version};
use super::files::{FileSet, Published};
use super::{DataError, Loader, Outline, Split};

/// The names of the classes, by label.
pub const CLASSES: [&str; 10] = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
];

/// The files of the set: five to train on, then one to test on.
pub const FILES: [&str; 6] = [
    "data_batch_1.bin",
    "data_batch_2.bin",
    "data_batch_3.bin",
    "data_batch_4.bin",
    "data_batch_5.bin",
    "test_batch.bin",
];

/// The sub-folder that unpacking [`ARCHIVE`] makes.
pub const FOLDER: &str = "cifar-10-batches-bin";

/// The archive that the set is published as.
pub const ARCHIVE: &str = "cifar-10-binary.tar.gz";

/// The files of the python version, in the same order.
pub const PYTHON_FILES: [&str; 6] = [
    "data_batch_1",
    "data_batch_2",
    "data_batch_3",
    "data_batch_4",
    "data_batch_5",
    "test_batch",
];

/// The sub-folder that unpacking [`PYTHON_ARCHIVE`] makes.
pub const PYTHON_FOLDER: &str = "cifar-10-batches-py";

/// The archive of the python version.
pub const PYTHON_ARCHIVE: &str = "cifar-10-python.tar.gz";

pub(super) const NAME: &str = "cifar10";

static VERSIONS: [Version; 2] = [
    Version {
        folder: FOLDER,
        archive: ARCHIVE,
        files: &FILES,
        layout: Layout::Records { labels: 1, take: 0 },
    },
    Version {
        folder: PYTHON_FOLDER,
        archive: PYTHON_ARCHIVE,
        files: &PYTHON_FILES,
        layout: Layout::Pickle { labels: "labels" },
    },
];

/// The authors give the archive's MD5.
pub(super) static SET: FileSet = FileSet {
    name: NAME,
    folder: NAME,
    outline: Outline {
        len: 50_000,
        image: SHAPE,
        classes: CLASSES.len(),
        draws: false,
    },
    test: 10_000,
    locate: |folder| cifar::locate(&VERSIONS, folder),
    want: "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or the same without .bin (or \
           cifar-10-binary.tar.gz or cifar-10-python.tar.gz)",
    package: None,
    url: "https://www.cs.toronto.edu/~kriz",
    published: &[Published {
        name: ARCHIVE,
        bytes: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    }],
};

pub(super) fn load(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    cifar::load(&SET, &VERSIONS, &CLASSES, loader)
}
