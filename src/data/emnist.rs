//! EMNIST: grey pictures of handwritten digits and letters, 28x28, light on dark, in six sets.
//!
//! | name | pictures | classes |
//! |---|---|---|
//! | `emnist-balanced` | 112,800 + 18,800 | 47: digits, letters, those alike in both cases merged |
//! | `emnist-byclass` | 697,932 + 116,323 | 62: digits, capitals, small letters |
//! | `emnist-bymerge` | 697,932 + 116,323 | 47, as balanced |
//! | `emnist-digits` | 240,000 + 40,000 | 10 |
//! | `emnist-letters` | 124,800 + 20,800 | 26, each in both cases |
//! | `emnist-mnist` | 60,000 + 10,000 | 10, MNIST made anew |
//!
//! Each set is four idx files, plain or as `.gz`, in the folder itself or its sub-folder [`FOLDER`],
//! or still packed in [`ARCHIVE`], as it is downloaded. The six share that one archive, so their place in
//! the system's and the cache folder is `emnist`. The files hold pictures column after column:
//! here they stand upright. The labels of letters, 1 to 26 in the file, are 0 to 25 here.
//!
//! A set takes 784 bytes of memory a picture, 639 MB for the largest, and no more while it is read.
//!
//! Source: Cohen et al. 2017, arXiv:1702.05373;
//! <https://www.nist.gov/itl/products-and-services/emnist-dataset>.

use std::path::{Path, PathBuf};

use super::files::{FileSet, Published};
use super::idx_set::{Form, SIZE};
use super::{DataError, Loader, Outline, Split, idx_set};

/// The names of the classes of `byclass`, by label; the first ten are those of `digits` and `mnist`.
pub const CLASSES: [&str; 62] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I",
    "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b",
    "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t", "u",
    "v", "w", "x", "y", "z",
];

/// The names of the classes of `balanced` and `bymerge`, by label: a capital without its small letter
/// stands for both.
pub const MERGED: [&str; 47] = [
    "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "A", "B", "C", "D", "E", "F", "G", "H", "I",
    "J", "K", "L", "M", "N", "O", "P", "Q", "R", "S", "T", "U", "V", "W", "X", "Y", "Z", "a", "b",
    "d", "e", "f", "g", "h", "n", "q", "r", "t",
];

/// The names of the classes of `letters`, by label less 1: both cases are one class.
pub const LETTER_CLASSES: [&str; 26] = [
    "Aa", "Bb", "Cc", "Dd", "Ee", "Ff", "Gg", "Hh", "Ii", "Jj", "Kk", "Ll", "Mm", "Nn", "Oo", "Pp",
    "Qq", "Rr", "Ss", "Tt", "Uu", "Vv", "Ww", "Xx", "Yy", "Zz",
];

/// The archive that all six sets are published as.
pub const ARCHIVE: &str = "gzip.zip";

/// The sub-folder that unpacking [`ARCHIVE`] makes.
pub const FOLDER: &str = "gzip";

/// The names of one set's files.
macro_rules! files {
    ($split:literal) => {
        [
            concat!("emnist-", $split, "-train-images-idx3-ubyte"),
            concat!("emnist-", $split, "-train-labels-idx1-ubyte"),
            concat!("emnist-", $split, "-test-images-idx3-ubyte"),
            concat!("emnist-", $split, "-test-labels-idx1-ubyte"),
        ]
    };
}

/// One set: its name, files, pictures to train and to test on, and number of classes.
macro_rules! set {
    ($split:literal, $train:literal, $test:literal, $classes:expr) => {
        FileSet {
            name: concat!("emnist-", $split),
            folder: "emnist",
            outline: Outline {
                len: $train,
                image: [1, SIZE[0], SIZE[1]],
                classes: $classes,
                draws: false,
            },
            test: $test,
            locate: |folder| locate(&files!($split), folder),
            want: concat!(
                "emnist-",
                $split,
                "-train-images-idx3-ubyte, emnist-",
                $split,
                "-train-labels-idx1-ubyte, emnist-",
                $split,
                "-test-images-idx3-ubyte, emnist-",
                $split,
                "-test-labels-idx1-ubyte (each plain or as .gz, or gzip.zip with all)"
            ),
            package: None,
            url: "https://biometrics.nist.gov/cs_links/EMNIST",
            published: &[PUBLISHED],
        }
    };
}

const PUBLISHED: Published = Published {
    name: ARCHIVE,
    bytes: 561_753_746,
    sha256: "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e",
};

pub(super) static BALANCED: FileSet = set!("balanced", 112_800, 18_800, MERGED.len());
pub(super) static BYCLASS: FileSet = set!("byclass", 697_932, 116_323, CLASSES.len());
pub(super) static BYMERGE: FileSet = set!("bymerge", 697_932, 116_323, MERGED.len());
pub(super) static DIGITS: FileSet = set!("digits", 240_000, 40_000, 10);
pub(super) static LETTERS: FileSet = set!("letters", 124_800, 20_800, LETTER_CLASSES.len());
pub(super) static MNIST: FileSet = set!("mnist", 60_000, 10_000, 10);

/// Finds the four files, else [`ARCHIVE`] alone.
fn locate(files: &[&'static str; 4], folder: &Path) -> Result<Vec<PathBuf>, Vec<&'static str>> {
    let places = [folder.to_path_buf(), folder.join(FOLDER)];
    let found = places
        .iter()
        .find_map(|place| idx_set::locate(files, place).ok());
    let archive = folder.join(ARCHIVE);
    match found {
        Some(paths) => Ok(paths),
        None if archive.is_file() => Ok(vec![archive]),
        None => idx_set::locate(files, folder),
    }
}

/// Loads the set of this name, if it is one of these.
pub(super) fn load(name: &str, loader: &mut Loader<'_>) -> Option<Result<Split, DataError>> {
    let (set, classes, files): (_, &[&str], _) = match name {
        "emnist-balanced" => (&BALANCED, &MERGED, files!("balanced")),
        "emnist-byclass" => (&BYCLASS, &CLASSES, files!("byclass")),
        "emnist-bymerge" => (&BYMERGE, &MERGED, files!("bymerge")),
        "emnist-digits" => (&DIGITS, &CLASSES[..10], files!("digits")),
        "emnist-letters" => (&LETTERS, &LETTER_CLASSES, files!("letters")),
        "emnist-mnist" => (&MNIST, &CLASSES[..10], files!("mnist")),
        _ => return None,
    };
    let form = Form {
        classes,
        files,
        first_label: u8::from(name == LETTERS.name),
        transposed: true,
    };
    Some(idx_set::load(set, &form, loader))
}
