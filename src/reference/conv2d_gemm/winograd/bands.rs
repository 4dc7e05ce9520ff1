//! How the work is cut.

use std::ops::Range;

use super::Correlation;

/// Tiles of a band: enough that filters are not read too often, few enough for the cache.
const TILES: usize = 96;

/// How a convolution is cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Images of a band.
    pub(super) images: usize,
    /// Rows of tiles of a band.
    pub(super) rows: usize,
    /// Rows of tiles of an image.
    down: usize,
    /// Tiles of a row.
    pub(super) across: usize,
    /// Outputs of a tile along a side.
    side: usize,
}

impl Cut {
    pub(super) fn new(g: &Correlation, images: usize, side: usize) -> Self {
        let [down, across] = [g.p, g.q].map(|pixels| pixels.div_ceil(side));
        let threads = rayon::current_num_threads();
        // At least one for each thread.
        let bands = down.div_ceil((TILES / across).clamp(1, down));
        let bands = bands.max(threads.div_ceil(images)).min(down);
        let share = images.div_ceil(threads);
        Self {
            images: (TILES / (down * across)).clamp(1, share),
            rows: down.div_ceil(bands),
            down,
            across,
            side,
        }
    }

    /// Tiles of the largest band.
    pub(super) fn tiles(&self) -> usize {
        self.images * self.rows * self.across
    }

    /// Images and rows of tiles of all bands.
    pub(super) fn places(
        &self,
        images: usize,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let rows = move |from| {
            (0..self.down).step_by(self.rows).map(move |row| {
                let images = from..images.min(from + self.images);
                (images, row..self.down.min(row + self.rows))
            })
        };
        (0..images).step_by(self.images).flat_map(rows)
    }

    /// All bands of `y [n,K,P,Q]`, with panels of `panel` filters.
    pub(super) fn bands<'a>(
        &self,
        g: &Correlation,
        panel: usize,
        y: &'a mut [f32],
    ) -> Vec<Band<'a>> {
        let (image, rows) = (g.k * g.p * g.q, self.rows * self.side * g.q);
        let mut bands = Vec::new();
        for (i, y) in y.chunks_mut(self.images * image).enumerate() {
            let (first, start) = (bands.len(), i * self.images);
            bands.extend((0..self.down).step_by(self.rows).map(|row| Band {
                images: start..start + y.len() / image,
                rows: row..self.down.min(row + self.rows),
                panels: (0..g.k.div_ceil(panel)).map(|_| Vec::new()).collect(),
            }));
            for (map, y) in y.chunks_mut(g.p * g.q).enumerate() {
                for (band, part) in bands[first..].iter_mut().zip(y.chunks_mut(rows)) {
                    band.panels[map % g.k / panel].push(part);
                }
            }
        }
        bands
    }
}

/// Some rows of tiles of some images.
pub(super) struct Band<'a> {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
    /// Of each panel of filters, the parts of its maps, image by image.
    pub(super) panels: Vec<Vec<&'a mut [f32]>>,
}
