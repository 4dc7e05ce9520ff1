//! What CIFAR-10 and CIFAR-100 share: their two versions, of records and of pickles, plain or packed.
//!
//! A file of records is read once and its labels taken out in place. No file takes more memory than
//! [`MOST`] pictures, whatever its length or an archive says.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::files::{FileSet, all_found};
use super::{DataError, Dataset, Loader, Split, check_labels, pickle, zip};

/// Channels, height and width of a picture.
pub(super) const SHAPE: [usize; 3] = [3, 32, 32];
/// Bytes of a picture.
const PICTURE: usize = 3 * 32 * 32;
/// The most pictures that are read from one file: those of the largest published.
const MOST: u64 = 50_000;
/// The most bytes of a pickle: pictures, and as much again as labels and file names take with room to spare.
const MOST_PICKLED: u64 = MOST * (PICTURE as u64 + 256);

/// One way in which a set is published.
pub(super) struct Version {
    /// The sub-folder that unpacking the archive makes.
    pub(super) folder: &'static str,
    /// The archive.
    pub(super) archive: &'static str,
    /// The files: those to train on in order, last the one to test on.
    pub(super) files: &'static [&'static str],
    pub(super) layout: Layout,
}

/// What a file holds.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// Records: this many labels of a byte, of which one is taken, then the red, green and blue planes.
    Records { labels: usize, take: usize },
    /// A pickle: a dictionary with `data` and, by this key, labels.
    Pickle { labels: &'static str },
}

/// Finds the files of a version, else an archive alone; earlier versions first.
pub(super) fn locate(
    versions: &[Version],
    folder: &Path,
) -> Result<Vec<PathBuf>, Vec<&'static str>> {
    let mut lacks: Option<Vec<_>> = None;
    for version in versions {
        let unpacked = folder.join(version.folder);
        let paths = version.files.iter().map(|name| {
            [folder.join(name), unpacked.join(name)]
                .into_iter()
                .find(|path| path.is_file())
        });
        match all_found(version.files, paths.collect()) {
            Ok(paths) => return Ok(paths),
            // Of the version that is there in part: what that lacks.
            Err(missing) if lacks.as_ref().is_none_or(|l| missing.len() < l.len()) => {
                lacks = Some(missing);
            }
            Err(_) => {}
        }
    }
    let archives = versions.iter().map(|version| folder.join(version.archive));
    match archives.into_iter().find(|path| path.is_file()) {
        Some(archive) => Ok(vec![archive]),
        None => Err(lacks.unwrap_or_default()),
    }
}

/// Finds and reads a set. Files with fewer pictures than the published ones are accepted.
pub(super) fn load(
    set: &FileSet,
    versions: &[Version],
    classes: &[&str],
    loader: &mut Loader<'_>,
) -> Result<Split, DataError> {
    let paths = set.find(loader)?;
    let is = |path: &Path, name: &str| path.file_name().is_some_and(|got| got == name);
    let mut batches = Vec::new();
    for version in versions {
        match paths.as_slice() {
            [archive] if is(archive, version.archive) => batches = unpack(archive, version)?,
            [first, ..] if is(first, version.files[0]) => {
                let read = paths.iter().map(|path| read_file(path, version.layout));
                batches = read.collect::<Result<_, _>>()?;
            }
            _ => {}
        }
    }
    for batch in &batches {
        // Checked here although `Dataset::new` does, so that the error names the file.
        let file = batch.path.display().to_string();
        check_labels(&file, batch.labels.iter().copied(), classes.len())?;
    }
    let test = batches.split_off(batches.len().saturating_sub(1));
    let join = |batches| join(set.name, classes, batches);
    Ok(Split::new(join(batches)?, join(test)?))
}

/// What one file holds, and what to call it in messages.
struct Batch {
    path: PathBuf,
    images: Vec<u8>,
    labels: Vec<u16>,
}

fn read_file(path: &Path, layout: Layout) -> Result<Batch, DataError> {
    let read_error = |source| DataError::Read {
        path: path.into(),
        source,
    };
    let file = File::open(path).map_err(read_error)?;
    let len = file.metadata().map_err(read_error)?.len();
    read_batch(path, layout, len, file, read_error)
}

/// Reads a file of `len` bytes, from wherever it lies.
fn read_batch(
    path: &Path,
    layout: Layout,
    len: u64,
    from: impl Read,
    on_error: impl Fn(io::Error) -> DataError,
) -> Result<Batch, DataError> {
    // Before reading, so that no other large file takes memory.
    check_length(path, layout, len)?;
    let mut bytes = Vec::new();
    let got = from.take(len).read_to_end(&mut bytes).map_err(on_error)?;
    check_length(path, layout, got as u64)?;
    let labels = match layout {
        Layout::Records { labels, take } => split_records(&mut bytes, labels, take),
        Layout::Pickle { labels } => {
            let batch = pickle::read(&bytes, labels, PICTURE);
            let batch = batch.map_err(|fault| fault.at(path, "pickle"))?;
            bytes.truncate(batch.data.end);
            bytes.drain(..batch.data.start);
            if batch.by_column {
                bytes = by_rows(&bytes, batch.labels.len());
            }
            batch.labels
        }
    };
    Ok(Batch {
        path: path.into(),
        images: bytes,
        labels,
    })
}

fn check_length(path: &Path, layout: Layout, got: u64) -> Result<(), DataError> {
    let most = match layout {
        Layout::Records { labels, .. } => {
            let record = labels + PICTURE;
            if got == 0 || !got.is_multiple_of(record as u64) {
                return Err(DataError::Records {
                    path: path.into(),
                    got,
                    record,
                });
            }
            MOST * record as u64
        }
        Layout::Pickle { .. } => MOST_PICKLED,
    };
    if got > most {
        return Err(DataError::TooLong {
            path: path.into(),
            got,
            most,
        });
    }
    Ok(())
}

/// Takes one label of each record and leaves the pictures.
fn split_records(bytes: &mut Vec<u8>, labels: usize, take: usize) -> Vec<u16> {
    let record = labels + PICTURE;
    let count = bytes.len() / record;
    let mut taken = Vec::with_capacity(count);
    for i in 0..count {
        let at = i * record;
        taken.push(u16::from(bytes[at + take]));
        bytes.copy_within(at + labels..at + record, i * PICTURE);
    }
    bytes.truncate(count * PICTURE);
    taken
}

/// Pictures one after another, of an array `[count, PICTURE]` that lies column after column.
fn by_rows(columns: &[u8], count: usize) -> Vec<u8> {
    let mut rows = Vec::with_capacity(columns.len());
    for i in 0..count {
        rows.extend(columns.iter().skip(i).step_by(count));
    }
    rows
}

/// Reads the files out of the archive, in the order of the version's. Nothing is written, and what is
/// called otherwise is passed over.
fn unpack(archive: &Path, version: &Version) -> Result<Vec<Batch>, DataError> {
    let unpack_error = |source: io::Error| DataError::Gzip {
        path: archive.into(),
        source,
    };
    let file = File::open(archive).map_err(|source| DataError::Read {
        path: archive.into(),
        source,
    })?;
    let mut tar = tar::Archive::new(MultiGzDecoder::new(BufReader::new(file)));
    let mut found: Vec<_> = version.files.iter().map(|_| None).collect();
    for entry in tar.entries().map_err(unpack_error)? {
        let entry = entry.map_err(unpack_error)?;
        let inside = entry.path().map_err(unpack_error)?.into_owned();
        let is = |name: &str| inside.file_name().is_some_and(|got| got == name);
        let index = version.files.iter().position(|name| is(name));
        let regular = entry.header().entry_type().is_file() && zip::is_within(&inside);
        let (Some(index), true) = (index, regular) else {
            continue;
        };
        let (path, size) = (archive.join(inside), entry.size());
        found[index] = Some(read_batch(
            &path,
            version.layout,
            size,
            entry,
            unpack_error,
        )?);
    }
    // Reading to the end lets gzip check its checksum.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(unpack_error)?;

    let named = version.files.iter().zip(&found);
    let missing = named.filter(|(_, batch)| batch.is_none());
    let missing: Vec<_> = missing.map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Err(DataError::ArchiveLacks {
            path: archive.into(),
            missing: missing.join(", "),
        });
    }
    Ok(found.into_iter().flatten().collect())
}

fn join(name: &str, classes: &[&str], batches: Vec<Batch>) -> Result<Dataset, DataError> {
    let mut batches = batches.into_iter();
    let (mut images, mut labels) = batches
        .next()
        .map_or_else(Default::default, |first| (first.images, first.labels));
    images.reserve_exact(batches.as_slice().iter().map(|b| b.images.len()).sum());
    for batch in batches {
        images.extend(batch.images);
        labels.extend(batch.labels);
    }
    let classes = classes.iter().copied().map(String::from).collect();
    Dataset::new(name, images, labels, SHAPE, classes)
}
