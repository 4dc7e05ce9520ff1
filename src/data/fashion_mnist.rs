//! Fashion-MNIST: 70,000 grey pictures of garments, 28x28, light on dark, in ten classes.
//!
//! Source: Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747; files at
//! <https://github.com/zalandoresearch/fashion-mnist>. Debian's package `dataset-fashion-mnist` puts
//! them in [`SYSTEM_FOLDER`].

use super::files::{FileSet, Published};
use super::idx_set::Form;
use super::{DataError, Loader, Split, idx_set};

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

/// Where Debian's package `dataset-fashion-mnist` puts the files.
pub const SYSTEM_FOLDER: &str = "/usr/share/datasets/fashion-mnist";

/// The files of the set, each plain or with `.gz` added.
pub const FILES: [&str; 4] = idx_set::FILES;

pub(super) const NAME: &str = "fashion-mnist";

/// Lengths and checksums are those of the published files, whose MD5 the authors give.
pub(super) static SET: FileSet = FileSet {
    name: NAME,
    folder: NAME,
    outline: idx_set::OUTLINE,
    test: idx_set::TEST,
    locate: |folder| idx_set::locate(&FILES, folder),
    want: idx_set::WANT,
    package: Some("dataset-fashion-mnist"),
    url: "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
    published: &[
        Published {
            name: "train-images-idx3-ubyte.gz",
            bytes: 26_421_880,
            sha256: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        },
        Published {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 29_515,
            sha256: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        },
        Published {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 4_422_102,
            sha256: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        },
        Published {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 5_148,
            sha256: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ],
};

pub(super) fn load(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    idx_set::load(&SET, &Form::new(&CLASSES), loader)
}
