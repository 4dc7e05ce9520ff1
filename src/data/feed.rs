//! Batches of a set that does not lie on the device: loaded by threads while the device is busy with the one before, or where
//! there are no threads, when they are wanted.
//!
//! As many batches are in memory as the feed has buffers; whoever has taken one gives it back. Which thread loads which batch
//! is left to chance, and what is in a batch is not: it follows from the order and the draws alone.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::{DataError, Dataset, Draw};
use crate::ops::IGNORE;

/// A picture that could not be loaded.
#[derive(Debug)]
pub struct Bad {
    /// What it is called: its file, if it has one.
    pub name: String,
    /// Why.
    pub error: DataError,
}

/// Pictures `[N,C,H,W]` and their labels `[N]`.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) pixels: Vec<u8>,
    /// [`IGNORE`] where there is no picture.
    pub(crate) labels: Vec<u32>,
    /// Pictures that could not be loaded. In their places are others of the batch, if any is good, which count for nothing there:
    /// a blank one would move the statistics of batch normalisation by what is in no picture.
    pub(crate) bad: Vec<Bad>,
}

/// What a feed brings.
pub(crate) struct Order {
    pub(crate) data: Dataset,
    /// Pictures one batch after the other; the last may be smaller.
    pub(crate) pictures: Vec<u32>,
    /// Pictures of a batch.
    pub(crate) batch: usize,
    /// What the first picture of the first batch is changed by, if they are to be changed at random.
    pub(crate) random: Option<Draw>,
}

impl Order {
    fn batches(&self) -> usize {
        self.pictures.len().div_ceil(self.batch)
    }

    /// Brings the `at`-th batch, unless it is told to stop.
    fn fill(&self, at: usize, batch: &mut Batch, stop: &AtomicBool) {
        let [c, h, w] = self.data.outline().image;
        let len = c * h * w;
        batch.pixels.resize(self.batch * len, 0);
        batch.labels.clear();
        batch.labels.resize(self.batch, IGNORE);
        batch.bad.clear();
        let wanted = self.pictures.iter().skip(at * self.batch).take(self.batch);
        let mut wanted = wanted.zip(&mut batch.labels).zip(0..);
        let mut blank = Vec::new();
        for pixels in batch.pixels.chunks_exact_mut(len) {
            let Some(((&picture, label), n)) = wanted.next() else {
                pixels.fill(0);
                continue;
            };
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let picture = picture as usize;
            let draw = self.random.map(|first| Draw {
                n,
                step: first.step.wrapping_add(at as u32),
                ..first
            });
            let loaded = load(&self.data, picture, draw, pixels);
            match loaded.and_then(|()| self.data.label(picture)) {
                Ok(of) => *label = of.into(),
                Err(error) => {
                    pixels.fill(0);
                    blank.push(n as usize);
                    let name = self.data.describe(picture);
                    batch.bad.push(Bad { name, error });
                }
            }
        }
        let rows = 0..self.batch;
        let good: Vec<usize> = rows.filter(|&n| batch.labels[n] != IGNORE).collect();
        for (to, from) in blank.into_iter().zip(good.into_iter().cycle()) {
            let from = from * len..(from + 1) * len;
            batch.pixels.copy_within(from, to * len);
        }
    }
}

/// A source of someone else's that panics must not leave the feed waiting for ever.
fn load(data: &Dataset, i: usize, draw: Option<Draw>, pixels: &mut [u8]) -> Result<(), DataError> {
    catch_unwind(AssertUnwindSafe(|| data.load(i, draw, pixels))).unwrap_or_else(|_| {
        Err(DataError::Source {
            name: data.describe(i),
            source: "its source panicked".into(),
        })
    })
}

/// Threads that load batches ahead, and the batches they have loaded.
pub(crate) struct Feed {
    order: Arc<Order>,
    free: Option<Sender<Batch>>,
    ready: Option<Receiver<(usize, Batch)>>,
    /// Batches that came before their turn.
    early: BTreeMap<usize, Batch>,
    next: usize,
    end: usize,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Where threads take a buffer and, in the same moment, the number of the batch that is to be loaded into it: so the lowest
/// one that nobody is at has a buffer before any later one.
struct Work {
    free: Receiver<Batch>,
    next: usize,
}

impl Feed {
    /// Starts `workers` threads that load `order` at most `ahead` batches ahead, but one each at least. Without threads each batch
    /// is loaded by whoever takes it.
    pub(crate) fn start(order: Order, workers: usize, ahead: usize) -> Self {
        let end = order.batches();
        let workers = workers.min(end);
        let (free, taken) = channel();
        let (done, ready) = channel();
        for _ in 0..ahead.max(workers) + 1 {
            // It fails only if nobody listens.
            let _ = free.send(Batch::default());
        }
        let work = Arc::new(Mutex::new(Work {
            free: taken,
            next: 0,
        }));
        let (order, stop) = (Arc::new(order), Arc::new(AtomicBool::new(false)));
        let worker = || {
            let (order, work, stop, done) =
                (order.clone(), work.clone(), stop.clone(), done.clone());
            move || {
                loop {
                    let (at, mut batch) = {
                        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
                        if work.next >= end {
                            return;
                        }
                        let Ok(batch) = work.free.recv() else { return };
                        work.next += 1;
                        (work.next - 1, batch)
                    };
                    order.fill(at, &mut batch, &stop);
                    if done.send((at, batch)).is_err() {
                        return;
                    }
                }
            }
        };
        let threads = (0..workers).map(|_| std::thread::spawn(worker())).collect();
        Self {
            order: order.clone(),
            free: Some(free),
            ready: Some(ready),
            early: BTreeMap::new(),
            next: 0,
            end,
            stop,
            threads,
        }
    }

    /// The next batch, waited for if need be; `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Batch> {
        if self.next == self.end {
            return None;
        }
        let at = self.next;
        self.next += 1;
        if self.threads.is_empty() {
            let mut batch = Batch::default();
            self.order.fill(at, &mut batch, &self.stop);
            return Some(batch);
        }
        loop {
            if let Some(batch) = self.early.remove(&at) {
                return Some(batch);
            }
            let (at, batch) = self.ready.as_ref()?.recv().ok()?;
            self.early.insert(at, batch);
        }
    }

    /// Gives a batch's memory back, to be filled anew.
    pub(crate) fn give_back(&self, batch: Batch) {
        if let Some(free) = &self.free {
            // Nobody listens any more when all are loaded.
            let _ = free.send(batch);
        }
    }
}

impl Drop for Feed {
    /// Ends the threads; each is at one picture at most.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.free = None;
        self.ready = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PictureSource;
    use super::*;

    /// Each pixel of picture `i` is `i`, moved by what is drawn; the third is broken.
    struct Counted;

    impl PictureSource for Counted {
        fn len(&self) -> usize {
            100
        }
        fn image(&self) -> [usize; 3] {
            [1, 1, 2]
        }
        fn label(&self, i: usize) -> u16 {
            (i % 7) as u16
        }
        fn load(&self, i: usize, pixels: &mut [u8]) -> Result<(), DataError> {
            std::thread::sleep(std::time::Duration::from_micros((i as u64 * 37) % 400));
            assert_ne!(i, 3, "broken on purpose");
            pixels.fill(i as u8);
            Ok(())
        }
        fn draws(&self) -> bool {
            true
        }
        fn load_drawn(&self, i: usize, draw: Draw, pixels: &mut [u8]) -> Result<(), DataError> {
            self.load(i, pixels)?;
            pixels[1] = (draw.n + 10 * draw.step + 100 * draw.seed) as u8;
            Ok(())
        }
    }

    fn order() -> Order {
        let classes = (0..7).map(|k| k.to_string()).collect();
        Order {
            data: Dataset::from_source("counted", Counted, classes).expect("a set"),
            pictures: (0..90).rev().collect(),
            batch: 4,
            random: Some(Draw {
                step: 5,
                seed: 1,
                ..Draw::default()
            }),
        }
    }

    #[test]
    fn batches_come_in_order_whatever_the_threads_do() {
        for (workers, ahead) in [(0, 1), (1, 1), (3, 1), (2, 5), (8, 40)] {
            let mut feed = Feed::start(order(), workers, ahead);
            let mut count = 0;
            while let Some(batch) = feed.next() {
                let mut at = 4 * count..;
                for (n, pixels) in batch.pixels.chunks(2).enumerate() {
                    let at = at.next().expect("endless");
                    let picture = 89_usize.wrapping_sub(at);
                    let draw = (n + 10 * (5 + count) + 100) as u8;
                    let (want, label) = match at {
                        90.. => ([0, 0], IGNORE),
                        // Picture 3 is bad, and the first of its batch stands in for it.
                        86 => ([5, (10 * (5 + count) + 100) as u8], IGNORE),
                        _ => ([picture as u8, draw], picture as u32 % 7),
                    };
                    assert_eq!((pixels, batch.labels[n]), (&want[..], label), "{at}");
                }
                let bad: Vec<_> = batch.bad.iter().map(|bad| bad.name.as_str()).collect();
                assert_eq!(
                    bad,
                    if count == 21 {
                        vec!["picture 3"]
                    } else {
                        vec![]
                    }
                );
                feed.give_back(batch);
                count += 1;
            }
            assert_eq!(count, 23);
        }
    }

    #[test]
    fn a_feed_that_is_left_early_ends_its_threads() {
        let mut feed = Feed::start(order(), 3, 2);
        assert!(feed.next().is_some());
        drop(feed); // returns
    }
}
