//! Labelled pictures in memory.

use std::fmt;

use super::DataError;
use crate::rng::pcg4d;

/// The size of a data set: all that a plan needs to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outline {
    /// Number of pictures.
    pub len: usize,
    /// Channels, height and width of a picture.
    pub image: [usize; 3],
    /// Number of classes.
    pub classes: usize,
}

/// A data set in its usual parts.
#[derive(Clone, Debug)]
pub struct Split {
    /// What to train on.
    pub train: Dataset,
    /// What to choose the best epoch by, if it is not to be chosen by the test set.
    pub val: Option<Dataset>,
    /// What to test on, never trained on.
    pub test: Dataset,
}

impl Split {
    /// Without a validation set.
    pub fn new(train: Dataset, test: Dataset) -> Self {
        Self {
            train,
            val: None,
            test,
        }
    }

    /// Moves `count` pictures, chosen by `seed`, from the training set to a validation set. At least one stays, so of a
    /// single one there is no validation set.
    #[must_use]
    pub fn hold_out(self, count: usize, seed: u64) -> Self {
        if count == 0 || self.train.len() < 2 {
            return self;
        }
        let (train, val) = self.train.split_off(count, seed);
        Self {
            train,
            val: Some(val),
            ..self
        }
    }
}

/// Pictures of one shape, each with the index of its class.
///
/// There is at least one picture, as many labels as pictures, and each label has a class.
#[derive(Clone, PartialEq, Eq)]
pub struct Dataset {
    name: String,
    images: Vec<u8>,
    labels: Vec<u8>,
    shape: [usize; 3],
    classes: Vec<String>,
}

impl Dataset {
    /// Makes a data set of `images [M,C,H,W]` and `labels [M]`.
    ///
    /// # Errors
    ///
    /// [`DataError::Form`] if there is no picture or class, a side is zero, there are more than 256
    /// classes or the lengths disagree; [`DataError::Label`] if a label has no class.
    pub fn new(
        name: impl Into<String>,
        images: Vec<u8>,
        labels: Vec<u8>,
        [c, h, w]: [usize; 3],
        classes: Vec<String>,
    ) -> Result<Self, DataError> {
        let (name, shape) = (name.into(), [c, h, w]);
        if !(1..=256).contains(&classes.len()) {
            return Err(class_count_error(&name, classes.len()));
        }
        let want = byte_count(&name, labels.len(), shape)?;
        if images.len() != want {
            return Err(DataError::Form {
                what: "image bytes",
                got: images.len().to_string(),
                want: format!("{want} for {} labels and shape {shape:?}", labels.len()),
                name,
            });
        }
        check_labels(&name, &labels, classes.len())?;
        Ok(Self {
            name,
            images,
            labels,
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
        }
    }

    /// The name it is loaded by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The number of pictures.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Always false; here because [`len`](Self::len) is.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
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

    /// The names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// All pictures, `[M,C,H,W]`.
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// All labels, `[M]`.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// Picture `i`, `[C,H,W]`.
    ///
    /// # Panics
    ///
    /// If `i` is not below [`len`](Self::len), as indexing does.
    pub fn image(&self, i: usize) -> &[u8] {
        let len = self.image_len();
        &self.images[i * len..][..len]
    }

    /// The first `n` pictures, but at least one; all if there are fewer.
    #[must_use]
    pub fn limit(mut self, n: usize) -> Self {
        let n = n.max(1).min(self.len());
        self.images.truncate(n * self.image_len());
        self.labels.truncate(n);
        self
    }

    /// Splits off a share of the pictures, chosen by `seed`, to test on. At least one is on each side.
    ///
    /// # Errors
    ///
    /// [`DataError::Form`] if there is only one picture.
    pub fn split(self, share: f64, seed: u64) -> Result<Split, DataError> {
        if self.len() < 2 {
            return Err(DataError::Form {
                name: self.name,
                what: "pictures",
                got: "1".into(),
                want: "at least 2, to train on and to test on".into(),
            });
        }
        let count = (self.len() as f64 * share).round() as usize;
        let (train, test) = self.split_off(count, seed);
        Ok(Split::new(train, test))
    }

    /// All but `count` of at least two pictures, and `count` pictures chosen by `seed`; both parts keep the order.
    fn split_off(self, count: usize, seed: u64) -> (Self, Self) {
        let count = count.clamp(1, self.len() - 1);
        // A few keys may be equal: the index decides between them.
        let key = |&i: &usize| {
            (
                pcg4d([i as u32, u32::MAX, seed as u32, (seed >> 32) as u32]),
                i,
            )
        };
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by_cached_key(key);
        let (off, rest) = order.split_at_mut(count);
        off.sort_unstable();
        rest.sort_unstable();
        (self.select(rest), self.select(off))
    }

    fn select(&self, indices: &[usize]) -> Self {
        Self {
            name: self.name.clone(),
            images: indices
                .iter()
                .flat_map(|&i| self.image(i))
                .copied()
                .collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
            shape: self.shape,
            classes: self.classes.clone(),
        }
    }

    /// Mean and standard deviation of the values divided by 255, per channel.
    pub fn mean_std(&self) -> Vec<(f32, f32)> {
        // Values are bytes: exact counts of each are quicker than sums of floats, and do not round.
        let mut counts = vec![[0_u64; 256]; self.channels()];
        let plane = self.height() * self.width();
        for (i, values) in self.images.chunks_exact(plane).enumerate() {
            let counts = &mut counts[i % self.shape[0]];
            for &value in values {
                counts[usize::from(value)] += 1;
            }
        }
        let total = (self.len() * plane) as f64;
        counts
            .iter()
            .map(|counts| {
                let average = |f: &dyn Fn(f64) -> f64| {
                    let terms = counts.iter().enumerate();
                    let sum: f64 = terms.map(|(v, &n)| n as f64 * f(v as f64 / 255.0)).sum();
                    sum / total
                };
                let mean = average(&|value| value);
                let variance = average(&|value| (value - mean).powi(2));
                (mean as f32, variance.sqrt() as f32)
            })
            .collect()
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
        want: "1 to 256".into(),
    }
}

/// Checks that each label is below `classes`.
pub(super) fn check_labels(name: &str, labels: &[u8], classes: usize) -> Result<(), DataError> {
    match labels
        .iter()
        .position(|&label| usize::from(label) >= classes)
    {
        None => Ok(()),
        Some(index) => Err(DataError::Label {
            name: name.into(),
            index,
            got: labels[index],
            classes,
        }),
    }
}
