//! SVHN, Street View House Numbers: 99,289 colour pictures of digits, cropped to 32x32, in ten classes.
//!
//! Read are the cropped digits, MATLAB 5 files: variable `X`, bytes `[32,32,3,M]` of which the first
//! dimension runs fastest, and `y`, labels 1 to 10, of which 10 is the digit 0: here its label is 0.
//! They take 226 MB of memory to train on and 80 MB to test on, and as much once, no copy besides,
//! while they are read. The 531,131 simpler digits of `extra_32x32.mat` are not used.
//!
//! Source: Netzer et al. 2011, <http://ufldl.stanford.edu/housenumbers/>.

use std::path::Path;

use super::error::Fault;
use super::files::{FileSet, Published, all_found};
use super::idx_set::transpose;
use super::mat::{self, Wanted};
use super::{DataError, Dataset, Loader, Outline, Split};

/// The names of the classes, by label.
pub const CLASSES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

/// The files of the set: to train on and to test on.
pub const FILES: [&str; 2] = ["train_32x32.mat", "test_32x32.mat"];

pub(super) const NAME: &str = "svhn";

const SIDE: usize = 32;
const SHAPE: [usize; 3] = [3, SIDE, SIDE];
/// The most pictures that are read from one file: as many as are published in all.
const MOST: usize = 73_257 + 26_032 + 531_131;

/// Lengths and checksums are those of the published files, whose MD5 PyTorch's torchvision has too.
pub(super) static SET: FileSet = FileSet {
    name: NAME,
    folder: NAME,
    outline: Outline {
        len: 73_257,
        image: SHAPE,
        classes: CLASSES.len(),
        draws: false,
    },
    test: 26_032,
    locate: |folder| {
        let paths = FILES.map(|name| Some(folder.join(name)).filter(|path| path.is_file()));
        all_found(&FILES, paths.into())
    },
    want: "train_32x32.mat and test_32x32.mat",
    package: None,
    url: "http://ufldl.stanford.edu/housenumbers",
    published: &[
        Published {
            name: FILES[0],
            bytes: 182_040_794,
            sha256: "435e94d69a87fde4fd4d7f3dd208dfc32cb6ae8af2240d066de1df7508d083b8",
        },
        Published {
            name: FILES[1],
            bytes: 64_275_384,
            sha256: "cdce80dfb2a2c4c6160906d0bd7c68ec5a99d7ca4831afa54f09182025b6a75b",
        },
    ],
};

/// Finds and reads the set. Files with fewer pictures than the published ones are accepted.
pub(super) fn load(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    let paths = SET.find(loader)?;
    Ok(Split::new(read(&paths[0])?, read(&paths[1])?))
}

fn read(path: &Path) -> Result<Dataset, DataError> {
    let wanted = [
        Wanted {
            name: "X",
            most: MOST * 3 * SIDE * SIDE,
        },
        Wanted {
            name: "y",
            // Doubles, though most files store them as bytes.
            most: 8 * MOST,
        },
    ];
    let [pictures, digits] = mat::read(path, &wanted)?;
    let fault = |fault: Fault| fault.at(path, "SVHN");
    let count = match pictures.dims.as_slice() {
        &[SIDE, SIDE, 3, count] if count > 0 => count,
        // MATLAB drops a last dimension of 1.
        &[SIDE, SIDE, 3] => 1,
        dims => {
            let got = format!("`X` of dimensions {dims:?}");
            return Err(fault(Fault::new(got, "[32, 32, 3, pictures]")));
        }
    };
    let labels = digits.numbers();
    if labels.len() != count {
        let got = format!("{} labels in `y`", labels.len());
        return Err(fault(Fault::new(
            got,
            format!("{count}, one for each picture"),
        )));
    }
    if let Some(index) = labels.iter().position(|label| !is_label(*label)) {
        let got = format!("label {} at {index}", labels[index]);
        return Err(fault(Fault::new(got, "1 to 10")));
    }
    let mut images = pictures.into_bytes().map_err(fault)?;
    for plane in images.chunks_exact_mut(SIDE * SIDE) {
        transpose(plane, SIDE);
    }
    Dataset::new(
        NAME,
        images,
        labels.iter().map(|&label| label as u16 % 10).collect(),
        SHAPE,
        CLASSES.map(String::from).to_vec(),
    )
}

fn is_label(label: f64) -> bool {
    (1.0..=10.0).contains(&label) && label.fract() == 0.0
}
