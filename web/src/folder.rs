//! A data set of picture files that a page reads from its user's folder, one after the other; it keeps only what they are
//! scaled down to.

use std::path::Path;

use nin_wgpu::data::image_file::{self, Invert};
use nin_wgpu::data::{Dataset, Fit, Split};

use crate::error::{Error, Result};
use crate::protocol::LabelledFile;

/// Part of the pictures that are tested on.
const TESTED: f64 = 0.2;
/// Which of them.
const SEED: u64 = 1;

/// What was read so far.
#[derive(Debug)]
pub(crate) struct Folder {
    name: String,
    classes: Vec<String>,
    image: [usize; 3],
    pixels: Vec<u8>,
    labels: Vec<u16>,
    bad: Vec<String>,
}

impl Folder {
    pub(crate) fn new(name: String, classes: Vec<String>, image: [usize; 3]) -> Self {
        Self {
            name,
            classes,
            image,
            pixels: Vec::new(),
            labels: Vec::new(),
            bad: Vec::new(),
        }
    }

    /// Adds a picture, or the reason why it is left out.
    pub(crate) fn add(&mut self, file: &LabelledFile) {
        let path = Path::new(&file.name);
        match image_file::load_bytes(path, &file.bytes, self.image, Fit::Crop, Invert::No) {
            Ok(pixels) => {
                self.pixels.extend(pixels);
                self.labels.push(file.label);
            }
            Err(error) => self.bad.push(Error::from(error).to_string()),
        }
    }

    /// Pictures read.
    pub(crate) fn read(&self) -> usize {
        self.labels.len()
    }

    /// What could not be read since this was asked last.
    pub(crate) fn take_bad(&mut self) -> Vec<String> {
        std::mem::take(&mut self.bad)
    }

    /// The pictures in two parts, to train on and to test on.
    pub(crate) fn finish(self) -> Result<Split> {
        let data = Dataset::new(
            self.name,
            self.pixels,
            self.labels,
            self.image,
            self.classes,
        )?;
        Ok(data.split(TESTED, SEED)?)
    }
}
