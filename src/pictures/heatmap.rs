//! Heat maps: where in a picture a network sees its classes.
//!
//! The last mlpconv layer has one map for each class, and its mean is the class's logit: the maps say where the
//! evidence lies. Source: arXiv:1312.4400, section 4.6.

use image::{Rgb, RgbImage};

use super::PictureError;
use super::canvas::{ACCENT, BLACK, Canvas, GREY, LINE};
use super::colour::{inferno, mix};
use crate::graph::MapGrid;

/// What the pictures of one network have in common.
#[derive(Clone, Debug)]
pub struct Network {
    /// Names of the L classes.
    pub classes: Vec<String>,
    /// Channels, height and width of the pictures, as in the checkpoint.
    pub image: [usize; 3],
    /// Height and width of the network's input, to which the pictures are scaled.
    pub input: [usize; 2],
    /// Height and width of a class's map.
    pub map: [usize; 2],
    /// Where the pixels of the maps lie on the network's input ([`map_grid`](crate::program::Program::map_grid)).
    pub grid: MapGrid,
}

/// A picture and what a network said of it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What to write over it.
    pub name: String,
    /// Its bytes `[C,H,W]`, as given to the network.
    pub pixels: Vec<u8>,
    /// Probability of each class `[L]`.
    pub probabilities: Vec<f32>,
    /// Map of each class before global average pooling `[L,h,w]`.
    pub maps: Vec<f32>,
}

impl Seen {
    /// The most probable class.
    fn predicted(&self) -> usize {
        let ranked = (0..self.probabilities.len())
            .max_by(|&a, &b| self.probabilities[a].total_cmp(&self.probabilities[b]));
        ranked.unwrap_or(0)
    }

    fn check(&self, network: &Network) -> Result<(), PictureError> {
        let classes = network.classes.len();
        let maps = classes * network.map.iter().product::<usize>();
        let pixels = network.image.iter().product();
        for (what, got, want) in [
            ("pixels", self.pixels.len(), pixels),
            ("probabilities", self.probabilities.len(), classes),
            ("elements of maps", self.maps.len(), maps),
        ] {
            if got != want {
                return Err(PictureError::Length {
                    what,
                    name: self.name.clone(),
                    got,
                    want,
                });
            }
        }
        Ok(())
    }
}

/// Pictures that fit in one of [`predicted`] or [`all_classes`].
pub const MOST: usize = 64;

/// Space around everything and between rows.
const MARGIN: u32 = 20;
/// Space between neighbours in a row.
const GAP: u32 = 14;
/// A line of text and the space below it.
const CAPTION: u32 = LINE + 4;
/// Classes side by side.
const COLUMNS: usize = 5;

/// One row for each picture: the picture, and over it the map of the class that was predicted.
///
/// Each map is coloured from 0 to its own maximum.
///
/// # Errors
/// [`PictureError::Length`] if a picture does not fit the network, [`PictureError::Count`] for none or too many.
pub fn predicted(network: &Network, pictures: &[Seen]) -> Result<RgbImage, PictureError> {
    check(network, pictures)?;
    let cell = Cell::new(network, 240);
    let row = CAPTION + cell.height + MARGIN;
    let width = 2 * MARGIN + 2 * cell.width + GAP;
    let mut canvas = Canvas::new(width, MARGIN + row * pictures.len() as u32 + CAPTION);
    let right = MARGIN + cell.width + GAP;
    for (i, picture) in pictures.iter().enumerate() {
        let top = MARGIN + row * i as u32;
        let class = picture.predicted();
        canvas.text(&picture.name, (MARGIN, top), cell.width, GREY);
        let probability = percent(picture.probabilities[class]);
        let name = &network.classes[class];
        canvas.caption(name, &probability, (right, top), cell.width, BLACK);
        let top = top + CAPTION;
        cell.picture(&mut canvas, picture, (MARGIN, top));
        let highest = maximum(cell.map(picture, class));
        cell.overlay(&mut canvas, picture, class, highest, (right, top));
    }
    let foot = MARGIN + row * pictures.len() as u32;
    let [h, w] = network.map;
    scale(
        &mut canvas,
        foot,
        width,
        &format!("highest of each {h}x{w} map"),
    );
    Ok(canvas.finish())
}

/// For each picture, the maps of all classes over it, the predicted one framed.
///
/// The maps of a picture are coloured from 0 to their common maximum, so that they compare.
///
/// # Errors
/// As [`predicted`].
pub fn all_classes(network: &Network, pictures: &[Seen]) -> Result<RgbImage, PictureError> {
    check(network, pictures)?;
    let cell = Cell::new(network, 196);
    let classes = network.classes.len();
    let columns = COLUMNS.min(classes) as u32;
    let line = CAPTION + cell.height + GAP;
    let block = line * classes.div_ceil(COLUMNS) as u32 + MARGIN;
    // The picture stands to the left of its maps.
    let width = 2 * MARGIN + (columns + 1) * (cell.width + GAP);
    let mut canvas = Canvas::new(width, MARGIN + block * pictures.len() as u32 + CAPTION);
    for (i, picture) in pictures.iter().enumerate() {
        let top = MARGIN + block * i as u32;
        canvas.text(&picture.name, (MARGIN, top), cell.width, GREY);
        cell.picture(&mut canvas, picture, (MARGIN, top + CAPTION));
        let highest = maximum(&picture.maps);
        for (class, name) in network.classes.iter().enumerate() {
            let left = MARGIN + (cell.width + GAP) * (class % COLUMNS) as u32;
            let left = left + cell.width + 2 * GAP;
            let top = top + line * (class / COLUMNS) as u32;
            let predicted = class == picture.predicted();
            let colour = if predicted { ACCENT } else { BLACK };
            let probability = percent(picture.probabilities[class]);
            canvas.caption(name, &probability, (left, top), cell.width, colour);
            let top = top + CAPTION;
            cell.overlay(&mut canvas, picture, class, highest, (left, top));
            if predicted {
                canvas.frame((left, top), (cell.width, cell.height), 3, ACCENT);
            }
        }
    }
    let foot = MARGIN + block * pictures.len() as u32 - GAP;
    let [h, w] = network.map;
    let highest = format!("highest of each picture's {h}x{w} maps");
    scale(&mut canvas, foot, width, &highest);
    Ok(canvas.finish())
}

fn check(network: &Network, pictures: &[Seen]) -> Result<(), PictureError> {
    if !(1..=MOST).contains(&pictures.len()) {
        return Err(PictureError::Count {
            got: pictures.len(),
            most: MOST,
        });
    }
    pictures
        .iter()
        .try_for_each(|picture| picture.check(network))
}

fn percent(probability: f32) -> String {
    format!("{:.1} %", 100.0 * probability)
}

fn maximum(values: &[f32]) -> f32 {
    values.iter().copied().fold(0.0, f32::max)
}

/// The scale of colours at the foot of a picture.
fn scale(canvas: &mut Canvas, top: u32, width: u32, highest: &str) {
    let left = MARGIN + canvas.text("0 ", (MARGIN, top), width, GREY);
    let size = (160, LINE - 6);
    canvas.fill((left, top + 3), size, |x, _| {
        inferno(x as f32 / (size.0 - 1) as f32)
    });
    let left = left + size.0 + 8;
    let rest = width.saturating_sub(left + MARGIN);
    canvas.text(highest, (left, top), rest, GREY);
}

/// How one picture is drawn: enlarged by a whole factor, so that its pixels stay even.
struct Cell<'a> {
    network: &'a Network,
    factor: u32,
    width: u32,
    height: u32,
}

impl<'a> Cell<'a> {
    /// About `side` pixels for the longer side; a larger picture keeps its size.
    fn new(network: &'a Network, side: u32) -> Self {
        let [_, height, width] = network.image.map(|side| side as u32);
        let factor = (side / height.max(width).max(1)).max(1);
        Self {
            network,
            factor,
            width: width * factor,
            height: height * factor,
        }
    }

    fn map<'s>(&self, picture: &'s Seen, class: usize) -> &'s [f32] {
        let [height, width] = self.network.map;
        &picture.maps[class * height * width..][..height * width]
    }

    fn pixel(&self, picture: &Seen, x: u32, y: u32) -> Rgb<u8> {
        let [channels, height, width] = self.network.image;
        let at = (y / self.factor) as usize * width + (x / self.factor) as usize;
        let channel = |c: usize| picture.pixels[c.min(channels - 1) * height * width + at];
        Rgb([0, 1, 2].map(channel))
    }

    fn picture(&self, canvas: &mut Canvas, picture: &Seen, corner: (u32, u32)) {
        canvas.fill(corner, (self.width, self.height), |x, y| {
            self.pixel(picture, x, y)
        });
        canvas.frame(corner, (self.width, self.height), 1, GREY);
    }

    /// The picture, and over it the map of `class` coloured from 0 to `highest`, stronger where it is higher.
    fn overlay(
        &self,
        canvas: &mut Canvas,
        picture: &Seen,
        class: usize,
        highest: f32,
        corner: (u32, u32),
    ) {
        let map = self.map(picture, class);
        canvas.fill(corner, (self.width, self.height), |x, y| {
            let value = if highest > 0.0 {
                self.sample(map, x, y) / highest
            } else {
                0.0
            };
            let strength = 0.5 + 0.35 * value.clamp(0.0, 1.0);
            mix(self.pixel(picture, x, y), inferno(value), strength)
        });
        canvas.frame(corner, (self.width, self.height), 1, GREY);
    }

    /// The map under a pixel of the cell: bilinear, and beyond the outer centres as at the nearest of them.
    fn sample(&self, map: &[f32], x: u32, y: u32) -> f32 {
        let [height, width] = self.network.map;
        let [input_height, input_width] = self.network.input;
        let point = |pixel: u32, pixels: u32, input: usize| {
            (f64::from(pixel) + 0.5) / f64::from(pixels) * input as f64 - 0.5
        };
        let point = [
            point(y, self.height, input_height),
            point(x, self.width, input_width),
        ];
        let [at_row, at_column] = self.network.grid.position(point);
        let between = |at: f64, cells: usize| {
            let at = at.clamp(0.0, (cells - 1) as f64);
            let low = (at as usize).min(cells.saturating_sub(2));
            (low, (low + 1).min(cells - 1), (at - low as f64) as f32)
        };
        let (top, bottom, down) = between(at_row, height);
        let (left, right, across) = between(at_column, width);
        let row = |y: usize| {
            let (from, to) = (map[y * width + left], map[y * width + right]);
            from + (to - from) * across
        };
        row(top) + (row(bottom) - row(top)) * down
    }
}

#[cfg(test)]
#[path = "heatmap_tests.rs"]
mod tests;
