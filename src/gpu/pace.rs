//! How much of a run is submitted at once: a driver may take a GPU that is busy with one submission for two seconds for hung, and
//! reset it (Windows does). So a run is cut between dispatches, by what runs took before.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use web_time::Instant;

use crate::plan::Dispatch;

/// The longest that a submission should take, unless [`Gpu::set_longest_submission`](super::Gpu::set_longest_submission) says otherwise.
pub(super) const LONGEST: Duration = Duration::from_millis(500);

/// Operations and bytes a second of a slow device: what is expected of one before a run was timed.
const SLOW: [f64; 2] = [2e10, 5e9];

/// What the dispatches of a plan take.
#[derive(Debug)]
pub(super) struct Pace {
    /// Seconds of each dispatch on a slow device.
    slow: Vec<f64>,
    timed: Arc<Mutex<Timed>>,
}

#[derive(Debug, Default)]
struct Timed {
    /// What runs take, as a part of what they would on a slow device.
    part: Option<f64>,
    /// When the last one was done.
    done: Option<Instant>,
}

/// A run that is under way.
pub(super) struct UnderWay {
    slow: f64,
    submitted: Instant,
    timed: Arc<Mutex<Timed>>,
}

impl Pace {
    pub(super) fn new(dispatches: &[Dispatch]) -> Self {
        let [operations, bytes] = SLOW;
        let slow = |dispatch: &Dispatch| {
            dispatch.flops as f64 / operations + dispatch.bytes as f64 / bytes
        };
        Self {
            slow: dispatches.iter().map(slow).collect(),
            timed: Arc::default(),
        }
    }

    /// The submissions that the dispatches from `first` on are cut into; one that takes longer than `longest` is alone in its own.
    pub(super) fn submissions(&self, first: usize, longest: Duration) -> Vec<Range<usize>> {
        let part = lock(&self.timed).part.unwrap_or(1.0);
        let longest = longest.as_secs_f64();
        let (mut all, mut start, mut sum) = (Vec::new(), first, 0.0);
        for (i, slow) in self.slow.iter().enumerate().skip(first) {
            let seconds = part * slow;
            if i > start && sum + seconds > longest {
                all.push(start..i);
                (start, sum) = (i, 0.0);
            }
            sum += seconds;
        }
        all.push(start..self.slow.len());
        all
    }

    /// Times a run of the dispatches from `first` on, which begins now.
    pub(super) fn begin(&self, first: usize) -> UnderWay {
        UnderWay {
            slow: self.slow[first..].iter().sum(),
            submitted: Instant::now(),
            timed: self.timed.clone(),
        }
    }
}

impl UnderWay {
    /// Says that it is done. That may be noticed late, and for two runs at once: so a mean of the last ones counts.
    pub(super) fn end(self) {
        let now = Instant::now();
        let mut timed = lock(&self.timed);
        let before = timed.done.replace(now);
        let began = before.map_or(self.submitted, |before| before.max(self.submitted));
        if self.slow > 0.0 {
            let part = (now - began).as_secs_f64() / self.slow;
            timed.part = Some(timed.part.map_or(part, |mean| 0.75 * mean + 0.25 * part));
        }
    }
}

fn lock(timed: &Mutex<Timed>) -> MutexGuard<'_, Timed> {
    timed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(slow: &[f64], part: Option<f64>) -> Pace {
        let timed = Timed { part, done: None };
        Pace {
            slow: slow.to_vec(),
            timed: Arc::new(Mutex::new(timed)),
        }
    }

    #[test]
    fn a_run_is_cut_where_it_would_take_longer_and_every_dispatch_is_in_one_submission() {
        let slow = [0.3, 0.1, 0.2, 0.9, 0.2, 0.1];
        let half = Duration::from_millis(500);
        let cut = |part, first| pace(&slow, part).submissions(first, half);
        assert_eq!(cut(None, 0), [0..2, 2..3, 3..4, 4..6]);
        assert_eq!(cut(None, 1), [1..3, 3..4, 4..6]);
        assert_eq!(cut(Some(0.5), 0), [0..3, 3..4, 4..6]);
        for first in [0, 6] {
            assert_eq!(cut(Some(0.1), first).pop(), Some(first..6));
            assert_eq!(cut(Some(0.1), first).len(), 1);
        }
        let all = pace(&slow, None).submissions(0, Duration::ZERO);
        assert_eq!(all, [0..1, 1..2, 2..3, 3..4, 4..5, 5..6]);
    }

    #[test]
    fn runs_that_take_longer_are_cut_into_more() {
        let pace = pace(&[1e-9; 8], None);
        let runs = || pace.submissions(0, Duration::from_millis(1)).len();
        assert_eq!(runs(), 1);
        let under_way = pace.begin(0);
        std::thread::sleep(Duration::from_millis(20));
        under_way.end();
        assert_eq!(runs(), 8);
    }
}
