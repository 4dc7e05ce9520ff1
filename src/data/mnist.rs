//! MNIST: 70,000 grey pictures of handwritten digits, 28x28, light on dark, in ten classes.
//!
//! Source: LeCun, Cortes and Burges, <http://yann.lecun.com/exdb/mnist/>. That site no longer hands
//! out the files, so they are fetched from the copy that PyTorch's torchvision uses.

use super::files::{FileSet, Published};
use super::idx_set::Form;
use super::{DataError, Loader, Split, idx_set};

/// The names of the classes, by label.
pub const CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The files of the set, each plain or with `.gz` added.
pub const FILES: [&str; 4] = idx_set::FILES;

pub(super) const NAME: &str = "mnist";

pub(super) static SET: FileSet = FileSet {
    name: NAME,
    folder: NAME,
    outline: idx_set::OUTLINE,
    test: idx_set::TEST,
    locate: |folder| idx_set::locate(&FILES, folder),
    want: idx_set::WANT,
    package: None,
    url: "https://ossci-datasets.s3.amazonaws.com/mnist",
    published: &[
        Published {
            name: "train-images-idx3-ubyte.gz",
            bytes: 9_912_422,
            sha256: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        },
        Published {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 28_881,
            sha256: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        },
        Published {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 1_648_877,
            sha256: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        },
        Published {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 4_542,
            sha256: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ],
};

pub(super) fn load(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    idx_set::load(&SET, &Form::new(&CLASSES), loader)
}
