//! Pictures of one's own: a folder with a sub-folder for each class, or a table of paths and labels.
//!
//! `listing/` says which files there are, of which class and part. Here is decided how they come into a network: at which
//! size, grey or in colour, and whether light and dark are swapped; each once, for the set as a whole. `photos.rs` then
//! brings them one by one.

use std::path::Path;

use rayon::prelude::*;

use super::cache::{Cache, Fingerprint};
use super::image_file::{self, Invert};
use super::listing::{self, Item, Listing};
use super::photos::Photos;
use super::view::View;
use super::{DataError, Dataset, Loader, Preparation, Split};

pub(super) const NAME: &str = "folder";
pub(super) const CSV: &str = "csv";

/// Height and width of pictures without a size of their own, unless the [loader](Loader::native_size) is told the model's.
pub const SIDE: usize = 32;
/// The largest height and width that pictures of one size keep.
pub const KEPT: usize = 64;

/// Bytes of decoded pictures from which on a cache is made.
const WORTH_KEEPING: usize = 64 << 20;

/// Pictures of a grey set that are looked at to tell whether it is dark on light.
const BORDERS: usize = 1_000;

pub(super) fn load(loader: &Loader<'_>) -> Result<Split, DataError> {
    let root = loader.data_dir.as_deref();
    let root = root.ok_or(DataError::FolderWanted { name: NAME })?;
    if !root.is_dir() {
        return Err(DataError::NoFolder {
            folder: root.into(),
        });
    }
    split(NAME, loader, root, listing::folder(root, loader.seed)?)
}

pub(super) fn load_csv(loader: &Loader<'_>) -> Result<Split, DataError> {
    let file = loader.data_dir.as_deref();
    let file = file.ok_or(DataError::FolderWanted { name: CSV })?;
    split(CSV, loader, file, listing::csv(file, loader.seed)?)
}

fn split(
    name: &'static str,
    loader: &Loader<'_>,
    root: &Path,
    listing: Listing,
) -> Result<Split, DataError> {
    let left_out = listing
        .skipped
        .iter()
        .map(|(path, reason)| (path.into(), reason.to_string()));
    let left_out = left_out.collect();
    let mut notes = listing.notes;
    notes.extend(listing.skipped.summary());
    let lens = [
        listing.train.len(),
        listing.val.as_ref().map_or(0, Vec::len),
        listing.test.len(),
    ];
    let items: Vec<Item> = listing
        .train
        .into_iter()
        .chain(listing.val.into_iter().flatten())
        .chain(listing.test)
        .collect();

    let names = names(root, &items, lens);
    let own = own_size(&items);
    let (size, draws) = match (loader.shape, loader.image_size, own) {
        (Some([_, h, w]), ..) => ([h, w], own != Some([h, w])),
        (None, Some(size), _) => (size, own != Some(size)),
        (None, None, Some(own)) => (own, false),
        (None, None, None) => (loader.native_size, true),
    };
    let channels = match loader.shape {
        Some([channels, ..]) => channels,
        None if items.par_iter().any(|item| has_colour(&item.path)) => 3,
        None => 1,
    };
    let invert = match loader.invert {
        Invert::Auto if channels == 1 && is_dark_on_light(&items) => Invert::Yes,
        Invert::Auto => Invert::No,
        told => told,
    };
    let preparation = Preparation {
        fit: loader.fit,
        invert,
    };
    let view = View {
        shape: [channels, size[0], size[1]],
        fit: loader.fit,
        invert: invert == Invert::Yes,
    };
    view.check()?;
    let (cache, note) = cache(loader, root, &items, &view);
    notes.extend(note);
    let photos = Photos::new(items, view, preparation, draws, cache);
    let all = Dataset::from_source(name, photos, listing.classes)?;
    let mut first = 0;
    let [train, val, test] = lens.map(|len| {
        first += len;
        (len > 0).then(|| all.part(first - len..first))
    });
    let [Some(train), Some(test)] = [train, test] else {
        return Err(DataError::NothingToTest {
            folder: root.into(),
        });
    };
    Ok(Split {
        train,
        val,
        test,
        notes,
        left_out,
        names: Some(names),
    })
}

/// A checksum of the names and labels in each part, without the place of `root`, since that may be moved.
fn names(root: &Path, items: &[Item], lens: [usize; 3]) -> u32 {
    let folder = match root.is_dir() {
        true => root,
        false => root.parent().unwrap_or(root),
    };
    let mut names = crc32fast::Hasher::new();
    for item in items {
        let path = item.path.strip_prefix(folder).unwrap_or(&item.path);
        names.update(path.to_string_lossy().as_bytes());
        names.update(&[0]);
        names.update(&item.label.to_le_bytes());
    }
    for len in lens {
        names.update(&(len as u64).to_le_bytes());
    }
    names.finalize()
}

/// The size that all pictures have, if it is small enough to be kept.
fn own_size(items: &[Item]) -> Option<[usize; 2]> {
    let size = |item: &Item| {
        image_file::head(&item.path)
            .ok()
            .map(|head| [head.height, head.width])
    };
    let first = items.iter().find_map(size)?;
    let kept = first.iter().all(|&side| side <= KEPT);
    // Those that cannot be read are told of when they are loaded.
    let same = |item: &Item| size(item).is_none_or(|size| size == first);
    (kept && items.par_iter().all(same)).then_some(first)
}

fn has_colour(path: &Path) -> bool {
    let grey = image_file::head(path).map(|head| head.grey);
    !grey.unwrap_or(true) && !image_file::is_grey(path).unwrap_or(true)
}

/// Whether most pictures have a bright border; of many, some that lie evenly among them.
fn is_dark_on_light(items: &[Item]) -> bool {
    let looked_at = items
        .par_iter()
        .step_by(items.len().div_ceil(BORDERS).max(1));
    let borders = looked_at.filter_map(|item| {
        let picture = image_file::decode(&item.path, 1, Some(KEPT)).ok()?;
        Some(if picture.border_is_bright() {
            1_i64
        } else {
            -1
        })
    });
    borders.sum::<i64>() > 0
}

/// The cache of decoded pictures, if one is wanted and can be had, and what there is to tell of it.
fn cache(
    loader: &Loader<'_>,
    root: &Path,
    items: &[Item],
    view: &View,
) -> (Option<Cache>, Option<String>) {
    let Some(folder) = &loader.pictures_cache else {
        return (None, None);
    };
    let ([channels, height, width], shorter) = (view.shape, view.shorter());
    // Small ones are decoded as soon as read.
    if items.len() * channels * height * width < WORTH_KEEPING {
        return (None, None);
    }
    let options = (view.shape, format!("{:?}", view.fit));
    let paths: Vec<&Path> = items.iter().map(|item| item.path.as_path()).collect();
    let fingerprint = Fingerprint::of(&paths, &options);
    let root = std::path::absolute(root).unwrap_or_else(|_| root.into());
    let name = root
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let of_root = Fingerprint::of(&[], (&root, options));
    let path = folder.join(of_root.file_name(&name));
    let (cache, is_new) = match Cache::open(&path, fingerprint, channels) {
        Some(cache) => (cache, false),
        None => {
            let size = |item: &Item| match image_file::head(&item.path) {
                Ok(_) if shorter.is_none() => [height, width],
                Ok(head) => image_file::scaled_down([head.height, head.width], shorter),
                Err(_) => [0, 0], // told of when it is loaded
            };
            let sizes: Vec<_> = items.par_iter().map(size).collect();
            match Cache::create(&path, fingerprint, channels, &sizes) {
                Ok(cache) => (cache, true),
                Err(error) => {
                    let path = path.display();
                    let note = format!(
                        "no cache of decoded pictures at {path}: {error}; each epoch decodes them anew"
                    );
                    return (None, Some(note));
                }
            }
        }
    };
    let (path, gigabytes) = (cache.path().display(), cache.bytes() as f64 / 1e9);
    let note = if is_new {
        format!(
            "decoded pictures are kept in {path}, which will take {gigabytes:.2} GB (--cache off keeps none)"
        )
    } else {
        let (held, all) = (cache.held(), items.len());
        format!("{held} of {all} decoded pictures are in {path} ({gigabytes:.2} GB)")
    };
    (Some(cache), Some(note))
}
