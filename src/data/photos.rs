//! Picture files as a data set: decoded, scaled and cropped when they are wanted.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::cache::Cache;
use super::image_file::{self, Picture};
use super::listing::Item;
use super::view::{Draw, View};
use super::{DataError, PictureSource, Preparation};

/// Picture files, each of which becomes what a [`View`] makes of it.
pub(super) struct Photos {
    items: Vec<Item>,
    view: View,
    preparation: Preparation,
    /// Whether they are large enough for a step to see parts of them.
    draws: bool,
    cache: Option<Cache>,
}

thread_local! {
    /// The copy of a picture, as it comes from the cache.
    static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Photos {
    pub(super) fn new(
        items: Vec<Item>,
        view: View,
        preparation: Preparation,
        draws: bool,
        cache: Option<Cache>,
    ) -> Self {
        Self {
            items,
            view,
            preparation,
            draws,
            cache,
        }
    }

    fn fill(&self, i: usize, draw: Option<Draw>, pixels: &mut [u8]) -> Result<(), DataError> {
        let path = &self.items[i].path;
        let crops = draw.is_some_and(|draw| draw.crop);
        let cache = self.cache.as_ref().filter(|_| !crops || self.keeps_parts());
        let Some((cache, size)) = cache.and_then(|cache| Some((cache, cache.size(i)?))) else {
            return self.view.fill(&self.decode(path)?, draw, pixels);
        };
        COPY.with_borrow_mut(|copy| {
            // Rows that are not seen are not read.
            let (rows, part) = self.view.part(size, draw).alone(size[0]);
            if cache.get(i, rows.clone(), copy) {
                let shape = [rows.len(), size[1], self.view.shape[0]];
                let picture = Picture::new(shape, copy.as_slice())?;
                self.view.fill_from(&picture, part, draw, pixels);
                return Ok(());
            }
            let mut picture = self.decode(path)?;
            if !self.keeps_parts() {
                picture = self.view.fitted(&picture)?;
            }
            cache.put(i, picture.shape(), picture.pixels());
            self.view.fill(&picture, draw, pixels)
        })
    }

    /// Whether copies are of whole pictures, of which parts can be drawn, and not of what the network sees.
    fn keeps_parts(&self) -> bool {
        self.view.shorter().is_some()
    }

    fn decode(&self, path: &Path) -> Result<Picture<'static>, DataError> {
        image_file::decode(path, self.view.shape[0], self.view.shorter())
    }
}

impl PictureSource for Photos {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn image(&self) -> [usize; 3] {
        self.view.shape
    }

    fn label(&self, i: usize) -> u16 {
        self.items[i].label
    }

    fn load(&self, i: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        self.fill(i, None, pixels)
    }

    fn draws(&self) -> bool {
        self.draws
    }

    fn load_drawn(&self, i: usize, draw: Draw, pixels: &mut [u8]) -> Result<(), DataError> {
        self.fill(i, Some(draw), pixels)
    }

    fn describe(&self, i: usize) -> String {
        self.items[i].path.display().to_string()
    }

    fn path(&self, i: usize) -> Option<PathBuf> {
        Some(self.items[i].path.clone())
    }

    fn preparation(&self) -> Preparation {
        self.preparation
    }

    fn take_notices(&self) -> Vec<String> {
        self.cache
            .as_ref()
            .map_or_else(Vec::new, Cache::take_notices)
    }
}
