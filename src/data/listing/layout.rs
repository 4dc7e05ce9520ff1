//! The layouts of a folder: parts with class folders in them, or class folders alone.

use std::path::{Path, PathBuf};

use super::skipped::Reason;
use super::walk::{inside, pictures};
use super::{Item, Listing, counted, some};
use crate::data::DataError;
use crate::data::image_file::has_picture_ending;

/// The most classes that labels tell apart.
const MAX_CLASSES: usize = 1 << 16;

/// Names of the parts, in any case.
const TRAIN: [&str; 2] = ["train", "training"];
const VAL: [&str; 3] = ["val", "valid", "validation"];
const TEST: [&str; 2] = ["test", "testing"];

/// Lists the pictures of a folder.
///
/// # Errors
/// [`DataError`] if the layout is none of those that [`DataError::Layout`] explains, a class has no picture, or the folder
/// cannot be read.
pub(in crate::data) fn folder(root: &Path, seed: u64) -> Result<Listing, DataError> {
    let mut listing = Listing::default();
    let found = inside(root, &mut listing.skipped).map_err(|source| DataError::Read {
        path: root.into(),
        source,
    })?;
    let part = |names: &[&str]| {
        let is_named = |folder: &&PathBuf| {
            let name = folder.file_name().unwrap_or_default();
            names.iter().any(|one| name.eq_ignore_ascii_case(one))
        };
        let mut named = found.folders.iter().filter(is_named);
        (named.next().cloned(), named.next().is_some())
    };
    let [(train, twice_a), (val, twice_b), (test, twice_c)] =
        [part(&TRAIN), part(&VAL), part(&TEST)];
    let layout = |got: String| DataError::Layout {
        folder: root.into(),
        got,
    };
    if twice_a || twice_b || twice_c {
        return Err(layout(
            "two folders for one part, such as val and valid".into(),
        ));
    }
    // Photos beside folders of classes belong to none of them.
    let loose = found.files.iter().filter(|path| has_picture_ending(path));
    let loose = loose.count();
    for path in found.files {
        listing.skipped.push(path, Reason::Loose);
    }
    let Some(train) = train else {
        if val.is_some() && test.is_some()
            || (val.is_some() || test.is_some()) && found.folders.len() < 3
        {
            return Err(layout("parts to test on, but no train/".into()));
        }
        if loose > 0 && found.folders.len() < 2 {
            let pictures = counted(loose, "picture", "pictures");
            return Err(layout(format!("{pictures} in no class folder")));
        }
        let all = classes_of(root, root, &found.folders, &mut listing)?;
        listing.split(all, seed);
        return Ok(listing.finish(seed));
    };
    let others: Vec<_> = found
        .folders
        .iter()
        .filter(|folder| ![Some(&train), val.as_ref(), test.as_ref()].contains(&Some(folder)))
        .collect();
    if !others.is_empty() {
        let names: Vec<_> = others.iter().map(|folder| name(folder)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        return Err(layout(format!(
            "train/ beside other folders ({})",
            some(&names)
        )));
    }
    let inner = inside_part(&train, &mut listing)?;
    let train_items = classes_of(root, &train, &inner, &mut listing)?;
    let mut held = Vec::new();
    for part in [&val, &test] {
        held.push(match part {
            Some(part) => Some(part_of(part, &train, &mut listing)?),
            None => None,
        });
    }
    match (held.pop().flatten(), held.pop().flatten()) {
        (Some(test), val) => {
            (listing.train, listing.val, listing.test) = (train_items, val, test);
        }
        (None, Some(val)) => {
            let part = val_name(&found.folders);
            listing.notes.push(format!(
                "no test/: {part}/ is what the best epoch is chosen by and what is tested on"
            ));
            (listing.train, listing.test) = (train_items, val);
        }
        (None, None) => {
            listing
                .notes
                .push("no val/ or test/: a fifth of each class of train/ is tested on".into());
            listing.split(train_items, seed);
        }
    }
    Ok(listing.finish(seed))
}

fn val_name(folders: &[PathBuf]) -> String {
    let is_val = |name: &String| VAL.iter().any(|one| name.eq_ignore_ascii_case(one));
    let mut names = folders.iter().map(|folder| name(folder));
    names.find(is_val).unwrap_or_default()
}

fn name(folder: &Path) -> String {
    folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The class folders of a part.
fn inside_part(part: &Path, listing: &mut Listing) -> Result<Vec<PathBuf>, DataError> {
    let found = inside(part, &mut listing.skipped).map_err(|source| DataError::Read {
        path: part.into(),
        source,
    })?;
    for path in found.files {
        listing.skipped.push(path, Reason::Loose);
    }
    Ok(found.folders)
}

/// Makes classes of `folders`, which lie in `place`, and lists their pictures.
fn classes_of(
    root: &Path,
    place: &Path,
    folders: &[PathBuf],
    listing: &mut Listing,
) -> Result<Vec<Item>, DataError> {
    if !(2..=MAX_CLASSES).contains(&folders.len()) {
        let inside = if root == place {
            String::new()
        } else {
            format!(" in {}/", name(place))
        };
        return Err(DataError::Layout {
            folder: root.into(),
            got: counted(folders.len(), "folder", "folders") + &inside,
        });
    }
    let mut items = Vec::new();
    for (label, folder) in folders.iter().enumerate() {
        let class = name(folder);
        if listing.classes.contains(&class) {
            return Err(DataError::FileName {
                path: folder.clone(),
            });
        }
        listing.classes.push(class);
        items.extend(class_items(folder, label as u16, listing)?);
    }
    Ok(items)
}

fn class_items(folder: &Path, label: u16, listing: &mut Listing) -> Result<Vec<Item>, DataError> {
    let paths = pictures(folder, &mut listing.skipped)?;
    if paths.is_empty() {
        return Err(DataError::EmptyClass {
            folder: folder.into(),
        });
    }
    Ok(paths.into_iter().map(|path| Item { path, label }).collect())
}

/// The pictures of a part whose classes are those of `train`.
fn part_of(part: &Path, train: &Path, listing: &mut Listing) -> Result<Vec<Item>, DataError> {
    let mut items = Vec::new();
    for folder in inside_part(part, listing)? {
        let class = name(&folder);
        let label = listing.classes.iter().position(|known| *known == class);
        let label = label.ok_or_else(|| {
            let known: Vec<_> = listing.classes.iter().map(String::as_str).collect();
            DataError::UnknownClass {
                folder: folder.clone(),
                train: train.into(),
                known: some(&known),
            }
        })?;
        items.extend(class_items(&folder, label as u16, listing)?);
    }
    if items.is_empty() {
        return Err(DataError::Layout {
            folder: part.into(),
            got: "no class folder".into(),
        });
    }
    let mut there = vec![false; listing.classes.len()];
    items
        .iter()
        .for_each(|item| there[usize::from(item.label)] = true);
    let missing = listing.classes.iter().zip(there);
    let missing: Vec<_> = missing
        .filter_map(|(class, there)| (!there).then_some(class.as_str()))
        .collect();
    if !missing.is_empty() {
        let note = format!(
            "{}/ has no picture of {}: {}",
            name(part),
            counted(missing.len(), "class", "classes"),
            some(&missing)
        );
        listing.notes.push(note);
    }
    Ok(items)
}
