//! A contact sheet: what a network will be given, each picture under its class.

use image::{Rgb, RgbImage};

use super::PictureError;
use super::canvas::{BLACK, Canvas, LINE};

/// A picture and what stands over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captioned {
    /// The line above the picture.
    pub caption: String,
    /// `[C,H,W]` bytes, grey or red, green and blue.
    pub pixels: Vec<u8>,
}

/// Pictures that fit in one sheet.
pub const MOST: usize = 400;

const MARGIN: u32 = 20;
const GAP: u32 = 12;
const CAPTION: u32 = LINE + 2;
/// Width that small pictures are enlarged to, by a whole factor so that their pixels stay even.
const WIDTH: u32 = 150;

/// Draws pictures of `shape` `[C,H,W]` in rows of `columns`.
///
/// # Errors
/// [`PictureError::Count`] for none or more than [`MOST`], [`PictureError::Length`] if one has another length.
pub fn sheet(
    shape: [usize; 3],
    pictures: &[Captioned],
    columns: usize,
) -> Result<RgbImage, PictureError> {
    if !(1..=MOST).contains(&pictures.len()) {
        return Err(PictureError::Count {
            got: pictures.len(),
            most: MOST,
        });
    }
    let [c, h, w] = shape;
    for picture in pictures {
        if picture.pixels.len() != c * h * w {
            return Err(PictureError::Length {
                what: "bytes",
                name: picture.caption.clone(),
                got: picture.pixels.len(),
                want: c * h * w,
            });
        }
    }
    let factor = (WIDTH / w as u32).max(1);
    let (width, height) = (w as u32 * factor, h as u32 * factor);
    let columns = columns.clamp(1, pictures.len()) as u32;
    let rows = (pictures.len() as u32).div_ceil(columns);
    let (across, down) = (width + GAP, CAPTION + height + GAP);
    let mut canvas = Canvas::new(
        2 * MARGIN + columns * across - GAP,
        2 * MARGIN + rows * down - GAP,
    );
    for (i, picture) in (0..).zip(pictures) {
        let left = MARGIN + across * (i % columns);
        let top = MARGIN + down * (i / columns);
        canvas.text(&picture.caption, (left, top), width, BLACK);
        canvas.fill((left, top + CAPTION), (width, height), |x, y| {
            let at = (y / factor) as usize * w + (x / factor) as usize;
            let channel = |k: usize| picture.pixels[k.min(c - 1) * h * w + at];
            Rgb([channel(0), channel(1), channel(2)])
        });
    }
    Ok(canvas.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_picture_stands_in_its_place_and_in_its_colours() {
        let picture = |red: u8| Captioned {
            caption: format!("red {red}"),
            pixels: [[red; 6], [0; 6], [9; 6]].concat(),
        };
        let pictures: Vec<_> = (0..5).map(|i| picture(50 * i)).collect();
        let drawn = sheet([3, 2, 3], &pictures, 3).expect("five fit");
        let (width, height) = (50 * 3, 50 * 2);
        for i in 0..5 {
            let left = MARGIN + (i % 3) * (width + GAP);
            let top = MARGIN + (i / 3) * (CAPTION + height + GAP) + CAPTION;
            for (x, y) in [(left, top), (left + width - 1, top + height - 1)] {
                assert_eq!(drawn.get_pixel(x, y).0, [50 * i as u8, 0, 9]);
            }
        }
        assert!(sheet([3, 2, 3], &[], 3).is_err());
        assert!(sheet([1, 2, 3], &pictures, 3).is_err());
    }
}
