//! A picture to write and draw on, with a font of its own: none of the system's is needed.

use image::{Rgb, RgbImage};
use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::colour::mix;

pub(super) const WHITE: Rgb<u8> = Rgb([255; 3]);
pub(super) const BLACK: Rgb<u8> = Rgb([0x22; 3]);
pub(super) const GREY: Rgb<u8> = Rgb([0x66; 3]);
/// The class that was predicted.
pub(super) const ACCENT: Rgb<u8> = Rgb([0x00, 0x72, 0xb2]);

const FONT: RasterHeight = RasterHeight::Size20;
/// Height of a line of text, in pixels.
pub(super) const LINE: u32 = 20;

/// Width of `count` letters, in pixels; all are of one width.
fn width_of(count: usize) -> u32 {
    (count * get_raster_width(FontWeight::Regular, FONT)) as u32
}

/// `text`, or as much of it as fits in `width` pixels and an ellipsis.
fn fitted(text: &str, width: u32) -> String {
    let most = (width / width_of(1)) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let dots = most.min(2);
    let kept: String = text.chars().take(most - dots).collect();
    kept + &".".repeat(dots)
}

/// A white picture. What is drawn beyond its edge is lost.
pub(super) struct Canvas(RgbImage);

impl Canvas {
    pub(super) fn new(width: u32, height: u32) -> Self {
        Self(RgbImage::from_pixel(width, height, WHITE))
    }

    pub(super) fn finish(self) -> RgbImage {
        self.0
    }

    fn put(&mut self, x: u32, y: u32, colour: Rgb<u8>) {
        if let Some(pixel) = self.0.get_pixel_mut_checked(x, y) {
            *pixel = colour;
        }
    }

    /// Fills `width x height` pixels from (`left`, `top`) with what `colour` says of each, counted from there.
    pub(super) fn fill(
        &mut self,
        (left, top): (u32, u32),
        (width, height): (u32, u32),
        colour: impl Fn(u32, u32) -> Rgb<u8>,
    ) {
        for y in 0..height {
            for x in 0..width {
                self.put(left + x, top + y, colour(x, y));
            }
        }
    }

    /// A frame of `thickness` around `width x height` pixels from (`left`, `top`).
    pub(super) fn frame(
        &mut self,
        (left, top): (u32, u32),
        (width, height): (u32, u32),
        thickness: u32,
        colour: Rgb<u8>,
    ) {
        let (left, top) = (
            left.saturating_sub(thickness),
            top.saturating_sub(thickness),
        );
        let (width, height) = (width + 2 * thickness, height + 2 * thickness);
        let sides = [
            (left, top, width, thickness),
            (left, top + height - thickness, width, thickness),
            (left, top, thickness, height),
            (left + width - thickness, top, thickness, height),
        ];
        for (left, top, width, height) in sides {
            self.fill((left, top), (width, height), |_, _| colour);
        }
    }

    /// Writes a line from (`left`, `top`), cut off to `width` pixels; returns the pixels that it took.
    pub(super) fn text(
        &mut self,
        text: &str,
        (left, top): (u32, u32),
        width: u32,
        colour: Rgb<u8>,
    ) -> u32 {
        let text = fitted(text, width);
        for (i, letter) in text.chars().enumerate() {
            let glyph = get_raster(letter, FontWeight::Regular, FONT)
                .or_else(|| get_raster('?', FontWeight::Regular, FONT));
            let rows = glyph.iter().flat_map(|glyph| glyph.rows());
            for (y, row) in rows.enumerate() {
                for (x, &ink) in row.iter().enumerate() {
                    let (x, y) = (left + width_of(i) + x as u32, top + y as u32);
                    if ink > 0 {
                        self.put(x, y, mix(WHITE, colour, f32::from(ink) / 255.0));
                    }
                }
            }
        }
        width_of(text.chars().count())
    }

    /// Writes `text` at the left and `value` at the right of `width` pixels. Where both do not fit, `text` is cut off.
    pub(super) fn caption(
        &mut self,
        text: &str,
        value: &str,
        (left, top): (u32, u32),
        width: u32,
        colour: Rgb<u8>,
    ) {
        let of_value = width_of(value.chars().count()).min(width);
        self.text(value, (left + width - of_value, top), of_value, colour);
        let rest = width.saturating_sub(of_value + width_of(1));
        self.text(text, (left, top), rest, colour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ink(picture: &RgbImage, columns: std::ops::Range<u32>) -> usize {
        let rows = 0..picture.height();
        let pixels = rows.flat_map(|y| columns.clone().map(move |x| (x, y)));
        pixels
            .filter(|&(x, y)| *picture.get_pixel(x, y) != WHITE)
            .count()
    }

    #[test]
    fn text_stays_in_its_width_and_unknown_letters_are_shown() {
        assert_eq!(fitted("Trouser", width_of(7)), "Trouser");
        assert_eq!(fitted("Trouser", width_of(6)), "Trou..");
        assert_eq!(fitted("Trouser", width_of(1)), ".");
        assert_eq!(fitted("Trouser", 0), "");
        let mut canvas = Canvas::new(200, LINE);
        let took = canvas.text("漢é, a long text that is cut off", (10, 0), 100, BLACK);
        assert!(took <= 100);
        let picture = canvas.finish();
        assert!(ink(&picture, 10..10 + width_of(1)) > 0);
        assert_eq!(ink(&picture, 0..10) + ink(&picture, 110..200), 0);
    }

    #[test]
    fn drawing_beyond_the_edge_is_harmless() {
        let mut canvas = Canvas::new(8, 8);
        canvas.fill((4, 4), (100, 100), |_, _| BLACK);
        canvas.frame((0, 0), (8, 8), 2, GREY);
        canvas.caption("text", "value", (6, 6), 3, BLACK);
        assert_eq!(canvas.finish().dimensions(), (8, 8));
    }
}
