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

#[cfg(test)]
mod tests {
    use super::super::cache::Fingerprint;
    use super::super::image_file::{Invert, scaled_down};
    use super::super::view::Fit;
    use super::*;

    const SIZES: [[u32; 2]; 2] = [[90, 70], [33, 61]];

    /// Pictures of one's own, with copies in a file or without.
    fn photos(folder: &Path, fit: Fit, keeps: bool) -> Photos {
        let view = View {
            shape: [3, 24, 20],
            fit,
            invert: false,
        };
        let items = [0, 1].map(|i| Item {
            path: folder.join(format!("{i}.png")),
            label: i,
        });
        let size = |size: [u32; 2]| match view.shorter() {
            None => [24, 20],
            shorter => scaled_down(size.map(|side| side as usize), shorter),
        };
        let path = folder.join("copies");
        let cache =
            keeps.then(|| Cache::create(&path, Fingerprint::of(&[], 0), 3, &SIZES.map(size)));
        let preparation = Preparation {
            fit,
            invert: Invert::No,
        };
        let cache = cache.map(|cache| cache.expect("room"));
        Photos::new(items.to_vec(), view, preparation, true, cache)
    }

    fn load(photos: &Photos, i: usize, draw: Option<Draw>) -> Result<Vec<u8>, DataError> {
        let mut pixels = vec![0; 3 * 24 * 20];
        match draw {
            Some(draw) => photos.load_drawn(i, draw, &mut pixels)?,
            None => photos.load(i, &mut pixels)?,
        }
        Ok(pixels)
    }

    #[test]
    fn copies_show_what_their_pictures_do_and_stand_in_for_them() {
        for fit in [Fit::Crop, Fit::Stretch, Fit::Pad] {
            let folder = tempfile::tempdir().expect("a folder");
            for (i, [height, width]) in SIZES.into_iter().enumerate() {
                let pixel = |x: u32, y: u32| image::Rgb([7 * x + y, 3 * y, 5 * x].map(|v| v as u8));
                let picture = image::RgbImage::from_fn(width, height, pixel);
                let path = folder.path().join(format!("{i}.png"));
                picture.save(path).expect("writes");
            }
            let [plain, kept] = [false, true].map(|keeps| photos(folder.path(), fit, keeps));
            assert!(plain.draws() && kept.draws());
            let draw = |crop| Draw {
                n: 3,
                step: 5,
                seed: 1,
                crop,
                flip: true,
            };
            let draws = [None, Some(draw(false)), Some(draw(true))];
            let all = |photos: &Photos| {
                let each = draws.iter().flat_map(|&draw| [(0, draw), (1, draw)]);
                each.map(|(i, draw)| load(photos, i, draw).ok())
                    .collect::<Vec<_>>()
            };
            let want = all(&plain);
            assert!(want.iter().all(Option::is_some));
            for _ in 0..2 {
                assert_eq!(all(&kept), want, "{fit:?}");
            }
            for i in 0..2 {
                std::fs::remove_file(folder.path().join(format!("{i}.png"))).expect("removed");
            }
            // Parts of what the network sees would be parts of parts: those are of the pictures themselves.
            let parts = if fit == Fit::Crop { 6 } else { 4 };
            assert_eq!(all(&kept)[..parts], want[..parts], "{fit:?}");
            assert!(all(&kept)[parts..].iter().all(Option::is_none), "{fit:?}");
        }
    }
}
