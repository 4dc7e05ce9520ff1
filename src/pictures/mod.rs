//! Pictures of a training and of what a network sees: data in, an image or an SVG text out.
//!
//! - [`curve`]: loss and accuracy over the steps of a run.
//! - [`heatmap`]: where in a picture a network sees its classes.
//! - [`rates`]: loss over learning rate.
//! - [`sheet`](mod@sheet): what a network will be given.

mod canvas;
mod colour;
pub mod curve;
pub mod heatmap;
pub mod rates;
pub mod sheet;

use std::io::Cursor;
use std::path::Path;

use image::{ImageFormat, RgbImage};

use crate::output::{WriteError, write_whole};

/// Errors of drawing and writing pictures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// A part of the data has the wrong number of elements.
    #[error("{what} of `{name}`: got {got}, expected {want}")]
    Length {
        /// What was counted.
        what: &'static str,
        /// The picture it belongs to.
        name: String,
        /// How many there are.
        got: usize,
        /// How many there should be.
        want: usize,
    },
    /// There is nothing to draw, or more than fits in a picture.
    #[error("{got} pictures do not fit in one; draw 1 to {most}")]
    Count {
        /// How many were given.
        got: usize,
        /// How many fit.
        most: usize,
    },
    /// The curve cannot be drawn.
    #[error("cannot draw the curve: {0}")]
    Curve(String),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes a picture as a PNG file; `path` then holds either its old contents or the whole picture.
///
/// # Errors
/// [`PictureError::Write`].
pub fn save_png(path: &Path, picture: &RgbImage) -> Result<(), PictureError> {
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, ImageFormat::Png)
        .map_err(|e| WriteError::of(path)(std::io::Error::other(e)))?;
    Ok(write_whole(path, bytes.get_ref())?)
}
