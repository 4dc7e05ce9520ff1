//! Where the pictures of a data set come from: memory, files, or a source of one's own.

use std::path::PathBuf;

use super::{DataError, Draw, Preparation};

/// Pictures of one shape, each brought when it is wanted and on any thread.
///
/// A set that never exists as a whole, trained on:
///
/// ```
/// use nin_wgpu::data::{DataError, Dataset, PictureSource, Split};
/// use nin_wgpu::device::{Device, DeviceChoice};
/// use nin_wgpu::models::Model;
/// use nin_wgpu::ops::Conv2d;
/// use nin_wgpu::train::{Home, TrainOptions, fit};
///
/// /// Bars that stand (class 0) or lie (class 1).
/// struct Bars(usize);
///
/// impl PictureSource for Bars {
///     fn len(&self) -> usize {
///         self.0
///     }
///     fn image(&self) -> [usize; 3] {
///         [1, 8, 8]
///     }
///     fn label(&self, i: usize) -> u16 {
///         (i % 2) as u16
///     }
///     fn load(&self, i: usize, pixels: &mut [u8]) -> Result<(), DataError> {
///         let at = i / 2 % 8;
///         for (p, pixel) in pixels.iter_mut().enumerate() {
///             let along = if i % 2 == 0 { p % 8 } else { p / 8 };
///             *pixel = if along == at { 255 } else { 0 };
///         }
///         Ok(())
///     }
/// }
///
/// let classes = || ["stands", "lies"].map(String::from).to_vec();
/// let train = Dataset::from_source("bars", Bars(2_000), classes())?;
/// let test = Dataset::from_source("bars", Bars(16), classes())?;
///
/// let tiny = Model::new("tiny", |net, x, classes| {
///     let x = net.conv2d("conv1", x, 16, Conv2d::new(3, 1, 1)?)?;
///     let x = net.relu(x)?;
///     let x = net.conv2d("conv2", x, classes, Conv2d::new(1, 1, 0)?)?;
///     net.global_avg_pool(x)
/// });
/// let options = TrainOptions {
///     epochs: 1,
///     learning_rate: 0.03,
///     home: Home::Stream, // a few batches at a time are in memory
///     ..TrainOptions::default()
/// };
/// let fitted = fit(&Device::open(DeviceChoice::Cpu)?, &tiny, &Split::new(train, test), &options)?;
/// assert!(fitted.summary.best_accuracy > 0.9);
/// # Ok::<(), nin_wgpu::Error>(())
/// ```
pub trait PictureSource: Send + Sync {
    /// The number of pictures.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Channels, height and width of each picture.
    fn image(&self) -> [usize; 3];

    /// The index of the class of picture `i`.
    fn label(&self, i: usize) -> u16;

    /// Writes picture `i`, `[C,H,W]` bytes: the same ones each time.
    ///
    /// # Errors
    ///
    /// A [`DataError`] that names the picture, if it cannot be had.
    fn load(&self, i: usize, pixels: &mut [u8]) -> Result<(), DataError>;

    /// Whether a training step's random changes are made here, by [`load_drawn`](Self::load_drawn), where more of a picture
    /// is known than `image` holds. Else the device makes them; and also if the set is resident there, to what
    /// [`load`](Self::load) writes.
    fn draws(&self) -> bool {
        false
    }

    /// Writes picture `i` changed at random, as `draw` has it and nothing else.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    fn load_drawn(&self, i: usize, draw: Draw, pixels: &mut [u8]) -> Result<(), DataError> {
        let _ = draw;
        self.load(i, pixels)
    }

    /// The file that picture `i` is, if it is one.
    fn path(&self, i: usize) -> Option<PathBuf> {
        let _ = i;
        None
    }

    /// How pictures of any size became these.
    fn preparation(&self) -> Preparation {
        Preparation::default()
    }

    /// What happened while pictures were loaded, since this was asked last, to be told to people.
    fn take_notices(&self) -> Vec<String> {
        Vec::new()
    }

    /// What picture `i` is called in messages.
    fn describe(&self, i: usize) -> String {
        format!("picture {i}")
    }
}

/// Pictures in memory, `[M,C,H,W]`, and their labels.
pub(super) struct Memory {
    images: Vec<u8>,
    labels: Vec<u16>,
    image: [usize; 3],
}

impl Memory {
    /// The lengths must agree.
    pub(super) fn new(images: Vec<u8>, labels: Vec<u16>, image: [usize; 3]) -> Self {
        Self {
            images,
            labels,
            image,
        }
    }
}

impl PictureSource for Memory {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn image(&self) -> [usize; 3] {
        self.image
    }

    fn label(&self, i: usize) -> u16 {
        self.labels[i]
    }

    fn load(&self, i: usize, pixels: &mut [u8]) -> Result<(), DataError> {
        let len = self.image.iter().product::<usize>();
        pixels.copy_from_slice(&self.images[i * len..][..len]);
        Ok(())
    }
}
