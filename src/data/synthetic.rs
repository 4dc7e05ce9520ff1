//! Labelled pictures made from a seed, for tests and for trying the program without any files.
//!
//! A class is a grating with its own direction and spacing. Phase, contrast and noise differ from
//! picture to picture, so a network has something to generalise over, yet learns it in few steps.

use std::f32::consts::{PI, TAU};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{DataError, Dataset, Split};

pub(super) const NAME: &str = "synthetic";

/// Periods of a grating across the longer side of the picture; neighbouring classes take turns.
const PERIODS: [f32; 3] = [1.5, 2.5, 3.5];
/// Largest shift of a grating, in radians: below a quarter period, so the classes stay apart.
const PHASE: f32 = 1.0;
/// Amplitude of a grating, lowest and highest, in grey levels.
const CONTRAST: [f32; 2] = [60.0, 100.0];
/// Largest noise added to or taken from a value, in grey levels.
const NOISE: f32 = 25.0;

/// What to make. The default has the shape and classes of Fashion-MNIST at a tenth of its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synthetic {
    /// Channels, height and width of a picture.
    pub shape: [usize; 3],
    /// Number of classes, at most 65,536.
    pub classes: usize,
    /// Pictures to train on.
    pub train: usize,
    /// Pictures to test on, different from those to train on.
    pub test: usize,
    /// The same seed makes the same pictures.
    pub seed: u64,
}

impl Default for Synthetic {
    fn default() -> Self {
        Self {
            shape: [1, 28, 28],
            classes: 10,
            train: 6_000,
            test: 1_000,
            seed: 0,
        }
    }
}

impl Synthetic {
    /// Makes the pictures. Labels go round the classes, so any leading part is balanced.
    ///
    /// # Errors
    ///
    /// [`DataError::Form`] if a count or side is zero or there are more than 65,536 classes.
    pub fn generate(&self) -> Result<Split, DataError> {
        let train = self.part(self.train, self.seed)?;
        // Any constant does that makes the two parts differ.
        let test = self.part(self.test, self.seed ^ 0x9e37_79b9_7f4a_7c15)?;
        Ok(Split::new(train, test))
    }

    fn part(&self, count: usize, seed: u64) -> Result<Dataset, DataError> {
        let [c, h, w] = self.shape;
        if !(1..=1 << 16).contains(&self.classes) {
            return Err(super::class_count_error(NAME, self.classes));
        }
        let len = super::byte_count(NAME, count, self.shape)?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut images = Vec::with_capacity(len);
        let mut labels = Vec::with_capacity(count);
        for label in (0..self.classes).cycle().take(count) {
            labels.push(label as u16);
            let (sin, cos) = (PI * label as f32 / self.classes as f32).sin_cos();
            let turn = TAU * PERIODS[label % PERIODS.len()] / h.max(w) as f32;
            let phase = rng.random_range(-PHASE..=PHASE);
            let contrast = rng.random_range(CONTRAST[0]..=CONTRAST[1]);
            for channel in 0..c {
                // Channels are shifted against each other: a third of a period for three.
                let shift = phase + TAU * channel as f32 / c as f32;
                for y in 0..h {
                    for x in 0..w {
                        let along = x as f32 * cos + y as f32 * sin;
                        let wave = contrast * (turn * along + shift).sin();
                        let noise = rng.random_range(-NOISE..=NOISE);
                        images.push((127.5 + wave + noise).clamp(0.0, 255.0) as u8);
                    }
                }
            }
        }
        let classes = (0..self.classes).map(|k| format!("grating {k}")).collect();
        Dataset::new(NAME, images, labels, self.shape, classes)
    }
}
