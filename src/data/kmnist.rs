//! KMNIST (Kuzushiji-MNIST): 70,000 grey pictures of ten characters of old Japanese handwriting,
//! 28x28, light on dark.
//!
//! The four files have the names of [MNIST](super::mnist)'s.
//!
//! Source: Clanuwat et al. 2018, arXiv:1812.01718; <http://codh.rois.ac.jp/kmnist/>.

use super::files::{FileSet, Published};
use super::idx_set::Form;
use super::{DataError, Loader, Split, idx_set};

/// The names of the classes, by label: how the character is read.
pub const CLASSES: [&str; 10] = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"];

/// The files of the set, each plain or with `.gz` added.
pub const FILES: [&str; 4] = idx_set::FILES;

pub(super) const NAME: &str = "kmnist";

pub(super) static SET: FileSet = FileSet {
    name: NAME,
    folder: NAME,
    outline: idx_set::OUTLINE,
    test: idx_set::TEST,
    locate: |folder| idx_set::locate(&FILES, folder),
    want: idx_set::WANT,
    package: None,
    url: "http://codh.rois.ac.jp/kmnist/dataset/kmnist",
    published: &[
        Published {
            name: "train-images-idx3-ubyte.gz",
            bytes: 18_165_135,
            sha256: "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        },
        Published {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 29_497,
            sha256: "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        },
        Published {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 3_041_136,
            sha256: "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        },
        Published {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 5_120,
            sha256: "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        },
    ],
};

pub(super) fn load(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    idx_set::load(&SET, &Form::new(&CLASSES), loader)
}
