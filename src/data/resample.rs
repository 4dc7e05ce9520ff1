//! Scaling of bytes, antialiased as Pillow scales.
//!
//! `fast_image_resize` does it in whole numbers, rows before columns, with the vector instructions that the machine has: so a
//! picture's bytes do not depend on the machine. Each axis rounds to bytes.

use std::cell::RefCell;
use std::ops::Range;

use fast_image_resize::images::{TypedCroppedImage, TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{ImageView, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use super::image_file::Picture;
use crate::ops::CropBox;

/// What pixels near the wanted place weigh: `Bilinear` is Pillow's triangle, `CatmullRom` is sharper, for pictures of 28
/// pixels, where the triangle's blur shows.
pub(super) use fast_image_resize::FilterType as Filter;

thread_local! {
    /// A thread's, so that its memory is kept.
    static RESIZER: RefCell<Resizer> = RefCell::default();
}

/// What of a picture is scaled.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// A box; pixels outside count for nothing.
    Box(CropBox),
    /// The window of this box in the whole scaled to `[rows, columns]`; pixels outside count where they are near.
    Window([usize; 2], CropBox),
}

impl Part {
    /// The rows that count, of a picture of `height`, and the same part of these rows alone.
    pub(super) fn alone(self, height: usize) -> (Range<usize>, Self) {
        match self {
            Self::Box(part) => {
                let rows = part.top..part.top + part.height;
                (rows, Self::Box(CropBox { top: 0, ..part }))
            }
            other => (0..height, other),
        }
    }
}

/// Scales a part of `picture` to `size` `[H,W]`; for a window that is its own size. Fills `out` `[H,W,C]`.
pub(super) fn resample(
    picture: &Picture<'_>,
    part: Part,
    size: [usize; 2],
    filter: Filter,
    out: &mut [u8],
) {
    match picture.shape()[2] {
        1 => of_pixels::<U8>(picture, part, size, filter, out),
        _ => of_pixels::<U8x3>(picture, part, size, filter, out),
    }
}

fn of_pixels<P: PixelTrait>(
    picture: &Picture<'_>,
    part: Part,
    size: [usize; 2],
    filter: Filter,
    out: &mut [u8],
) {
    const FITS: &str = "invariant: as many bytes as the size asks, and parts inside";
    let [height, width, _] = picture.shape();
    let whole = TypedImageRef::<P>::from_buffer(width as u32, height as u32, picture.pixels());
    let whole = whole.expect(FITS);
    let mut out = TypedImage::<P>::from_buffer(size[1] as u32, size[0] as u32, out).expect(FITS);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .use_alpha(false);
    let mut run = |from: &dyn Fn(&mut Resizer, &mut TypedImage<'_, P>)| {
        RESIZER.with_borrow_mut(|resizer| from(resizer, &mut out));
    };
    match part {
        Part::Whole => run(&|resizer, out| scaled(resizer, &whole, out, &options)),
        Part::Box(part) => {
            let [top, left, height, width] =
                [part.top, part.left, part.height, part.width].map(|side| side as u32);
            let part = TypedCroppedImage::from_ref(&whole, left, top, width, height).expect(FITS);
            run(&|resizer, out| scaled(resizer, &part, out, &options));
        }
        Part::Window(scale, part) => {
            let of = |first: usize, len: usize, from: usize, to: usize| {
                let scale = from as f64 / to as f64;
                let first = first as f64 * scale;
                // A rounding must not lead past the edge.
                (first, (len as f64 * scale).min(from as f64 - first))
            };
            let (top, rows) = of(part.top, part.height, height, scale[0]);
            let (left, columns) = of(part.left, part.width, width, scale[1]);
            let options = options.crop(left, top, columns, rows);
            run(&|resizer, out| scaled(resizer, &whole, out, &options));
        }
    }
}

fn scaled<P: PixelTrait>(
    resizer: &mut Resizer,
    from: &impl ImageView<Pixel = P>,
    out: &mut TypedImage<'_, P>,
    options: &ResizeOptions,
) {
    let done = resizer.resize_typed(from, out, options);
    done.expect("invariant: a part lies inside its picture");
}

/// Takes the channels of `pixels` `[h,w,C]` apart, to planes `[C,h,w]`.
pub(super) fn to_planes(pixels: &[u8], channels: usize, out: &mut [u8]) {
    if channels == 1 {
        return out.copy_from_slice(pixels);
    }
    let (first, rest) = out.split_at_mut(pixels.len() / 3);
    let (second, third) = rest.split_at_mut(pixels.len() / 3);
    // Shuffles of wide vectors take a sixth of the time that a baseline's single bytes do.
    pulp::Arch::new().dispatch(|| {
        let planes = first.iter_mut().zip(second).zip(third);
        for (&[r, g, b], ((first, second), third)) in pixels.as_chunks().0.iter().zip(planes) {
            (*first, *second, *third) = (r, g, b);
        }
    });
}

#[cfg(test)]
mod tests;
