//! Pictures of one's own: a folder with a sub-folder for each class, named like the class.
//!
//! ```text
//! pets/cat/1.jpg, pets/cat/2.png, pets/dog/1.jpg …           split by seed, a fifth to test on
//! pets/train/cat/1.jpg …, pets/test/cat/2.png …              split as it lies there
//! ```
//!
//! Files count as pictures by their extension (png, jpg, jpeg, webp, gif), and hidden ones not at all.
//! [`image_file::load`] brings them all to one shape: if no picture is larger than [`KEPT`] and all
//! are of one size, that size, else [`SIDE`] each way; one channel if the first pictures are grey,
//! else three. [`Loader::shape`](super::Loader::shape) overrides that.
//!
//! The same names and seed give the same parts in the same order. Classes are in the order of their
//! names; pictures are shuffled, so that any leading part holds all classes.

use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::image_file::{self, Invert};
use super::{DataError, Dataset, Loader, Split, byte_count};
use crate::rng::pcg4d;

pub(super) const NAME: &str = "folder";

/// Height and width of pictures that are of different sizes or large.
pub const SIDE: usize = 32;
/// The largest height and width that pictures of one size keep.
pub const KEPT: usize = 64;
/// One picture of this many of each class is tested on, but at least one if there are two.
pub const TEST_SHARE: usize = 5;

/// How many pictures are looked at to tell whether the set is grey.
const SAMPLE: usize = 16;
const EXTENSIONS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "gif"];

/// A picture file and its class.
struct Item {
    path: PathBuf,
    label: u8,
}

pub(super) fn load(loader: &Loader<'_>) -> Result<Split, DataError> {
    let Some(root) = loader.data_dir.as_deref() else {
        return Err(DataError::FolderWanted { name: NAME });
    };
    if !root.is_dir() {
        return Err(DataError::NoFolder {
            folder: root.into(),
        });
    }
    let (classes, mut train, mut test) = if is_split(root) {
        as_it_lies(root)?
    } else {
        by_seed(root, loader.seed)?
    };
    shuffle(&mut train, loader.seed, 0);
    shuffle(&mut test, loader.seed, 1);
    let shape = match loader.shape {
        Some(shape) => shape,
        None => suitable_shape(&train, &test)?,
    };
    let read = |items: &[Item]| read(items, shape, loader.invert, &classes);
    Ok(Split::new(read(&train)?, read(&test)?))
}

fn is_split(root: &Path) -> bool {
    root.join("train").is_dir() && root.join("test").is_dir()
}

type Parts = (Vec<String>, Vec<Item>, Vec<Item>);

/// The parts in `train/` and `test/`.
fn as_it_lies(root: &Path) -> Result<Parts, DataError> {
    let (train_dir, test_dir) = (root.join("train"), root.join("test"));
    let classes = class_names(&train_dir)?;
    let items = |folder: &Path, name: &String| {
        let label = classes.iter().position(|class| class == name);
        let label = label.ok_or_else(|| DataError::UnknownClass {
            folder: folder.join(name),
            train: train_dir.clone(),
            known: classes.join(", "),
        })?;
        pictures(&folder.join(name), label as u8)
    };
    let part = |folder: &Path, names: &[String]| -> Result<Vec<Item>, DataError> {
        let mut part = Vec::new();
        for name in names {
            part.extend(items(folder, name)?);
        }
        Ok(part)
    };
    let train = part(&train_dir, &classes)?;
    let test = part(&test_dir, &sub_folders(&test_dir)?)?;
    if test.is_empty() {
        return Err(DataError::ClassFolders {
            folder: test_dir,
            got: 0,
        });
    }
    Ok((classes, train, test))
}

/// A fifth of each class to test on, chosen by the seed.
fn by_seed(root: &Path, seed: u64) -> Result<Parts, DataError> {
    let classes = class_names(root)?;
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (label, name) in classes.iter().enumerate() {
        let mut items = pictures(&root.join(name), label as u8)?;
        shuffle(&mut items, seed, 2 + label as u32);
        let count = match items.len() {
            1 => 0,
            len => (len / TEST_SHARE).max(1),
        };
        train.extend(items.split_off(count));
        test.extend(items);
    }
    if test.is_empty() {
        return Err(DataError::NothingToTest {
            folder: root.into(),
        });
    }
    Ok((classes, train, test))
}

/// The classes of a folder, of which there must be some.
fn class_names(folder: &Path) -> Result<Vec<String>, DataError> {
    let names = sub_folders(folder)?;
    if !(2..=256).contains(&names.len()) {
        return Err(DataError::ClassFolders {
            folder: folder.into(),
            got: names.len(),
        });
    }
    Ok(names)
}

fn sub_folders(folder: &Path) -> Result<Vec<String>, DataError> {
    names(folder, Path::is_dir)
}

fn pictures(folder: &Path, label: u8) -> Result<Vec<Item>, DataError> {
    let is_picture = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        extension.is_some_and(|got| EXTENSIONS.iter().any(|want| got.eq_ignore_ascii_case(want)))
            && path.is_file()
    };
    let names = names(folder, is_picture)?;
    if names.is_empty() {
        return Err(DataError::EmptyClass {
            folder: folder.into(),
        });
    }
    let item = |name| Item {
        path: folder.join(name),
        label,
    };
    Ok(names.into_iter().map(item).collect())
}

/// The names in a folder that are not hidden and pass, in order.
fn names(folder: &Path, pass: impl Fn(&Path) -> bool) -> Result<Vec<String>, DataError> {
    let read_error = |source| DataError::Read {
        path: folder.into(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read_error)? {
        let entry = entry.map_err(read_error)?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|_| DataError::FileName { path: entry.path() })?;
        if !name.starts_with('.') && pass(&entry.path()) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Shuffles by seed; each stream is another order.
fn shuffle(items: &mut [Item], seed: u64, stream: u32) {
    for last in (1..items.len()).rev() {
        let [word, ..] = pcg4d([last as u32, stream, seed as u32, (seed >> 32) as u32]);
        let other = (u64::from(word) * (last as u64 + 1)) >> 32;
        items.swap(last, other as usize);
    }
}

fn suitable_shape(train: &[Item], test: &[Item]) -> Result<[usize; 3], DataError> {
    let sizes: Vec<[usize; 2]> = train
        .par_iter()
        .chain(test)
        .map(|item| image_file::size(&item.path))
        .collect::<Result<_, _>>()?;
    let kept = sizes[0];
    let [h, w] = if sizes.iter().all(|&size| size == kept) && kept.iter().all(|&s| s <= KEPT) {
        kept
    } else {
        [SIDE, SIDE]
    };
    let grey: Vec<bool> = train[..train.len().min(SAMPLE)]
        .par_iter()
        .map(|item| image_file::is_grey(&item.path))
        .collect::<Result<_, _>>()?;
    let channels = if grey.iter().all(|&grey| grey) { 1 } else { 3 };
    Ok([channels, h, w])
}

fn read(
    items: &[Item],
    shape: [usize; 3],
    invert: Invert,
    classes: &[String],
) -> Result<Dataset, DataError> {
    let len = byte_count(NAME, items.len(), shape)?;
    let mut images = vec![0; len];
    images
        .par_chunks_exact_mut(len / items.len())
        .zip(items)
        .try_for_each(|(image, item)| {
            image.copy_from_slice(&image_file::load(&item.path, shape, invert)?);
            Ok::<_, DataError>(())
        })?;
    let labels = items.iter().map(|item| item.label).collect();
    Dataset::new(NAME, images, labels, shape, classes.to_vec())
}
