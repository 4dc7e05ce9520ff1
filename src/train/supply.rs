//! Where a run takes its batches from: a data set that lies whole on the device, or one that is streamed to it.

use serde::{Deserialize, Serialize};
use web_time::{Duration, Instant};

use super::TrainOptions;
use crate::data::{Bad, DataError, Dataset, Draw, Feed, Order, Outline};
use crate::error::Result;
use crate::models::Model;
use crate::ops::{Augment, IGNORE};
use crate::program::{Run, Source};

/// Where the pictures of a data set lie while they are trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Home {
    /// On the device if they have at most [`Home::ROOM`] bytes together and need not be loaded anew for each epoch.
    #[default]
    Auto,
    /// All of them on the device.
    Resident,
    /// On the host, or nowhere: threads load the next batches while the device is at work.
    Stream,
}

impl Home {
    /// Bytes of pictures that are put on the device without being told to: 1 GiB.
    pub const ROOM: u64 = 1 << 30;

    /// Where a set lies, to be trained on if `random` changes are wanted: [`Home::Resident`] or [`Home::Stream`].
    #[must_use]
    pub fn of(self, data: &Outline, random: bool) -> Self {
        match self {
            Self::Auto if data.bytes() > Self::ROOM || (random && data.draws) => Self::Stream,
            Self::Auto => Self::Resident,
            told => told,
        }
    }
}

/// What becomes of pictures that cannot be loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnBad {
    /// The first ends the training.
    #[default]
    Stop,
    /// They count for nothing, and are told of.
    Skip,
}

/// Rows that are uploaded at once, in bytes at most.
const CHUNK: usize = 16 << 20;

/// Takes batches out of a data set for runs of one program.
#[derive(Clone, Debug)]
pub(super) struct Supply {
    data: Dataset,
    home: Home,
    /// Whether a training step's random changes are made while pictures are loaded.
    draws: bool,
    batch: usize,
    options: TrainOptions,
}

/// How the images of a step come to be random: seed, and the step of the first batch.
pub(super) type Random = Option<(u32, u32)>;

impl Supply {
    /// For steps of `batch` images; `random` if they are trained on.
    pub(super) fn new(data: &Dataset, options: &TrainOptions, batch: usize, random: bool) -> Self {
        let random = random && options.augment != Augment::NONE;
        let home = options.home.of(&data.outline(), random);
        Self {
            data: data.clone(),
            home,
            draws: random && draws(&data.outline(), options),
            batch,
            options: options.clone(),
        }
    }

    /// Puts the set on the device if it is to lie there; says what could not be loaded.
    pub(super) fn place(&self, run: &mut Run) -> Result<Vec<Bad>> {
        let mut bad = Vec::new();
        if self.is_streamed() {
            return Ok(bad);
        }
        let [c, h, w] = self.data.outline().image;
        let len = c * h * w;
        // In fours: see `Runtime::write_rows`.
        let rows = (CHUNK / len).max(1).next_multiple_of(4);
        let all: Vec<u32> = (0..self.data.len() as u32).collect();
        let order = Order {
            data: self.data.clone(),
            batch: rows,
            random: None,
            pictures: all,
        };
        let mut labels = Vec::with_capacity(self.data.len());
        let mut feed = Feed::start(order, self.options.threads(), 1);
        while let Some(mut batch) = feed.next() {
            self.check(&mut batch.bad)?;
            let count = rows.min(self.data.len() - labels.len());
            run.set_pictures(labels.len(), &batch.pixels[..count * len])?;
            labels.extend_from_slice(&batch.labels[..count]);
            bad.append(&mut batch.bad);
            feed.give_back(batch);
        }
        run.set_labels(&labels)?;
        Ok(bad)
    }

    /// Whether pictures come while the device is at work.
    pub(super) fn is_streamed(&self) -> bool {
        self.home == Home::Stream
    }

    /// The batches of `order`, one behind the other.
    pub(super) fn batches(&self, order: Vec<u32>, random: Random) -> Batches<'_> {
        let from = match self.home {
            Home::Stream => From::Host(Feed::start(
                Order {
                    data: self.data.clone(),
                    pictures: order,
                    batch: self.batch,
                    random: random.filter(|_| self.draws).map(|(seed, step)| Draw {
                        n: 0,
                        step,
                        seed,
                        crop: self.options.augment_of(&self.data.outline()).resized,
                        flip: self.options.augment.flip,
                    }),
                },
                self.options.threads(),
                self.options.prefetch,
            )),
            _ => From::Device(order, 0),
        };
        Batches {
            supply: self,
            from,
            own: (0..self.batch as u32).collect(),
            waited: Duration::ZERO,
        }
    }

    fn check(&self, bad: &mut Vec<Bad>) -> Result<(), DataError> {
        match self.options.on_bad {
            OnBad::Stop if !bad.is_empty() => Err(bad.swap_remove(0).error),
            _ => Ok(()),
        }
    }
}

enum From {
    /// Indices and how many are done.
    Device(Vec<u32>, usize),
    Host(Feed),
}

/// One batch after the other.
pub(super) struct Batches<'a> {
    supply: &'a Supply,
    from: From,
    /// The indices of a batch that was streamed: all of it.
    own: Vec<u32>,
    waited: Duration,
}

/// A batch that is ready for its run.
pub(super) struct Ready {
    /// The indices to run.
    pub(super) indices: Vec<u32>,
    /// Pictures that could not be loaded.
    pub(super) bad: Vec<Bad>,
}

impl Batches<'_> {
    /// Readies the next batch in `run`; `None` behind the last. A last batch that is not full is filled up with what counts
    /// for nothing.
    pub(super) fn next(&mut self, run: &mut Run) -> Result<Option<Ready>> {
        match &mut self.from {
            From::Device(order, done) => {
                let rest = &order[*done..];
                if rest.is_empty() {
                    return Ok(None);
                }
                let count = self.supply.batch.min(rest.len());
                *done += count;
                let mut indices = rest[..count].to_vec();
                indices.resize(self.supply.batch, IGNORE);
                Ok(Some(Ready {
                    indices,
                    bad: Vec::new(),
                }))
            }
            From::Host(feed) => {
                let start = Instant::now();
                let batch = feed.next();
                self.waited += start.elapsed();
                let Some(mut batch) = batch else {
                    return Ok(None);
                };
                self.supply.check(&mut batch.bad)?;
                run.set_pictures(0, &batch.pixels)?;
                run.set_labels(&batch.labels)?;
                let bad = std::mem::take(&mut batch.bad);
                feed.give_back(batch);
                Ok(Some(Ready {
                    indices: self.own.clone(),
                    bad,
                }))
            }
        }
    }

    /// Time spent waiting for pictures.
    pub(super) fn waited(&self) -> Duration {
        self.waited
    }

    /// Batches that may be under way on the device; more would take memory without bound.
    pub(super) fn in_flight(&self) -> Option<u64> {
        match self.from {
            From::Device(..) => None,
            From::Host(_) => Some(self.supply.options.prefetch.max(1) as u64),
        }
    }
}

/// Whether random changes are made while pictures are loaded, and not on the device.
fn draws(data: &Outline, options: &TrainOptions) -> bool {
    data.draws && options.home.of(data, true) == Home::Stream
}

/// Where a program for `batch` images takes them from, and the size that it brings them to.
pub(super) fn source(
    model: &Model,
    data: &Outline,
    options: &TrainOptions,
    batch: usize,
    random: bool,
) -> (Source, [usize; 2]) {
    let [_, height, width] = data.image;
    let random = random && options.augment != Augment::NONE;
    let len = match options.home.of(data, random) {
        Home::Stream => batch,
        _ => data.len,
    };
    let mut source = Source::new(len, data.image).with_normalize(options.normalize);
    if random && !draws(data, options) {
        source = source.with_augment(options.augment_of(data));
    }
    let size = options.image_size;
    (source, size.unwrap_or(model.input_size(height, width)))
}
