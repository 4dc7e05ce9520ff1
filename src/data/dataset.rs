//! Labelled pictures in memory.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rayon::prelude::*;

use super::source::Memory;
use super::{DataError, Draw, PictureSource, Preparation};

/// The most classes that a set may have.
const MAX_CLASSES: usize = 1 << 16;
/// Bytes of pictures that means and deviations are taken of at most.
const STATISTICS_BYTES: u64 = 256 << 20;

/// The size of a data set: all that a plan needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Number of pictures.
    pub len: usize,
    /// Channels, height and width of a picture.
    pub image: [usize; 3],
    /// Number of classes.
    pub classes: usize,
    /// Whether its [source](super::PictureSource::draws) makes a training step's random changes itself, if it is streamed.
    pub draws: bool,
}

impl Outline {
    /// Bytes of all pictures together.
    pub fn bytes(&self) -> u64 {
        let each: usize = self.image.iter().product();
        self.len as u64 * each as u64
    }
}

/// Labelled pictures of one shape, each with the index of its class, in memory or [brought when
/// wanted](PictureSource).
///
/// There is at least one picture, and each label has a class. A part of a set ([`limit`](Self::limit),
/// [`split`](Self::split)) shares the pictures of the whole.
#[derive(Clone)]
pub struct Dataset {
    name: String,
    source: Arc<dyn PictureSource>,
    /// Which of the source's pictures, in order.
    order: Vec<u32>,
    shape: [usize; 3],
    classes: Vec<String>,
}

impl Dataset {
    /// Makes a data set of `images [M,C,H,W]` and `labels [M]` in memory.
    ///
    /// # Errors
    ///
    /// [`DataError::Form`] if there is no picture or class, a side is zero, there are more than 65,536
    /// classes or the lengths disagree; [`DataError::Label`] if a label has no class.
    pub fn new(
        name: impl Into<String>,
        images: Vec<u8>,
        labels: Vec<u16>,
        image: [usize; 3],
        classes: Vec<String>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        let want = byte_count(&name, labels.len(), image)?;
        if images.len() != want {
            return Err(DataError::Form {
                what: "image bytes",
                got: images.len().to_string(),
                want: format!("{want} for {} labels and shape {image:?}", labels.len()),
                name,
            });
        }
        Self::from_source(name, Memory::new(images, labels, image), classes)
    }

    /// Makes a data set of pictures that are brought when they are wanted.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_source(
        name: impl Into<String>,
        source: impl PictureSource + 'static,
        classes: Vec<String>,
    ) -> Result<Self, DataError> {
        let name = name.into();
        if !(1..=MAX_CLASSES).contains(&classes.len()) {
            return Err(class_count_error(&name, classes.len()));
        }
        let (len, shape) = (source.len(), source.image());
        byte_count(&name, 1, shape)?;
        if len == 0 || u32::try_from(len).is_err() {
            return Err(DataError::Form {
                name,
                what: "pictures",
                got: len.to_string(),
                want: "at least 1 and fewer than 2^32".into(),
            });
        }
        check_labels(&name, (0..len).map(|i| source.label(i)), classes.len())?;
        Ok(Self {
            name,
            source: Arc::new(source),
            order: (0..len as u32).collect(),
            shape,
            classes,
        })
    }

    /// Its size.
    pub fn outline(&self) -> Outline {
        Outline {
            len: self.len(),
            image: self.shape,
            classes: self.classes.len(),
            draws: self.source.draws(),
        }
    }

    /// The name it is loaded by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of pictures.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Always false; here because [`len`](Self::len) is.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Channels of a picture.
    pub fn channels(&self) -> usize {
        self.shape[0]
    }

    /// Height of a picture.
    pub fn height(&self) -> usize {
        self.shape[1]
    }

    /// Width of a picture.
    pub fn width(&self) -> usize {
        self.shape[2]
    }

    /// Bytes of all pictures together, `M * C * H * W`.
    pub fn bytes(&self) -> u64 {
        self.outline().bytes()
    }

    /// The names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The label of picture `i`.
    ///
    /// # Errors
    ///
    /// [`DataError::NoPicture`] if `i` is not below [`len`](Self::len).
    pub fn label(&self, i: usize) -> Result<u16, DataError> {
        Ok(self.source.label(self.at(i)?))
    }

    /// All labels, `[M]`.
    pub fn labels(&self) -> Vec<u16> {
        let order = self.order.iter();
        order.map(|&at| self.source.label(at as usize)).collect()
    }

    /// How many pictures each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        for label in self.labels() {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }

    /// How pictures of any size became these.
    pub fn preparation(&self) -> Preparation {
        self.source.preparation()
    }

    /// What happened while pictures were loaded, since this was asked last, to be told to people.
    pub fn take_notices(&self) -> Vec<String> {
        self.source.take_notices()
    }

    /// The file that picture `i` is, if it is one.
    pub fn path(&self, i: usize) -> Option<PathBuf> {
        self.source.path(*self.order.get(i)? as usize)
    }

    /// Where picture `i` lies in its source.
    fn at(&self, i: usize) -> Result<usize, DataError> {
        let at = self.order.get(i).map(|&at| at as usize);
        at.ok_or_else(|| DataError::NoPicture {
            name: self.name.clone(),
            got: i,
            len: self.len(),
        })
    }

    /// The pictures in `range`.
    pub(super) fn part(&self, range: std::ops::Range<usize>) -> Self {
        Self {
            order: self.order[range].to_vec(),
            ..self.clone()
        }
    }

    /// What picture `i` is called in messages: its file, if it has one.
    pub fn describe(&self, i: usize) -> String {
        match self.order.get(i) {
            Some(&at) => self.source.describe(at as usize),
            None => format!("{} {i}", self.name),
        }
    }

    /// Brings picture `i`, `[C,H,W]`; with a [`Draw`] as that has it, if the source [draws](PictureSource::draws).
    ///
    /// # Errors
    ///
    /// Those of its source, [`DataError::PictureBytes`] if `pixels` has another length, and [`DataError::NoPicture`] if `i` is not
    /// below [`len`](Self::len).
    pub fn load(&self, i: usize, draw: Option<Draw>, pixels: &mut [u8]) -> Result<(), DataError> {
        if pixels.len() != self.image_len() {
            return Err(DataError::PictureBytes {
                got: pixels.len(),
                want: self.shape,
            });
        }
        let at = self.at(i)?;
        match draw {
            Some(draw) => self.source.load_drawn(at, draw, pixels),
            None => self.source.load(at, pixels),
        }
    }

    /// Picture `i`, `[C,H,W]`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn image(&self, i: usize) -> Result<Vec<u8>, DataError> {
        let mut pixels = vec![0; self.image_len()];
        self.load(i, None, &mut pixels)?;
        Ok(pixels)
    }

    /// All pictures, `[M,C,H,W]`.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub fn images(&self) -> Result<Vec<u8>, DataError> {
        let mut images = vec![0; self.len() * self.image_len()];
        let each = images.par_chunks_exact_mut(self.image_len());
        each.enumerate()
            .try_for_each(|(i, pixels)| self.load(i, None, pixels))?;
        Ok(images)
    }

    /// The first `n` pictures, but at least one; all if there are fewer.
    #[must_use]
    pub fn limit(mut self, n: usize) -> Self {
        self.order.truncate(n.max(1));
        self
    }

    /// Those at `indices`, in that order.
    pub(super) fn select(&self, indices: &[usize]) -> Self {
        Self {
            order: indices.iter().map(|&i| self.order[i]).collect(),
            ..self.clone()
        }
    }

    /// Mean and standard deviation of the values divided by 255, per channel: of all pictures, or if they have more than
    /// 256 MiB together of some that lie evenly among them. Those that cannot be loaded are left out.
    pub fn mean_std(&self) -> Vec<(f32, f32)> {
        // Values are bytes: exact counts of each are quicker than sums of floats, and do not round.
        type Counts = Vec<[u64; 256]>;
        let zero = || -> Counts { vec![[0; 256]; self.channels()] };
        let plane = self.height() * self.width();
        let step = self.bytes().div_ceil(STATISTICS_BYTES) as usize;
        let looked_at = (0..self.len().div_ceil(step)).into_par_iter();
        let counted = looked_at.fold(
            || (zero(), vec![0; self.image_len()]),
            |(mut counts, mut pixels), i| {
                if self.load(i * step, None, &mut pixels).is_ok() {
                    for (counts, values) in counts.iter_mut().zip(pixels.chunks_exact(plane)) {
                        for &value in values {
                            counts[usize::from(value)] += 1;
                        }
                    }
                }
                (counts, pixels)
            },
        );
        let counts = counted
            .map(|(counts, _)| counts)
            .reduce(zero, |mut sum, more| {
                for (sum, more) in sum.iter_mut().flatten().zip(more.iter().flatten()) {
                    *sum += more;
                }
                sum
            });
        let moments = |counts: &[u64; 256]| {
            let total: u64 = counts.iter().sum();
            let average = |f: &dyn Fn(f64) -> f64| {
                let terms = counts.iter().enumerate();
                let sum: f64 = terms.map(|(v, &n)| n as f64 * f(v as f64 / 255.0)).sum();
                sum / total.max(1) as f64
            };
            let mean = average(&|value| value);
            let variance = average(&|value| (value - mean).powi(2));
            (mean as f32, variance.sqrt() as f32)
        };
        counts.iter().map(moments).collect()
    }

    fn image_len(&self) -> usize {
        self.shape.iter().product()
    }
}

impl fmt::Debug for Dataset {
    /// Without the pictures, which may be millions of numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("name", &self.name)
            .field("len", &self.len())
            .field("shape", &self.shape)
            .field("classes", &self.classes.len())
            .finish()
    }
}

/// The length of `count` pictures of `shape`, if that is a data set.
pub(super) fn byte_count(name: &str, count: usize, shape: [usize; 3]) -> Result<usize, DataError> {
    let form = |what, got: String, want: &str| DataError::Form {
        name: name.into(),
        what,
        got,
        want: want.into(),
    };
    if count == 0 {
        return Err(form("pictures", "0".into(), "at least 1"));
    }
    if shape.contains(&0) {
        return Err(form("shape", format!("{shape:?}"), "no side of 0"));
    }
    shape
        .iter()
        .try_fold(count, |product, &side| product.checked_mul(side))
        .filter(|&len| isize::try_from(len).is_ok())
        .ok_or_else(|| form("shape", format!("{shape:?}"), "fewer bytes in all"))
}

pub(super) fn class_count_error(name: &str, got: usize) -> DataError {
    DataError::Form {
        name: name.into(),
        what: "classes",
        got: got.to_string(),
        want: "1 to 65,536".into(),
    }
}

/// Checks that each label is below `classes`.
pub(crate) fn check_labels(
    name: &str,
    labels: impl IntoIterator<Item = u16>,
    classes: usize,
) -> Result<(), DataError> {
    let mut labels = labels.into_iter().enumerate();
    match labels.find(|&(_, label)| usize::from(label) >= classes) {
        None => Ok(()),
        Some((index, got)) => Err(DataError::Label {
            name: name.into(),
            index,
            got,
            classes,
        }),
    }
}
