//! The cache folder: what was fastest on an adapter, with its driver, for these shaders.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::super::AdapterDescription;
use crate::ops::Geometry;
use crate::output;
use crate::plan::shaders::SOURCES;
use crate::plan::{Conv2dAlgorithm, Direction};

/// A file of the cache folder.
#[derive(Serialize, Deserialize)]
struct File {
    /// Adapter and driver.
    adapter: String,
    /// Hash of all shaders.
    shaders: String,
    fastest: Vec<Fastest>,
}

#[derive(Serialize, Deserialize)]
struct Fastest {
    direction: Direction,
    geometry: Geometry,
    algorithm: Conv2dAlgorithm,
}

/// The file of what was measured, in a cache folder, under what it holds for: all of `of` and the shaders.
pub(super) fn file(cache: &Path, of: &[&str]) -> PathBuf {
    let shaders = shaders();
    let of = of.iter().copied().chain([shaders.as_str()]);
    folder(cache).join(hash(of) + ".json")
}

/// FNV-1a, which stays the same from release to release, unlike the standard library's.
fn hash<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let bytes = parts.into_iter().flat_map(str::bytes);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn shaders() -> String {
    hash(SOURCES.iter().flat_map(|(path, source)| [*path, *source]))
}

/// The folder of all adapters' files in a cache folder.
pub(super) fn folder(cache: &Path) -> PathBuf {
    cache.join("nin-wgpu/tune")
}

/// Kernels that cannot be used: those of another adapter, driver or version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KernelsError {
    /// They were chosen elsewhere.
    #[error("they were chosen on {was}, and this is {is}")]
    Adapter {
        /// Adapter and driver that they were chosen on.
        was: String,
        /// Those at hand.
        is: String,
    },
    /// The shaders are others, or algorithms are gone.
    #[error("they were chosen by another version of this program")]
    Version,
    /// It is no list of kernels.
    #[error("the list is damaged ({0})")]
    Damaged(String),
}

/// The algorithms of some computations.
pub(super) type Choices = HashMap<(Direction, Geometry), Conv2dAlgorithm>;

/// The JSON of choices that were made on an adapter.
pub(super) fn to_json(adapter: &str, choices: &Choices) -> Vec<u8> {
    let entry = |(&(direction, geometry), &algorithm)| Fastest {
        direction,
        geometry,
        algorithm,
    };
    let mut fastest: Vec<_> = choices.iter().map(entry).collect();
    fastest.sort_by_key(|entry| (entry.geometry.to_string(), entry.direction.to_string()));
    let file = File {
        adapter: adapter.to_owned(),
        shaders: shaders(),
        fastest,
    };
    serde_json::to_vec_pretty(&file).unwrap_or_default()
}

/// The choices of a file that were made on this adapter, by these shaders.
pub(super) fn from_json(adapter: &str, json: &[u8]) -> Result<Choices, KernelsError> {
    let file: File = serde_json::from_slice(json).map_err(|error| match error.classify() {
        // An algorithm of another version.
        serde_json::error::Category::Data => KernelsError::Version,
        _ => KernelsError::Damaged(error.to_string()),
    })?;
    if file.adapter != adapter {
        let is = adapter.to_owned();
        return Err(KernelsError::Adapter {
            was: file.adapter,
            is,
        });
    }
    let known = |entry: &Fastest| Conv2dAlgorithm::ALL.contains(&entry.algorithm);
    if file.shaders != shaders() || !file.fastest.iter().all(known) {
        return Err(KernelsError::Version);
    }
    let entries = file.fastest.into_iter();
    let of = |entry: Fastest| ((entry.direction, entry.geometry), entry.algorithm);
    Ok(entries.map(of).collect())
}

/// The same of whatever adapter and shaders they are, for the fuzz targets: [`from_json`] with what they say of both put right.
#[cfg(fuzzing)]
pub(super) fn of_any(json: &[u8]) -> Option<Choices> {
    let mut file: serde_json::Value = serde_json::from_slice(json).ok()?;
    let fields = file.as_object_mut()?;
    fields.insert("adapter".into(), "fuzz".into());
    fields.insert("shaders".into(), shaders().into());
    from_json("fuzz", file.to_string().as_bytes()).ok()
}

/// What is known of one adapter, in memory and in a file.
#[derive(Debug)]
pub(super) struct Store {
    /// `None` without a cache folder.
    path: Option<PathBuf>,
    adapter: String,
    fastest: Choices,
    changed: bool,
}

impl Store {
    /// Nothing known yet of an adapter whose file lies in the folder `cache`.
    fn empty(cache: Option<PathBuf>, adapter: &AdapterDescription) -> Self {
        let adapter = adapter.to_string();
        Self {
            path: cache.map(|cache| file(&cache, &[&adapter])),
            adapter,
            fastest: HashMap::new(),
            changed: false,
        }
    }

    /// What the file holds. One that is missing, damaged or of another version counts as nothing known.
    pub(super) fn load(cache: Option<PathBuf>, adapter: &AdapterDescription) -> Self {
        let mut this = Self::empty(cache, adapter);
        let read = this.path.as_ref().and_then(|path| fs::read(path).ok());
        if let Some(fastest) = read.and_then(|json| from_json(&this.adapter, &json).ok()) {
            this.fastest = fastest;
        }
        this
    }

    pub(super) fn get(&self, direction: Direction, geometry: &Geometry) -> Option<Conv2dAlgorithm> {
        self.fastest.get(&(direction, *geometry)).copied()
    }

    pub(super) fn set(
        &mut self,
        direction: Direction,
        geometry: Geometry,
        algorithm: Conv2dAlgorithm,
    ) {
        self.fastest.insert((direction, geometry), algorithm);
        self.changed = true;
    }

    /// Writes what is new to the file. It can be measured again, so a folder that cannot be written is no error.
    pub(super) fn save(&mut self) {
        let Some(path) = self.path.as_ref().filter(|_| self.changed) else {
            return;
        };
        self.changed = false;
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        let bytes = to_json(&self.adapter, &self.fastest);
        if folder.is_err() || output::write_whole(path, &bytes).is_err() {
            tracing::warn!(path = %path.display(), "what was measured cannot be kept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::AdapterKind;

    fn adapter(driver: &str) -> AdapterDescription {
        AdapterDescription {
            name: "card".into(),
            driver: driver.into(),
            backend: "vulkan".into(),
            kind: AdapterKind::Hardware,
            limits: Default::default(),
            features: Vec::new(),
        }
    }

    fn geometry() -> Geometry {
        let conv = crate::ops::Conv2d::new(3, 1, 1).expect("valid");
        let x = crate::graph::shape::Shape::new(&[2, 3, 8, 9]).expect("valid");
        conv.geometry(x, 5).expect("fits")
    }

    #[test]
    fn what_was_measured_is_known_to_the_same_driver_only() {
        let cache = tempfile::tempdir().expect("a folder");
        let folder = || Some(cache.path().to_owned());
        let mut store = Store::load(folder(), &adapter("1.0"));
        assert_eq!(store.get(Direction::Dgrad, &geometry()), None);
        store.set(Direction::Dgrad, geometry(), Conv2dAlgorithm::Direct);
        store.save();
        let again = Store::load(folder(), &adapter("1.0"));
        let known = again.get(Direction::Dgrad, &geometry());
        assert_eq!(known, Some(Conv2dAlgorithm::Direct));
        assert_eq!(again.get(Direction::Wgrad, &geometry()), None);
        let other = Store::load(folder(), &adapter("1.1"));
        assert_eq!(other.get(Direction::Dgrad, &geometry()), None);
    }

    #[test]
    fn choices_are_for_the_adapter_and_the_version_that_made_them() {
        let choices = Choices::from([((Direction::Dgrad, geometry()), Conv2dAlgorithm::Direct)]);
        let json = to_json("card", &choices);
        assert_eq!(from_json("card", &json), Ok(choices));
        let error = from_json("other", &json).expect_err("of another");
        assert!(matches!(error, KernelsError::Adapter { .. }), "{error}");
        let text = String::from_utf8(json).expect("UTF-8");
        for (from, to, want) in [
            (shaders(), "0".to_owned(), KernelsError::Version),
            (
                "\"direct\"".to_owned(),
                "\"gone\"".to_owned(),
                KernelsError::Version,
            ),
        ] {
            assert!(text.contains(&from), "{from} in {text}");
            let other = text.replace(&from, &to);
            assert_eq!(from_json("card", other.as_bytes()), Err(want));
        }
        let error = from_json("card", &text.as_bytes()[..20]).expect_err("cut");
        assert!(matches!(error, KernelsError::Damaged(_)), "{error}");
    }

    #[test]
    fn a_damaged_file_counts_as_nothing_known_and_is_replaced() {
        let cache = tempfile::tempdir().expect("a folder");
        let folder = || Some(cache.path().to_owned());
        let mut store = Store::empty(folder(), &adapter("1.0"));
        let path = store.path.clone().expect("a folder was given");
        fs::create_dir_all(path.parent().expect("in a folder")).expect("made");
        fs::write(&path, "{\"adapter\": 3").expect("written");
        let damaged = Store::load(folder(), &adapter("1.0"));
        assert_eq!(damaged.get(Direction::Forward, &geometry()), None);
        store.set(Direction::Forward, geometry(), Conv2dAlgorithm::HARDWARE);
        store.save();
        let mended = Store::load(folder(), &adapter("1.0"));
        let known = mended.get(Direction::Forward, &geometry());
        assert_eq!(known, Some(Conv2dAlgorithm::HARDWARE));
    }
}
