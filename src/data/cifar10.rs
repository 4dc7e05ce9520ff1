//! CIFAR-10: 60,000 colour photos of animals and vehicles, 32x32, in ten classes.
//!
//! The binary version is read: six files of records, each a label and then the red, green and blue
//! planes. They may lie in the folder itself, in its sub-folder [`FOLDER`], or still packed in
//! [`ARCHIVE`], as it is downloaded.
//!
//! All 50,000 pictures to train on are 153.6 MB, more than the 128 MiB that WebGPU promises for one
//! buffer. A device with that limit can hold 43,690 of them.
//!
//! Source: Krizhevsky 2009, <https://www.cs.toronto.edu/~kriz/cifar.html>.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::files::{FileSet, Published, all_found};
use super::{DataError, Dataset, Loader, Outline, Split, check_labels};

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

pub(super) const NAME: &str = "cifar10";

/// The size of the official training set.
pub(super) const OUTLINE: Outline = Outline {
    len: 50_000,
    image: SHAPE,
    classes: CLASSES.len(),
};

const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes of a record: a label and a picture.
const RECORD: usize = 1 + 3 * 32 * 32;

/// The authors give the archive's MD5.
pub(super) static SET: FileSet = FileSet {
    name: NAME,
    locate,
    want: "data_batch_1.bin to data_batch_5.bin and test_batch.bin (or cifar-10-binary.tar.gz)",
    package: None,
    url: "https://www.cs.toronto.edu/~kriz",
    published: &[Published {
        name: ARCHIVE,
        bytes: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    }],
};

/// Finds [`FILES`], else [`ARCHIVE`] alone.
fn locate(folder: &Path) -> Result<Vec<PathBuf>, Vec<&'static str>> {
    let unpacked = folder.join(FOLDER);
    let found = FILES.map(|name| {
        [folder.join(name), unpacked.join(name)]
            .into_iter()
            .find(|path| path.is_file())
    });
    let archive = folder.join(ARCHIVE);
    if found.iter().any(Option::is_none) && archive.is_file() {
        return Ok(vec![archive]);
    }
    all_found(&FILES, found)
}

pub(super) fn load(loader: &mut Loader<'_>) -> Result<Split, DataError> {
    let paths = SET.find(loader)?;
    let mut batches = match paths.as_slice() {
        [archive] => unpack(archive)?,
        files => files
            .iter()
            .map(|path| read_file(path))
            .collect::<Result<_, _>>()?,
    };
    let test = batches.split_off(FILES.len() - 1);
    Ok(Split::new(join(batches)?, join(test)?))
}

/// The records of one file and what to call it in messages.
struct Batch {
    path: PathBuf,
    bytes: Vec<u8>,
}

fn read_file(path: &Path) -> Result<Batch, DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let mut file = File::open(path).map_err(read_error)?;
    // Before reading, so that no other large file takes memory.
    check_length(path, file.metadata().map_err(read_error)?.len())?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(read_error)?;
    check_length(path, bytes.len() as u64)?;
    Ok(Batch {
        path: path.into(),
        bytes,
    })
}

/// Reads the files out of the archive, in the order of [`FILES`].
fn unpack(archive: &Path) -> Result<Vec<Batch>, DataError> {
    let unpack_error = |source: io::Error| DataError::Gzip {
        path: archive.into(),
        source,
    };
    let file = File::open(archive).map_err(|source| DataError::Read {
        path: archive.into(),
        source,
    })?;
    let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    let mut found = FILES.map(|_| None);
    for entry in tar.entries().map_err(unpack_error)? {
        let mut entry = entry.map_err(unpack_error)?;
        let inside = entry.path().map_err(unpack_error)?.into_owned();
        let Some(index) = FILES
            .iter()
            .position(|&name| inside.file_name().is_some_and(|got| got == name))
        else {
            continue;
        };
        let path = archive.join(inside);
        check_length(&path, entry.size())?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(unpack_error)?;
        check_length(&path, bytes.len() as u64)?;
        found[index] = Some(Batch { path, bytes });
    }
    // Reading to the end lets gzip check its checksum.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(unpack_error)?;

    let missing: Vec<_> = FILES
        .into_iter()
        .zip(&found)
        .filter(|(_, batch)| batch.is_none())
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        return Err(DataError::ArchiveLacks {
            path: archive.into(),
            missing: missing.join(", "),
        });
    }
    Ok(found.into_iter().flatten().collect())
}

fn check_length(path: &Path, got: u64) -> Result<(), DataError> {
    if got == 0 || !got.is_multiple_of(RECORD as u64) {
        return Err(DataError::Records {
            path: path.into(),
            got,
            record: RECORD,
        });
    }
    Ok(())
}

fn join(batches: Vec<Batch>) -> Result<Dataset, DataError> {
    let count = batches.iter().map(|b| b.bytes.len()).sum::<usize>() / RECORD;
    let mut images = Vec::with_capacity(count * (RECORD - 1));
    let mut labels = Vec::with_capacity(count);
    for Batch { path, bytes } in batches {
        let first = labels.len();
        for record in bytes.chunks_exact(RECORD) {
            labels.push(record[0]);
            images.extend_from_slice(&record[1..]);
        }
        // Checked here although `Dataset::new` does, so that the error names the file.
        check_labels(&path.display().to_string(), &labels[first..], CLASSES.len())?;
    }
    Dataset::new(
        NAME,
        images,
        labels,
        SHAPE,
        CLASSES.map(String::from).to_vec(),
    )
}
