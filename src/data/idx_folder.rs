//! Idx files of one's own: pictures and labels of any size, grey or colour.
//!
//! A folder holds pairs of idx files, plain or as gzip, that are called alike but for
//! `images` and `labels`; a further ending may differ. What comes before tells what they are for: a name
//! with `train` is trained on, one with `test` or `t10k` tested on, and one with `val`, if there is
//! one, chooses the best epoch.
//!
//! ```text
//! train-images.idx3-ubyte, train-labels.idx1-ubyte, test-images.idx3-ubyte.gz, test-labels.idx1-ubyte
//! ```
//!
//! Pictures are bytes: grey `[M,H,W]`, or with 1 or 3 channels `[M,H,W,C]` or `[M,C,H,W]`: if the last
//! dimension is 1 or 3 it is the channels. Labels are `[M]`, integers of 8, 16 or 32 bits up to
//! 65,535. The classes are called `0` up to the greatest label.

use std::fs;
use std::path::{Path, PathBuf};

use super::{DataError, Dataset, Loader, Split, idx};

pub(super) const NAME: &str = "idx";

const WANT: &str = "train…images…, train…labels…, test…images…, test…labels… (idx files, plain or as \
     .gz; t10k for test too)";

/// The parts of a set, how a file's name tells them, and what is lacking without them.
const PARTS: [(&str, &[&str]); 3] = [
    ("train", &["train"]),
    ("test", &["test", "t10k"]),
    ("validate", &["val"]),
];

/// The files of one part.
struct Pair {
    images: PathBuf,
    labels: PathBuf,
}

/// What the files of one part hold: pictures `[M,C,H,W]` and labels.
struct Part {
    path: PathBuf,
    images: Vec<u8>,
    labels: Vec<u16>,
    shape: [usize; 3],
}

pub(super) fn load(loader: &Loader<'_>) -> Result<Split, DataError> {
    let Some(root) = loader.data_dir.as_deref() else {
        return Err(DataError::FolderWanted { name: NAME });
    };
    let [train, test, val] = pairs(root)?;
    let (Some(train), Some(test)) = (&train, &test) else {
        let missing = [(&train, "train"), (&test, "test")];
        let missing = missing.iter().filter(|(pair, _)| pair.is_none());
        let missing: Vec<_> = missing
            .map(|(_, part)| format!("images and labels to {part}"))
            .collect();
        return Err(DataError::MissingFiles {
            folder: root.into(),
            missing: missing.join(", "),
            want: WANT,
        });
    };
    let (train, test) = (read(train)?, read(test)?);
    let val = val.as_ref().map(read).transpose()?;
    for part in [Some(&test), val.as_ref()].into_iter().flatten() {
        if part.shape != train.shape {
            return Err(DataError::Format {
                path: part.path.clone(),
                format: "idx",
                got: format!("pictures of channels, rows, columns {:?}", part.shape),
                want: format!("{:?} as in {}", train.shape, train.path.display()),
            });
        }
    }
    let parts = [Some(&train), Some(&test), val.as_ref()].into_iter();
    let labels = parts.flatten().flat_map(|part| &part.labels);
    let last = labels.max().copied().unwrap_or(0);
    let classes: Vec<_> = (0..=last).map(|label| label.to_string()).collect();
    let dataset =
        |part: Part| Dataset::new(NAME, part.images, part.labels, part.shape, classes.clone());
    Ok(Split {
        val: val.map(dataset).transpose()?,
        ..Split::new(dataset(train)?, dataset(test)?)
    })
}

/// The files of each of [`PARTS`] in a folder.
fn pairs(root: &Path) -> Result<[Option<Pair>; 3], DataError> {
    let names = file_names(root)?;
    let mut pairs = [const { None }; 3];
    for name in &names {
        let Some((before, _)) = name.split_once("images") else {
            continue;
        };
        let lower = before.to_lowercase();
        let is_of = |(_, marks): &(_, &[&str])| marks.iter().any(|mark| lower.contains(mark));
        let Some(part) = PARTS.iter().position(is_of) else {
            continue;
        };
        let labels = format!("{before}labels");
        // A file that was unpacked comes before its gzip: by name.
        let Some(found) = names.iter().find(|name| name.starts_with(&labels)) else {
            return Err(DataError::MissingFiles {
                folder: root.into(),
                missing: format!("{labels}… for {name}"),
                want: WANT,
            });
        };
        let images = root.join(name);
        match &pairs[part] {
            Some(Pair { images: first, .. }) if is_packed_twin(first, &images) => {}
            Some(Pair { images: first, .. }) => {
                return Err(DataError::IdxTwice {
                    first: first.clone(),
                    second: images,
                    part: PARTS[part].0,
                });
            }
            None => {
                let labels = root.join(found);
                pairs[part] = Some(Pair { images, labels });
            }
        }
    }
    Ok(pairs)
}

/// Whether the second file is the first as gzip.
fn is_packed_twin(first: &Path, second: &Path) -> bool {
    second.extension().is_some_and(|end| end == "gz") && second.with_extension("") == first
}

/// The names of the files in a folder that are text, in order.
fn file_names(root: &Path) -> Result<Vec<String>, DataError> {
    if !root.is_dir() {
        return Err(DataError::NoFolder {
            folder: root.into(),
        });
    }
    let read_error = |source| DataError::Read {
        path: root.into(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(read_error)? {
        let entry = entry.map_err(read_error)?;
        if entry.path().is_file()
            && let Ok(name) = entry.file_name().into_string()
            && !name.starts_with('.')
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read(Pair { images, labels }: &Pair) -> Result<Part, DataError> {
    let idx = idx::read_pictures(images)?;
    let labels_read = idx::read_labels(labels)?;
    let count = idx.dims[0];
    if count != labels_read.len() {
        return Err(DataError::CountMismatch {
            images: images.clone(),
            labels: labels.clone(),
            got_images: count,
            got_labels: labels_read.len(),
        });
    }
    let (shape, pixels) = match idx.dims[1..] {
        [h, w] => ([1, h, w], idx.values),
        [h, w, c @ (1 | 3)] => ([c, h, w], planes(idx.values, h * w, c)),
        [c @ (1 | 3), h, w] => ([c, h, w], idx.values),
        _ => {
            return Err(DataError::Format {
                path: images.clone(),
                format: "idx",
                got: format!("pictures of dimensions {:?}", &idx.dims),
                want: "[M,H,W], [M,H,W,C] or [M,C,H,W] with 1 or 3 channels".into(),
            });
        }
    };
    Ok(Part {
        path: images.clone(),
        images: pixels,
        labels: labels_read,
        shape,
    })
}

/// Pictures whose channels lie beside each other, plane after plane.
fn planes(mut values: Vec<u8>, plane: usize, channels: usize) -> Vec<u8> {
    if channels == 1 || plane == 0 {
        return values;
    }
    let mut picture = vec![0; plane * channels];
    for pixels in values.chunks_exact_mut(plane * channels) {
        for (i, &value) in pixels.iter().enumerate() {
            picture[i % channels * plane + i / channels] = value;
        }
        pixels.copy_from_slice(&picture);
    }
    values
}
